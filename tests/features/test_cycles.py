import numpy as np
import pandas as pd
import pytest

from theradose.errors import LeakageError
from theradose.features.covariates import assemble
from theradose.features.cycles import cycle_features
from theradose.tables import COVARIATE_MANIFEST, FEATURES, checked

MEAN = "original.firstorder.Mean"


def rows(session: str, modality: str, time_h: float, value: float, patient: str = "a") -> list[dict[str, object]]:
    where = {"patient": patient, "session": session, "modality": modality, "time_h": time_h, "voi": "kidneys"}
    kinds = (("firstorder", "Mean"), ("voi", "mean"))
    own = {"filter": "original", "value": value, "status": "ok"}
    return [{**where, **own, "feature_class": kind, "feature": name} for kind, name in kinds]


@pytest.fixture
def features() -> pd.DataFrame:
    """PET before therapy, SPECT at 24 h and 72 h of three cycles."""
    parts = rows("ses-pre", "pet", 1.0, 5.0)
    for cycle, factor in ((1, 1.0), (2, 0.5), (3, 0.1)):
        parts += rows(f"ses-tx{cycle}", "spect", 24.0, 8.0 * factor) + rows(
            f"ses-tx{cycle}", "spect", 71.0, 4.0 * factor
        )
    return checked(pd.DataFrame(parts), FEATURES)


def test_before_the_first_cycle_nothing_of_therapy_is_known(features):
    table, manifest = cycle_features(features, 1)
    assert list(table) == ["patient", "cycle", "voi", f"pet.{MEAN}"]
    assert manifest["leak_class"].tolist() == ["pre_therapy"]


def test_before_the_second_cycle_the_scans_of_the_first_are_known(features):
    table, manifest = cycle_features(features, 2)
    assert table.loc[0, "cycle"] == 2
    assert table.loc[0, f"previous.spect.{MEAN}"] == 8.0
    assert table.loc[0, f"previous.spect_72h.{MEAN}"] == 4.0
    assert not [c for c in table if c.startswith("delta")]
    checked(manifest, COVARIATE_MANIFEST)
    late = manifest.loc[manifest["column"].str.startswith("previous"), "leak_class"]
    assert set(late) == {"post_therapy"}


def test_before_the_third_cycle_changes_between_the_first_two_are_known_and_the_third_is_not(features):
    table, manifest = cycle_features(features, 3)
    assert table.loc[0, f"previous.spect.{MEAN}"] == 4.0
    assert table.loc[0, f"delta.previous.spect-before.spect.{MEAN}"] == pytest.approx(np.log(0.5))
    assert list(manifest["column"]) == list(table.columns[3:])
    assert set(manifest.loc[manifest["column"].str.startswith("delta"), "leak_class"]) == {"post_therapy"}
    same, _ = cycle_features(features[features["session"] != "ses-tx3"], 3)
    pd.testing.assert_frame_equal(table, same)


def test_a_pet_of_a_cycle_is_compared_with_the_one_before_therapy(features):
    later = pd.concat([features, checked(pd.DataFrame(rows("ses-tx1", "pet", 1.2, 2.5)), FEATURES)], ignore_index=True)
    table, _ = cycle_features(later, 2)
    assert table.loc[0, f"delta.previous.pet-before.pet.{MEAN}"] == pytest.approx(np.log(0.5))
    with pytest.raises(LeakageError, match="ses-tx1"):
        assemble(later, pd.DataFrame({"patient": ["a"]}), ["a"], ["kidneys"])


def test_a_patient_without_the_cycle_before_keeps_the_columns_before_therapy(features):
    both = pd.concat([features, checked(pd.DataFrame(rows("ses-pre", "pet", 1.0, 7.0, "b")), FEATURES)])
    table = cycle_features(both.reset_index(drop=True), 2)[0].set_index("patient")
    assert table.loc["b", f"pet.{MEAN}"] == 7.0
    assert np.isnan(table.loc["b", f"previous.spect.{MEAN}"])
    assert table.loc["b", "cycle"] == 2
