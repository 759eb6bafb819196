"""The table of names against PyRadiomics, the preset of 71 and IBSI's reference values."""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from radiomics import getFeatureClasses

from theradose.features.engine import wanted
from theradose.features.names import LOCAL, feature_names, ibsi_tags, unit_of
from theradose.features.presets import LOCAL_FEATURES, preset_from, read_preset
from theradose.features.radiomics import extract
from theradose.imaging.nifti import read_volume
from theradose.imaging.volume import Volume

PRESETS = Path(__file__).parents[2] / "config" / "radiomics"
BLOCKS = {"intensity": 10, "shape": 5, "histogram": 4, "glcm": 24, "glrlm": 11, "ngtdm": 5, "glszm": 12}
IBSI = Path(os.environ.get("THERADOSE_IBSI_DATA", "no data"))
# PyRadiomics' kurtosis is IBSI's plus 3, and its axes come from a covariance with 1/n.
KNOWN_DEVIATIONS = {"stat_kurt", "morph_pca_min_axis", "morph_pca_least_axis"}
needs_ibsi = pytest.mark.skipif(not IBSI.is_dir(), reason="THERADOSE_IBSI_DATA names no folder")


def test_every_feature_stands_once_and_all_that_are_not_deprecated_stand_there():
    classes = {kind: known.getFeatureNames() for kind, known in getFeatureClasses().items() if kind != "shape2D"}
    known = {(kind, feature): late for kind, features in classes.items() for feature, late in features.items()}
    rows = [(name.feature_class, name.feature) for name in feature_names()]
    assert len(set(rows)) == len(rows)
    theirs = {row for row in rows if row[0] != LOCAL}
    assert theirs <= set(known)
    assert {row for row, late in known.items() if not late} <= theirs
    assert {feature for kind, feature in rows if kind == LOCAL} == set(LOCAL_FEATURES)


def test_the_71_are_15_and_39_and_17_and_those_of_the_preset():
    blocks = Counter(name.lifex71_block for name in feature_names() if name.lifex71_block)
    assert blocks == BLOCKS
    assert (blocks["intensity"] + blocks["shape"], blocks["ngtdm"] + blocks["glszm"]) == (15, 17)
    rows = {(name.feature_class, name.feature) for name in feature_names() if name.lifex71_block}
    assert rows == {row[1:] for row in wanted(read_preset(PRESETS / "lifex71.yaml", "pet"))}


def test_the_preset_with_peak_and_total_uptake_differs_from_the_71_by_two_features():
    plain, swapped = (read_preset(PRESETS / f"{name}.yaml", "pet") for name in ("lifex71", "lifex71_pet"))
    gone = {("original", "firstorder", "RootMeanSquared"), ("original", "firstorder", "TotalEnergy")}
    assert set(wanted(plain)) - set(wanted(swapped)) == gone
    assert len(wanted(swapped)) + len(swapped.own) == 71
    assert swapped.own == ("peak", "tlu")
    assert (swapped.setting, swapped.preparation) == (plain.setting, plain.preparation)


def test_codes_tags_and_lifex_names_stand_once():
    for field in ("ibsi_code", "ibsi_tag", "lifex_name"):
        given = [getattr(name, field) for name in feature_names() if getattr(name, field)]
        assert len(set(given)) == len(given), field
    assert all(len(name.ibsi_code) in (0, 4) for name in feature_names())


def test_107_values_can_be_compared_and_twins_lead_to_features_that_have_one():
    tags = ibsi_tags()
    assert len(tags) == 107
    assert tags["cm_dissimilarity_3D_avg"] == ("glcm", "DifferenceAverage")
    assert not {tag.split("_")[0] for tag in tags} - {"stat", "ih", "morph", "cm", "rlm", "szm", "ngt", "ngl"}
    refused = {("glcm", "Dissimilarity"), ("glcm", "SumVariance"), ("gldm", "DependencePercentage")}
    assert not set(tags.values()) & refused


def test_units_carry_the_unit_of_the_image():
    assert unit_of("firstorder", "Variance", "HU") == "(HU)^2"
    assert unit_of("local", "tlu", "g/mL") == "g/mL.mL"
    assert unit_of("glcm", "what nobody knows", "HU") == "1"


def reference() -> dict[str, tuple[float, float]]:
    """Return IBSI's tag -> value and tolerance for the digital phantom."""
    with (IBSI / "reference_values" / "ibsi_1_dig_phantom.csv").open(encoding="utf-8") as handle:
        rows = [row for row in csv.reader(handle, delimiter=";") if len(row) == 3 and row[0][:1] in "-0123456789"]
    return {tag: (float(value), float(tolerance)) for value, tolerance, tag in rows if value}


def digital_phantom() -> tuple[Volume, np.ndarray]:
    """Return IBSI's digital phantom, taken for a CT, and its mask."""
    folder = IBSI / "digital_phantom"
    return read_volume(folder / "phantom.nii.gz", "HU"), read_volume(folder / "mask.nii.gz", "label").values > 0


@needs_ibsi
def test_the_digital_phantom_confirms_what_each_name_stands_for():
    classes = {kind: None for kind in getFeatureClasses() if kind != "shape2D"}
    classes["shape"] = [*getFeatureClasses()["shape"].getFeatureNames()]
    preset = preset_from({"featureClass": classes, "setting": {"binWidth": 1.0, "gldm_a": 0}}, "ct", "ibsi")
    image, mask = digital_phantom()
    found = extract(image, {"roi": mask}, preset).set_index(["feature_class", "feature"])["value"]
    known, off = reference(), set()
    for tag, row in ibsi_tags().items():
        value, tolerance = known[tag]
        rounded = 0.5 * 10 ** (np.floor(np.log10(abs(value))) - 2)  # three digits are given
        if abs(found[row] - value) > max(tolerance, rounded) * (1 + 1e-9):
            off.add(tag)
    assert off == KNOWN_DEVIATIONS
    assert found["firstorder", "Kurtosis"] - 3 == pytest.approx(known["stat_kurt"][0], abs=5e-4)
