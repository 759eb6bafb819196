from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy import ndimage

from theradose.errors import SettingsError, UnitError
from theradose.features import radiomics
from theradose.features.presets import MARGIN_SIGMA, Preset, preset_from, read_preset
from theradose.features.vois import OK
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

PRESETS = Path(__file__).parents[2] / "config" / "radiomics"
SHAPE = (30, 24, 28)


def ball(centre: tuple[float, float, float], radius: float, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    z, y, x = np.indices(shape)
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2


def pet(spacing_mm: float = 8.0, shape: tuple[int, int, int] = SHAPE, seed: int = 1) -> Volume:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 1.0)
    hot = 8.0 * ndimage.gaussian_filter(ball((15, 12, 9), 4.0, shape).astype(float), 1.0)
    direction = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
    grid = Grid(shape, (spacing_mm,) * 3, (-100.0, 20.0, 35.0), direction)
    return Volume((2.0 + smooth + hot).astype(np.float32), grid, "g/mL")


@pytest.fixture(scope="module")
def image() -> Volume:
    return pet()


@pytest.fixture(scope="module")
def masks() -> dict[str, np.ndarray]:
    return {"liver": ball((15, 12, 9), 4.0), "spleen": ball((12, 10, 20), 3.2), "lesions": ball((24, 15, 20), 1.5)}


@pytest.fixture(scope="module")
def preset() -> Preset:
    return read_preset(PRESETS / "pet_8mm.yaml", "pet")


@pytest.fixture(scope="module")
def table(image: Volume, masks: dict[str, np.ndarray], preset: Preset) -> pd.DataFrame:
    return radiomics.extract(image, masks, preset)


def plain_loop(volume: Volume, masks: dict[str, np.ndarray], preset: Preset) -> dict[tuple[str, str], float]:
    """The slow twin: PyRadiomics' own `execute`, once per VOI."""
    extractor = RadiomicsFeatureExtractor(preset.content(), additionalInfo=False)
    image = sitk.GetImageFromArray(volume.values.astype(np.float64))
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(volume.grid.origin_mm)
    image.SetDirection(np.ravel(volume.grid.direction).tolist())
    found = {}
    for voi, mask in masks.items():
        label = sitk.GetImageFromArray(mask.astype(np.uint8))
        label.CopyInformation(image)
        found.update({(voi, name): float(np.real(value)) for name, value in extractor.execute(image, label).items()})
    return found


def keys(table: pd.DataFrame) -> pd.Series:
    return table["filter"] + "_" + table["feature_class"] + "_" + table["feature"]


def test_values_are_those_of_a_plain_loop(table, image, masks, preset):
    slow = plain_loop(image, masks, preset)
    ok = table[table["status"] == OK]
    expected = [slow[voi, name] for voi, name in zip(ok["voi"], keys(ok), strict=True)]
    assert len(ok) > 600
    np.testing.assert_allclose(ok["value"], expected, rtol=1e-9, atol=0)


def test_every_row_of_a_plain_loop_is_there(table, image, masks, preset):
    slow = plain_loop(image, masks, preset)
    assert set(zip(table["voi"], keys(table), strict=True)) == set(slow)


def test_status_is_ok_exactly_where_there_is_a_value(table):
    assert ((table["status"] == OK) == np.isfinite(table["value"])).all()


def test_each_filter_runs_once_per_image(monkeypatch, image, masks, preset):
    runs = []

    class Counted(sitk.LaplacianRecursiveGaussianImageFilter):
        def Execute(self, *arguments):  # noqa: N802 - ITK's name
            runs.append(self.GetSigma())
            return super().Execute(*arguments)

    monkeypatch.setattr(sitk, "LaplacianRecursiveGaussianImageFilter", Counted)
    radiomics.extract(image, masks, preset)
    assert runs == [8.0, 12.0, 16.0]
    plain_loop(image, masks, preset)
    assert len(runs) == 3 + 3 * len(masks)


def test_shape_is_computed_once_per_voi(monkeypatch, image, masks, preset):
    runs = []
    plain = RadiomicsFeatureExtractor.computeShape
    monkeypatch.setattr(
        RadiomicsFeatureExtractor, "computeShape", lambda self, *a, **k: runs.append(1) or plain(self, *a, **k)
    )
    radiomics.extract(image, masks, preset)
    assert len(runs) == len(masks)


def test_a_scale_wider_than_a_voi_is_left_out_with_its_reason(table):
    # The lesion has 19 voxels of 0.512 mL: the sphere of this volume has a radius of 13.2 mm.
    status = table[(table["voi"] == "lesions")].groupby("filter")["status"].unique().map(list)
    assert status["log-sigma-12-0-mm-3D"] == [OK]
    assert status["log-sigma-16-0-mm-3D"] == ["scale above the radius of the VOI"]


def test_a_large_image_is_cut_with_a_margin_of_eight_sigma(masks, preset):
    shape = (90, 80, 84)
    volume = pet(shape=shape)
    mask = {"lesions": ball((45, 40, 42), 3.0, shape)}
    cut, cut_masks = radiomics.prepare(volume, mask, preset, crop_above_voxels=1000)
    margin_voxels = MARGIN_SIGMA * 16.0 / 8.0
    assert cut.grid.shape_zyx == (7 + 2 * margin_voxels,) * 3
    assert cut_masks["lesions"].sum() == mask["lesions"].sum()
    first, second = (np.argwhere(m)[0][::-1] for m in (mask["lesions"], cut_masks["lesions"]))
    places = [g.affine_lps() @ [*index, 1] for g, index in ((volume.grid, first), (cut.grid, second))]
    np.testing.assert_allclose(*places)
    whole = radiomics.extract(volume, mask, preset)
    small = radiomics.extract(volume, mask, preset, crop_above_voxels=1000)
    np.testing.assert_allclose(small["value"], whole["value"], rtol=1e-4)
    original = whole["filter"] == "original"
    np.testing.assert_allclose(small.loc[original, "value"], whole.loc[original, "value"], rtol=1e-9)


def bad_masks() -> dict[str, tuple[np.ndarray, str]]:
    line = np.zeros(SHAPE, bool)
    line[5:15, 4, 4] = True
    one = np.zeros(SHAPE, bool)
    one[5, 5, 5] = True
    return {
        "empty": (np.zeros(SHAPE, bool), "no voxel"),
        "one": (one, "fewer than 3 voxels"),
        "line": (line, "too few dimensions"),
        "nan": (ball((22, 12, 22), 2.5), "not finite"),
        "flat": (ball((7, 12, 9), 3.0), "all values equal"),
    }


@pytest.mark.parametrize("name", bad_masks())
def test_a_faulty_voi_gives_its_reason_and_harms_no_other(name, preset):
    volume = pet()
    mask, reason = bad_masks()[name]
    values = volume.values.copy()
    values[ball((7, 12, 9), 3.0)] = 1.0
    if name == "nan":
        values[22, 12, 22] = np.nan
    only_original = preset_from({**preset.content(), "imageType": {"Original": {}}}, "pet", "test")
    good = ball((15, 12, 20), 3.2)
    found = radiomics.extract(volume.with_values(values), {name: mask, "good": good}, only_original)
    bad = found[found["voi"] == name]
    assert len(bad) == len(found) / 2
    if name in ("nan", "flat"):  # its outline is sound, so its shape is known
        assert (bad.loc[bad["feature_class"] == "shape", "status"] == OK).all()
        bad = bad[bad["feature_class"] != "shape"]
    assert bad["value"].isna().all()
    assert bad["status"].str.contains(reason).all()
    assert (found.loc[found["voi"] == "good", "status"] == OK).all()


def test_a_nan_anywhere_is_seen_where_a_filter_spreads_it(preset):
    values = pet().values.copy()
    values[0, 0, 0] = np.nan
    found = radiomics.extract(pet().with_values(values), {"liver": ball((15, 12, 9), 4.0)}, preset)
    ok = found["status"] == OK
    assert ok[found["filter"] == "original"].all()
    assert np.isfinite(found.loc[ok, "value"]).all()
    assert (found.loc[~ok, "status"] == "values that are not finite").all()


def test_too_many_grey_levels_are_refused_before_they_fill_memory(image, masks):
    content = {"featureClass": {"firstorder": None, "shape": None}, "setting": {"binWidth": 1e-4}}
    found = radiomics.extract(image, {"liver": masks["liver"]}, preset_from(content, "pet", "test"))
    status = found.groupby("feature_class")["status"].unique().map(list)
    assert status["firstorder"] == ["more than 1024 grey levels"]
    assert status["shape"] == [OK]


def test_scales_below_a_voxel_are_left_out_and_none_left_is_refused(masks):
    fine = preset_from(read_preset(PRESETS / "pet_4mm.yaml", "pet").content(), "pet", "native")
    found = radiomics.extract(pet(5.0), {"liver": masks["liver"]}, fine)
    status = found.groupby("filter")["status"].unique().map(list)
    assert status["log-sigma-4-0-mm-3D"] == ["scale below a voxel"]
    assert status["log-sigma-8-0-mm-3D"] == [OK]
    with pytest.raises(SettingsError, match="no LoG scale left"):
        radiomics.extract(pet(20.0), {"liver": masks["liver"]}, fine)


def test_resampled_input_gives_the_values_of_a_plain_loop_on_it(masks):
    fine = read_preset(PRESETS / "pet_4mm.yaml", "pet")
    volume = pet(5.0)
    found = radiomics.extract(volume, masks, fine)
    ok = found[found["status"] == OK]
    ready, ready_masks = radiomics.prepare(volume, masks, fine)
    assert ready.grid.spacing_mm == (4.0, 4.0, 4.0)
    assert (found.loc[found["filter"] == "log-sigma-4-0-mm-3D", "status"] == OK).all()
    slow = plain_loop(ready, ready_masks, fine)
    expected = [slow[voi, name] for voi, name in zip(ok["voi"], keys(ok), strict=True)]
    np.testing.assert_allclose(ok["value"], expected, rtol=1e-9, atol=0)


def test_an_image_smaller_than_a_filter_says_so(preset):
    volume = pet(shape=(3, 24, 28))
    mask = np.zeros((3, 24, 28), bool)
    mask[:, 5:20, 5:20] = True
    found = radiomics.extract(volume, {"liver": mask}, preset)
    status = found.groupby("filter")["status"].unique().map(list)
    assert status["log-sigma-8-0-mm-3D"] == ["image too small to filter"]


def test_a_pet_in_becquerel_is_refused(image, masks, preset):
    with pytest.raises(UnitError, match="g/mL"):
        radiomics.extract(Volume(image.values, image.grid, "Bq/mL"), masks, preset)


def test_a_feature_that_pyradiomics_does_not_know_is_refused(image, masks):
    content = {"featureClass": {"glcm": ["Contrats"]}, "setting": {"binWidth": 0.5}}
    with pytest.raises(SettingsError, match="Contrats"):
        radiomics.extract(image, masks, preset_from(content, "pet", "test"))


def test_the_order_of_vois_does_not_matter(table, image, masks, preset):
    turned = radiomics.extract(image, dict(reversed(masks.items())), preset)
    index = ["voi", "filter", "feature_class", "feature"]
    pd.testing.assert_frame_equal(
        turned.sort_values(index, ignore_index=True), table.sort_values(index, ignore_index=True), check_exact=True
    )
