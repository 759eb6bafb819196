"""The participants table: ties that were planted, values in range, gaps in laboratory values only."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.participants import CLINICAL_COLUMNS
from theradose.cohort.virtual.body import body_of
from theradose.cohort.virtual.covariates import (
    LABORATORY,
    OWN_LABORATORY,
    administered_mbq,
    administered_pet_mbq,
    covariates_of,
    graded,
)
from theradose.cohort.virtual.latents import draw_latents
from theradose.cohort.virtual.lesions import lesions_of
from theradose.cohort.virtual.ligands import LIGANDS


@cache
def cohort(ligand: str = "psma") -> pd.DataFrame:
    rows = []
    for index in range(600):
        latents = draw_latents(4, index)
        body = body_of(latents, LIGANDS[ligand])
        lesions = lesions_of(latents, float(body.tumour_volume_ml), ligand)
        (therapy,), pet = administered_mbq(latents, 1), administered_pet_mbq(latents)
        truth = {"ttv": body.tumour_volume_ml, "egfr_true": body.egfr_ml_min, "therapy": therapy, "pet": pet}
        rows.append(covariates_of(latents, body, lesions, ligand) | truth)
    return pd.DataFrame(rows)


def test_columns_are_those_of_the_catalogue_and_in_range() -> None:
    asked = set()
    for ligand in LIGANDS:
        table = cohort(ligand)
        own = set(table.columns) - {"ttv", "egfr_true", "therapy", "pet"}
        assert own < set(CLINICAL_COLUMNS)
        asked |= own
        for name in own:
            low, high = CLINICAL_COLUMNS[name].low, CLINICAL_COLUMNS[name].high
            assert table[name].dropna().between(low, high).all(), name
    assert asked == set(CLINICAL_COLUMNS)


def test_only_laboratory_values_are_missing_by_chance_and_by_age() -> None:
    table = cohort()
    missing = table.isna().mean()
    blood = [*LABORATORY.values(), *OWN_LABORATORY["psma"].values()]
    assert set(missing[missing > 0].index) == set(blood)
    assert missing[blood].mean() == pytest.approx(0.15, abs=0.015)
    gaps = table[blood].isna().mean(axis=1)
    old, young = gaps[table["age_y"] > 79].mean(), gaps[table["age_y"] < 63].mean()
    assert old == pytest.approx(0.05 + 0.20 * 0.93, abs=0.04)  # Phi at about 1.5 sd
    assert young == pytest.approx(0.05 + 0.20 * 0.07, abs=0.03)


def test_psa_follows_tumour_volume() -> None:
    table = cohort().dropna(subset=["psa_ng_per_ml"])
    r = np.corrcoef(np.log(table["psa_ng_per_ml"]), np.log(table["ttv"]))[0, 1]
    assert r == pytest.approx(0.6, abs=0.08)  # design: r 0.6, a little less since the volume's tails are cut


def test_egfr_is_measured_with_eight_percent_error() -> None:
    error = cohort()["egfr_ml_min"] / cohort()["egfr_true"] - 1.0
    assert error.std() == pytest.approx(0.08, abs=0.01)
    assert error.mean() == pytest.approx(0.0, abs=0.015)


def test_administered_activities() -> None:
    assert cohort()["therapy"].mean() == pytest.approx(7400, abs=50)
    assert cohort()["therapy"].std() == pytest.approx(300, rel=0.12)
    assert cohort()["pet"].mean() == pytest.approx(150, abs=4)


def test_events_have_their_share() -> None:
    assert cohort()["hypertension"].mean() == pytest.approx(0.35, abs=0.07)
    assert cohort()["diabetes"].mean() == pytest.approx(0.20, abs=0.06)


def test_graded_by_hand() -> None:
    parts = {0: 0.6, 1: 0.3, 2: 0.1}
    assert [graded(u, parts) for u in (0.0, 0.59, 0.61, 0.89, 0.91, 1.0)] == [0, 0, 1, 1, 2, 2]
