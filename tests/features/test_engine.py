"""The door to PyRadiomics: levels counted from an anchor, each filter once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radiomics import imageoperations

from theradose.features.engine import anchored_bins, engine
from theradose.features.presets import preset_from
from theradose.features.radiomics import extract
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

SHAPE = (24, 24, 24)
TWELVE = {
    "imageType": {"Original": {}, "LoG": {"sigma": [4.0, 6.0, 8.0], "binCount": 16}, "Wavelet": {"binCount": 16}},
    "featureClass": {"firstorder": ["Mean"], "glcm": ["Contrast"]},
    "setting": {"binWidth": 0.5},
}


def image(seed: int = 1) -> Volume:
    values = np.random.default_rng(seed).gamma(2.0, 2.0, SHAPE).astype(np.float32)
    return Volume(values, Grid(SHAPE, (4.0, 4.0, 4.0)), "g/mL")


def boxes(n: int) -> dict[str, np.ndarray]:
    masks = {}
    for k in range(n):
        mask = np.zeros(SHAPE, bool)
        mask[4:12, 4:12, 2 + k : 12 + k] = True
        masks[f"voi{k}"] = mask
    return masks


def test_filters_run_once_an_image_and_not_once_a_voi(monkeypatch):
    runs: dict[str, int] = {}
    for name in ("getOriginalImage", "getLoGImage", "getWaveletImage"):
        original = getattr(imageoperations, name)

        def counted(*given, _name=name, _original=original, **settings):
            runs[_name] = runs.get(_name, 0) + 1
            return _original(*given, **settings)

        monkeypatch.setattr(imageoperations, name, counted)
    found = extract(image(), boxes(10), preset_from(TWELVE, "pet", "x"))
    assert found["filter"].nunique() == 12
    assert (found["status"] == "ok").all()
    assert runs == {"getOriginalImage": 1, "getLoGImage": 3, "getWaveletImage": 1}


@given(st.lists(st.floats(-3.0, 60.0), min_size=2, max_size=30), st.sampled_from([0.25, 0.3125, 0.5]))
def test_levels_are_counted_from_the_anchor_whatever_the_voi_holds(values, width):
    values = np.array(values)
    with anchored_bins(0.0):
        levels, _ = imageoperations.binImage(values, np.ones(values.shape, bool), binWidth=width)
    expected = np.maximum(np.floor(values / width), 0.0) + 1
    assert (levels == expected).all()


def test_a_fixed_number_of_levels_is_left_to_pyradiomics():
    values = np.random.default_rng(0).normal(size=50)
    theirs = imageoperations.getBinEdges(values.copy(), binCount=8)
    with anchored_bins(-5.0):
        np.testing.assert_array_equal(imageoperations.getBinEdges(values.copy(), binCount=8), theirs)


def test_pyradiomics_own_levels_come_back_even_after_an_error():
    before = imageoperations.getBinEdges
    with pytest.raises(ZeroDivisionError), anchored_bins(0.0):
        _ = 1 / 0
    assert imageoperations.getBinEdges is before


def test_an_anchor_makes_level_features_comparable_between_vois():
    """Two VOIs with values near 1 and near 11 SUV: PyRadiomics calls both dark, an anchor does not."""
    values = image().values * 0.1 + 1.0
    values[:, :, 12:] += 10.0
    content = {"featureClass": {"glcm": ["JointAverage"]}, "setting": {"binWidth": 0.5}}
    masks = {"cold": np.zeros(SHAPE, bool), "hot": np.zeros(SHAPE, bool)}
    masks["cold"][4:12, 4:12, 2:10] = True
    masks["hot"][4:12, 4:12, 14:22] = True
    volume = image().with_values(values.astype(np.float32))
    own = extract(volume, masks, preset_from(content, "pet", "own")).set_index("voi")["value"]
    content["preprocess"] = {"bin_anchor": 0.0}
    anchored = extract(volume, masks, preset_from(content, "pet", "anchored")).set_index("voi")["value"]
    assert own["hot"] < 6
    assert anchored["hot"] - anchored["cold"] == pytest.approx(20.0, abs=1.0)


def test_voxels_outside_the_range_do_not_count_and_shape_sees_them():
    values = image().values.copy()
    masks = boxes(1)
    content = {
        "featureClass": {"firstorder": ["Mean", "Maximum"], "shape": ["VoxelVolume"]}, "setting": {"binWidth": 0.5},
        "preprocess": {"resegment_range": [1.0, 8.0]},
    }  # fmt: skip
    found = extract(image(), masks, preset_from(content, "pet", "x")).set_index("feature")["value"]
    inside = values[masks["voi0"]]
    inside = inside[(inside >= 1.0) & (inside <= 8.0)]
    assert found["Mean"] == pytest.approx(inside.mean(), rel=1e-6)
    assert found["Maximum"] == pytest.approx(inside.max(), rel=1e-6)
    assert found["VoxelVolume"] == pytest.approx(masks["voi0"].sum() * 64.0)


def test_a_range_that_holds_nothing_is_a_reason_and_no_number():
    content = {"featureClass": {"firstorder": ["Mean"]}, "setting": {"binWidth": 0.5},
               "preprocess": {"resegment_range": [500.0, None]}}  # fmt: skip
    found = extract(image(), boxes(1), preset_from(content, "pet", "x"))
    assert found["status"].tolist() == ["within the range that counts: no voxel"]


def test_the_engine_is_named():
    assert engine().startswith("pyradiomics")
    assert engine().split()[-1][0].isdigit()
