import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.evaluation import figures
from theradose.evaluation.figures_dosemaps import crop, dose_maps
from theradose.evaluation.figures_doses import d50_gy, dose_volume, organ_doses, spread
from theradose.evaluation.figures_kinetics import fit_band, time_activity
from theradose.evaluation.figures_overlay import dose_overlay, nice_levels, under_ct
from theradose.evaluation.figures_planes import axial, coronal_mip
from theradose.evaluation.figures_projections import projections
from theradose.evaluation.figures_recovery import cohort_spread, recovery
from theradose.evaluation.figures_scores import bland_altman, log_ticks, predicted_against_true, scores
from theradose.evaluation.figures_training import learning_curves, tuning_trials
from theradose.evaluation.report_doses import recovery_frame
from theradose.evaluation.report_patients import dose_image, pet_images, spect_images
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume
from theradose.vocabulary import ORGANS

FLIPPED = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))


def of_patient(table, patient="v001"):
    return table[table["patient"] == patient]


@pytest.fixture(scope="module")
def drawn(study):
    """Every figure of the report, by name."""
    experiment = study.experiments[0]
    test = experiment.predictions[experiment.predictions["partition"] == "test"]
    mape = experiment.metrics[(experiment.metrics["metric"] == "mape") & (experiment.metrics["partition"] == "test")]
    dose = dose_image(study, "v001")
    ct = study.data.load_one("v001", "ct")
    centres = study.table("patients").set_index("patient")["centre"]
    truth = "truth_gy_per_gbq"
    slices = {"planted truth": np.eye(12), "label (SPECT)": 0.9 * np.eye(12)}
    return {
        "time_activity": time_activity(of_patient(study.table("tac")), of_patient(study.table("tiac")), 159.528),
        "dose_volume": dose_volume(of_patient(study.table("dvh"))),
        "organ_doses": organ_doses(study.organs, centres),
        "overlay": dose_overlay(dose, under_ct(ct), (0.0, 40.0)),
        "projections": projections(pet_images(study, "v001"), spect_images(study, "v001")),
        "recovery": recovery(recovery_frame(study)),
        "cohort": cohort_spread(study.participants, {"age_y": "Age (y)"}, figures.series_style(["north", "south"])),
        "scores": scores(mape, experiment.baselines, "MAPE (%)"),
        "predicted": predicted_against_true(test, "kidneys", experiment.baselines, truth),
        "bland_altman": bland_altman(test[test["predictor"] == "hybrid"], ["kidneys", "liver"], truth),
        "learning": learning_curves({"mlp": experiment.history("mlp")}),
        "trials": tuning_trials({"ridge": experiment.trials("ridge")}),
        "dose_maps": dose_maps(slices, {"U-Net": np.zeros((12, 12))}, np.ones((12, 12), bool), (8.0, 8.0)),
    }


def test_no_label_leaves_its_figure(drawn):
    for name, figure in drawn.items():
        figures.as_png(figure, name, dpi=60)  # lays out
        inside = figure.bbox_inches.padded(0.02)
        box = figure.get_tightbbox(figure.canvas.get_renderer())
        assert inside.x0 <= box.x0, name
        assert inside.y0 <= box.y0, name
        assert box.x1 <= inside.x1, name
        assert box.y1 <= inside.y1, name


def test_every_quantity_has_its_unit_on_the_axis(drawn):
    def words_of(figure):
        labels = [axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes]
        return " ".join([*labels, figure.get_supxlabel() or "", figure.get_supylabel() or ""])

    units = {
        "time_activity": ("(h)", "(MBq)"), "dose_volume": ("(Gy)", "(%)"), "organ_doses": ("(Gy/GBq)",),
        "overlay": ("(Gy)",),
        "projections": ("PET (kBq/mL)", "SPECT (kBq/mL)"), "recovery": ("(MBq·h)", "(%)", "(mL)"), "cohort": ("(y)",),
        "scores": ("(%)",), "predicted": ("(Gy/GBq)",), "bland_altman": ("(Gy/GBq)", "(% of"),
        "dose_maps": ("(Gy/GBq)",),
    }  # fmt: skip
    for name, wanted in units.items():
        for unit in wanted:
            assert unit in words_of(drawn[name]), name


def test_spect_time_points_share_one_scale(drawn):
    figure = drawn["projections"]
    limits = {axes.images[0].get_clim() for axes in figure.axes if axes.get_title(loc="left").startswith("SPECT")}
    assert len(limits) == 1
    bars = [axes for axes in figure.axes if "kBq/mL" in axes.get_ylabel()]
    assert len(bars) == 2  # one for the PET, one for all SPECT


def test_same_figure_same_bytes_whatever_the_users_style(study):
    tac, tiac = of_patient(study.table("tac")), of_patient(study.table("tiac"))
    first = figures.as_svg(time_activity(tac, tiac, 159.528), "a")
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": "x", "axes.facecolor": "red"}):
        second = figures.as_svg(time_activity(tac, tiac, 159.528), "a")
    assert first == second


def test_files_hold_no_date_and_no_version():
    figure = figures.canvas(2, 1)
    for kind in ("svg", "png"):
        content = figures._bytes(figure, kind, 72)
        assert b"dc:date" not in content
        assert b"Matplotlib" not in content.replace(b"matplotlib.org", b"")


def test_every_organ_has_a_colour_of_its_own():
    assert set(figures.ORGAN_COLOURS) == set(ORGANS)
    assert len(set(figures.ORGAN_COLOURS.values())) == len(ORGANS)
    assert figures.organ_colour("kidney_left") == figures.organ_colour("kidneys")
    assert figures.organ_colour("lesion_07") == figures.organ_colour("lesions")


def test_band_of_a_mono_exponential_by_hand():
    a, rate, t = 100.0, 0.02, np.array([0.0, 10.0, 50.0])
    covariance = np.array([[4.0, 0.001], [0.001, 1e-6]])
    curve, std = fit_band({"a1_mbq": a, "lambda1_per_h": rate}, covariance, t)
    f = np.exp(-rate * t)
    by_hand = f * np.sqrt(4.0 - 2 * a * t * 0.001 + (a * t) ** 2 * 1e-6)
    assert curve == pytest.approx(a * f)
    assert std == pytest.approx(by_hand, rel=1e-5)


def test_band_leaves_a_fixed_uptake_alone():
    parameters = {"a1_mbq": 10.0, "lambda1_per_h": 0.02, "lambda_uptake_per_h": 1.4}
    _, std = fit_band(parameters, np.diag([1.0, 0.0]), np.array([24.0]))
    assert std == pytest.approx([math.exp(-0.02 * 24) - math.exp(-1.4 * 24)])


@given(st.floats(1e-3, 1e4))
def test_isodose_levels_are_round_ascending_and_below_the_maximum(highest):
    levels = nice_levels(highest)
    assert levels == sorted(levels)
    assert all(level < highest for level in levels)
    assert all(f"{level:.0e}"[0] in "125" for level in levels)


def test_no_dose_no_isodose():
    assert nice_levels(0.0) == []


def test_patient_is_seen_from_the_front_with_the_left_side_on_the_right():
    plain = Grid((5, 4, 6), (2.0, 2.0, 2.0))
    turned = Grid((5, 4, 6), (2.0, 2.0, 2.0), (10.0, 6.0, 8.0), FLIPPED)
    for grid, place in ((plain, (4, 0, 5)), (turned, (0, 3, 0))):
        values = np.zeros((5, 4, 6), np.float32)
        values[place] = 1.0  # head, front, left
        image = Volume(values, grid, "Bq/mL")
        front = coronal_mip(image)
        assert np.argwhere(np.equal(front.values, 1)).tolist() == [[4, 5]]  # rows upwards: head on top, left side right
        assert front.extent_mm == (-1.0, 11.0, -1.0, 9.0)
        across = axial(image, 8.0)
        assert np.argwhere(np.equal(across.values, 1)).tolist() == [[3, 5]]  # front of the patient on top


def test_d50_of_a_step():
    rows = pd.DataFrame({"dose_gy": [0, 1, 2, 3], "volume_fraction": [1, 1, 0.5, 0.25]})
    assert d50_gy(rows) == 2


def test_points_are_spread_inside_their_width_and_alike_each_time():
    shifts = spread(200, 0.1)
    assert np.abs(shifts).max() <= 0.1
    assert len(set(shifts.round(6))) == 200
    assert (spread(200, 0.1) == shifts).all()


def test_crop_keeps_all_of_the_mask():
    mask = np.zeros((20, 20), bool)
    mask[5:9, 3] = True
    rows, columns = crop(mask)
    assert (rows, columns) == (slice(3, 11), slice(1, 6))
    assert crop(np.zeros((3, 3), bool)) == (slice(None), slice(None))


@given(st.floats(-3, 3), st.floats(0.1, 3))
def test_logarithmic_ticks_lie_inside_and_are_few(low_exponent, decades):
    low, high = 10**low_exponent, 10 ** (low_exponent + decades)
    ticks = log_ticks(low, high)
    assert all(low <= tick <= high for tick in ticks)
    assert len(ticks) <= 4


def test_picture_is_a_data_uri_of_its_kind():
    figure = figures.canvas(2, 1)
    assert figures.as_svg(figure, "a").uri.startswith("data:image/svg+xml;base64,")
    picture = figures.as_png(figure, "words")
    assert picture.uri.startswith("data:image/png;base64,")
    assert (picture.alt, picture.width_px) == ("words", 192)
