import json
from pathlib import Path

import pytest
from radiomics import getFeatureClasses

from theradose.errors import SettingsError
from theradose.features.engine import wanted
from theradose.features.presets import preset_from, read_preset
from theradose.imaging.grid import Grid

PRESETS = Path(__file__).parents[2] / "config" / "radiomics"


def modality_of(name: str) -> str:
    return "dose" if name == "dosiomics" else "ct" if "ct" in name.split("_") else "pet"


BLOCKS = {
    "first order": (
        {
            "firstorder": "Mean Variance Minimum Maximum Median 10Percentile 90Percentile InterquartileRange"
            " RootMeanSquared TotalEnergy",
            "shape": "MeshVolume SurfaceArea Sphericity SurfaceVolumeRatio Maximum3DDiameter",
        },
        15,
    ),
    "second order": (
        {
            "firstorder": "Entropy Uniformity Skewness Kurtosis",
            "glcm": "Autocorrelation ClusterProminence ClusterShade ClusterTendency Contrast Correlation"
            " DifferenceAverage DifferenceEntropy DifferenceVariance Id Idm Idmn Idn Imc1 Imc2 InverseVariance"
            " JointAverage JointEnergy JointEntropy MCC MaximumProbability SumAverage SumEntropy SumSquares",
            "glrlm": "ShortRunEmphasis LongRunEmphasis LowGrayLevelRunEmphasis HighGrayLevelRunEmphasis"
            " ShortRunLowGrayLevelEmphasis ShortRunHighGrayLevelEmphasis LongRunLowGrayLevelEmphasis"
            " LongRunHighGrayLevelEmphasis GrayLevelNonUniformity RunLengthNonUniformity RunPercentage",
        },
        39,
    ),
    "higher order": (
        {
            "ngtdm": "Coarseness Contrast Busyness Complexity Strength",
            "glszm": "SmallAreaEmphasis LargeAreaEmphasis LowGrayLevelZoneEmphasis HighGrayLevelZoneEmphasis"
            " SmallAreaLowGrayLevelEmphasis SmallAreaHighGrayLevelEmphasis LargeAreaLowGrayLevelEmphasis"
            " LargeAreaHighGrayLevelEmphasis GrayLevelNonUniformity SizeZoneNonUniformity ZonePercentage ZoneEntropy",
        },
        17,
    ),
}


def content(**changes) -> dict:
    plain = {"imageType": {"Original": {}}, "featureClass": {"firstorder": None}, "setting": {"binWidth": 0.5}}
    return {**plain, **changes}


@pytest.mark.parametrize("name", [path.stem for path in sorted(PRESETS.glob("*.yaml"))])
def test_every_preset_in_config_is_valid_and_names_no_deprecated_feature(name):
    preset = read_preset(PRESETS / f"{name}.yaml", modality_of(name))
    known = getFeatureClasses()
    rows = wanted(preset)
    assert rows
    for _, kind, feature in rows:
        assert known[kind].getFeatureNames()[feature] is False


def test_lifex71_is_15_and_39_and_17():
    rows = [(kind, feature) for _, kind, feature in wanted(read_preset(PRESETS / "lifex71.yaml", "pet"))]
    blocks = {
        name: [(kind, feature) for kind, features in classes.items() for feature in features.split()]
        for name, (classes, _) in BLOCKS.items()
    }
    assert {name: len(features) for name, features in blocks.items()} == {name: n for name, (_, n) in BLOCKS.items()}
    assert len(rows) == 71
    assert sorted(rows) == sorted(row for block in blocks.values() for row in block)


def test_the_8_mm_pet_preset_has_the_classes_and_scales_of_the_design():
    preset = read_preset(PRESETS / "pet_8mm.yaml", "pet")
    assert set(preset.feature_classes) == {"firstorder", "shape", "glcm", "glrlm", "glszm", "ngtdm"}
    assert [f.sigma_mm for f in preset.filters] == [None, 8.0, 12.0, 16.0]
    assert preset.margin_mm(Grid((9, 9, 9), (8.0, 8.0, 8.0))) == 128.0


def test_content_returns_what_was_read():
    given = {
        "imageType": {"Original": {}, "LoG": {"sigma": [8.0, 12.0], "binCount": 32}},
        "featureClass": {"glcm": ["Contrast"], "shape": None},
        "setting": {"binWidth": 0.5},
    }
    assert preset_from(given, "pet", "x").content() == given


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setting": {"binWidth": 5.0}}, "below 5 SUV"),
        ({"setting": {"binWidth": 25}}, "below 5 SUV"),
        ({"setting": {}}, "binWidth or binCount"),
        ({"setting": {"binWidth": 0.5, "normalize": True}}, "field of view"),
        ({"setting": {"binWidth": 0.5, "resampledPixelSpacing": [4, 4, 4]}}, "sitkLinear"),
        ({"setting": {"binWidth": 0.5, "resampledPixelSpacing": [4, 4], "interpolator": "sitkLinear"}}, "three"),
        ({"setting": {"binWidth": 0.5, "interpolator": "sitkLinear"}}, "three"),
        ({"setting": {"binWidth": 0.5, "padDistance": 5}}, "8 sigma"),
        ({"imageType": {"LoG": {"sigma": [8.0]}}}, "binCount"),
        ({"imageType": {"LoG": {"sigma": [], "binCount": 64}}}, "positive scales"),
        ({"imageType": {"LoG": {"sigma": [8, 8.0], "binCount": 64}}}, "different"),
        ({"imageType": {"Square": {}}}, "Square"),
        ({"imageType": {"Wavelet": {}}}, "binCount"),
        ({"imageType": {"Wavelet": {"binCount": 32, "level": 2}}}, "one level"),
        ({"setting": {"binWidth": 0.5, "resegmentRange": [0, 1]}}, "preprocess"),
        ({"preprocess": {"resegment_range": [4, 1]}}, "lowest, highest"),
        ({"preprocess": {"resegment_sigma": 0}}, "positive number"),
        ({"preprocess": {"bin_anchor": "low"}}, "unit of the image"),
        ({"preprocess": {"average": "yes"}}, "true or false"),
        ({"preprocess": {"anchor": 0}}, "bin_anchor"),
        ({"preprocess": {"engine": "mirp"}}, "theradose or pyradiomics"),
        ({"preprocess": {"engine": "pyradiomics", "average": True}}, "nothing else"),
        ({"featureClass": {"local": ["height"]}}, "peak"),
        ({"imageType": {"Original": {"normalize": True}}}, "field of view"),
        ({"featureClass": {}}, "at least one feature class"),
        ({"settings": {}}, "settings"),
    ],
)
def test_a_faulty_preset_is_refused_with_its_reason(changes, message):
    with pytest.raises(SettingsError, match=message):
        preset_from(content(**changes), "pet", "x")


def test_the_voxel_size_is_taken_out_of_what_pyradiomics_sees():
    setting = {"binWidth": 0.5, "resampledPixelSpacing": [4, 4, 5], "interpolator": "sitkLinear"}
    preset = preset_from(content(setting=setting), "pet", "x")
    assert preset.preparation.spacing_mm == (4.0, 4.0, 5.0)
    assert preset.content()["setting"] == {"binWidth": 0.5}


def test_wide_bins_are_fine_for_ct():
    assert preset_from(content(setting={"binWidth": 25.0}), "ct", "x").unit == "HU"


def test_an_unknown_modality_is_refused():
    with pytest.raises(SettingsError, match="modality"):
        preset_from(content(), "mr", "x")


def test_pyradiomics_alone_keeps_its_own_settings():
    """For old papers: nothing is refused and nothing is taken out of what PyRadiomics sees."""
    setting = {"binWidth": 0.5, "resampledPixelSpacing": [4, 4, 4], "padDistance": 10, "normalize": True}
    preset = preset_from(content(setting=setting, preprocess={"engine": "pyradiomics"}), "pet", "old")
    assert preset.content()["setting"] == setting


def test_wavelets_give_eight_images_and_need_five_voxels_around():
    preset = preset_from(content(imageType={"Wavelet": {"binCount": 32}}), "pet", "x")
    assert len({f.name for f in preset.filters}) == 8
    assert preset.margin_mm(Grid((9, 9, 9), (4.0, 4.0, 3.0))) == 20.0


def test_the_full_preset_has_twelve_images():
    preset = read_preset(PRESETS / "full.yaml", "pet")
    assert len(preset.filters) == 12
    assert len(wanted(preset)) == 1130


@pytest.mark.parametrize("name", [path.stem for path in sorted(PRESETS.glob("*.yaml"))])
def test_a_recipe_makes_the_same_preset_with_its_preparation(name):
    """A model carries it, so that a new patient's images are brought to the same voxels and levels."""
    preset = read_preset(PRESETS / f"{name}.yaml", modality_of(name))
    again = preset_from(json.loads(json.dumps(preset.recipe)), modality_of(name), name)
    assert again == preset
