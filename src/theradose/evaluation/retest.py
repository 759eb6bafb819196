"""Test and retest: what features and predicted doses do when the PET of the same patient gets new noise.

Every PET before therapy is drawn again with the noise it has itself (`imaging.renoise`), features are extracted as the
models' cards say, and doses are predicted from them. Nothing else of a second scan is drawn: no other position, outline
or uptake of the day; so this is the floor of what a real retest would show.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from theradose.cohort.layout import PRE, Dataset
from theradose.errors import DataError, TheradoseError
from theradose.features.covariates import SHAPE, assemble, pre_therapy_columns
from theradose.features.patient import patient_features, resolution_of
from theradose.features.presets import preset_from
from theradose.features.sessions import DELTA, changes_sign
from theradose.imaging.augment import copy_rng
from theradose.imaging.renoise import noise_of, renoised
from theradose.imaging.volume import Volume
from theradose.learning_schemas import RETEST_DOSES, RETEST_FEATURES
from theradose.models.examples import SUV
from theradose.models.new_patients import predict_new
from theradose.models.store import Trained
from theradose.physics.uncertainty import PROFILES
from theradose.tables import DRAWS

PER_STEP_BAR_PCT = 100.0 * PROFILES["paper_step"][1]["recovery"]
PET = "pet"
KEY = ["voi", "patient"]


@dataclass(frozen=True)
class Retest:
    """What is asked: a data set, how its features are extracted (from a model's card), how often, and the seed."""

    data: Dataset
    radiomics: Mapping[str, Any]
    repeats: int
    seed: int


@dataclass(frozen=True)
class _OtherPets(Dataset):
    """A data set in which some files hold other images; `listed` is its manifest, read once."""

    listed: pd.DataFrame
    images: Mapping[str, Volume] = field(default_factory=dict)

    def manifest(self) -> pd.DataFrame:
        return self.listed

    def load(self, row: "pd.Series[Any]") -> Volume:
        return self.images.get(str(row["file"])) or super().load(row)


def retested(asked: Retest, patient: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a patient's features of every repeat (schema FEATURES and `repeat`), and the draws (schema DRAWS).

    The noise of a repeat depends on seed, patient and repeat alone. Errors name the patient: no single mask, or no
    tissue to read noise from.
    """
    try:
        return _retested(asked, patient)
    except TheradoseError as error:
        raise error.at(patient=patient) from None


def _retested(asked: Retest, patient: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings, listed = asked.radiomics["settings"], asked.data.manifest()
    data = _OtherPets(asked.data.root, listed)
    people = data.participants().set_index("patient")
    presets = {m: preset_from(content, m, f"{m} of the model") for m, content in asked.radiomics["presets"].items()}
    about = {
        "weight_kg": float(people["weight_kg"][patient]), "organs": settings["organs"],
        "min_voxels": settings["min_voxels"],
        "fwhm_mm": resolution_of(str(people["centre"][patient]), settings.get("pet_fwhm_mm", {})),
    }  # fmt: skip
    mask = data.load_one(patient, "mask", PRE)
    rows = {str(row["file"]): row for _, row in data.rows(patient, PET, PRE).iterrows()}
    pets = {file: data.load(row) for file, row in rows.items()}
    noises = {file: noise_of(pet, mask) for file, pet in pets.items()}
    still = {modality: preset for modality, preset in presets.items() if modality != PET}
    unchanged, tables, draws = patient_features(data, patient, presets=still, **about), [], []
    for repeat in range(asked.repeats):
        seeds = dict(zip(pets, copy_rng(asked.seed, patient, repeat).integers(2**31, size=len(pets)), strict=True))
        noisy = {f: renoised(pet, noises[f], int(seeds[f])) for f, pet in pets.items()}
        other = _OtherPets(data.root, listed, noisy)
        changed = patient_features(other, patient, presets={PET: presets[PET]}, **about)
        parts = [table for table in (changed, unchanged) if not table.empty]
        tables.append(pd.concat(parts or [changed], ignore_index=True).assign(repeat=repeat))
        drawn = [{"file": f, "noise_seed": int(seeds[f]), **asdict(noises[f])} for f in pets]
        draws.append((patient, repeat, asked.seed, json.dumps(drawn, sort_keys=True)))
    return pd.concat(tables, ignore_index=True), pd.DataFrame(draws, columns=DRAWS.names())


def _covariates(asked: Retest, features: pd.DataFrame) -> pd.DataFrame:
    """Return the covariate tables of all repeats as one, with the columns `repeat` and `centre`."""
    people = pre_therapy_columns(asked.data.participants())[0]
    patients, organs = list(dict.fromkeys(features["patient"])), asked.radiomics["settings"]["organs"]
    tables = [
        assemble(own.drop(columns="repeat"), people, patients, organs)[0].assign(repeat=repeat)
        for repeat, own in features.groupby("repeat")
    ]
    return pd.concat(tables, ignore_index=True).merge(people[["patient", "centre"]], on="patient", how="left")


def _of_pet(column: str) -> bool:
    """Tell whether new noise in the PET can change a covariate; shape, CT and clinical ones stay."""
    return column == SUV or (column.startswith((PET, f"{DELTA}.{PET}")) and f".{SHAPE}." not in column)


def has_ratio(column: str) -> bool:
    """Tell whether a covariate of the PET has a zero that means none, so that a standard deviation over it says much.

    >>> has_ratio("pet.original.glcm.Contrast"), has_ratio("pet_4h.log-sigma-8-0-mm-3D.firstorder.Mean")
    (True, False)
    """
    if column == SUV or column.startswith(DELTA):
        return column == SUV
    names = ("modality", "filter", "feature_class", "feature")
    return not changes_sign(pd.Series(dict(zip(names, [PET, *column.rsplit(".", 3)[1:]], strict=True))))


def scatter(table: pd.DataFrame, columns: Sequence[str], repeats: int) -> pd.DataFrame:
    """Return how columns of a table (patient, voi, a row each repeat) scatter within patients: a row a VOI and column.

    `cov_pct`: the root mean square over patients of standard deviation over |mean|, %, `worst_cov_pct` the largest;
    `sd_over_between`: the standard deviation within patients over that between their means. Only patients with a value
    in every repeat count; a mean of zero has no CoV.
    """
    groups = table.groupby(KEY, sort=False)[list(columns)]
    whole = groups.count() == repeats
    mean, sd = groups.mean().where(whole), groups.std().where(whole)
    cov = (100.0 * sd / mean.abs()).where(mean != 0.0)

    def by_voi(values: pd.DataFrame) -> Any:
        return values.groupby(level="voi", sort=False)

    between = by_voi(mean).std()
    found = {
        "patients": by_voi(whole).sum(),
        "cov_pct": np.sqrt(by_voi(cov**2).mean()),
        "worst_cov_pct": by_voi(cov).max(),
        "sd_over_between": np.sqrt(by_voi(sd**2).mean()) / between.where(between > 0.0),
    }
    long = {name: wide.rename_axis(columns="feature").stack() for name, wide in found.items()}  # noqa: PD013 - keeps NaN
    rows = pd.DataFrame(long)
    return rows[rows["patients"] > 0].reset_index().assign(repeats=repeats)


def feature_scatter(covariates: pd.DataFrame, repeats: int) -> pd.DataFrame:
    """Return the scatter of every covariate of the PET (schema RETEST_FEATURES).

    What may change sign, and changes from one PET to the next, have no CoV: their mean may be near zero without meaning
    that there is little. `sd_over_between` tells of them, and of all others.
    """
    found = scatter(covariates, [str(c) for c in covariates if _of_pet(str(c))], repeats)
    ratios = {name: has_ratio(name) for name in found["feature"].unique()}
    signed = ~found["feature"].map(ratios)
    found.loc[signed, ["cov_pct", "worst_cov_pct"]] = np.nan
    return found[RETEST_FEATURES.names()]


def dose_scatter(covariates: pd.DataFrame, models: Mapping[str, Trained], repeats: int) -> pd.DataFrame:
    """Return the scatter of the doses that models predict (schema RETEST_DOSES), and whether it keeps the bar."""
    doses = covariates[["patient", "voi", "repeat"]].copy()
    for name, trained in models.items():
        own = [
            predict_new(trained, rows).assign(repeat=repeat)[["patient", "voi", "repeat", "dose_gy_per_gbq"]]
            for repeat, rows in covariates.groupby("repeat")
        ]
        doses = doses.merge(pd.concat(own).rename(columns={"dose_gy_per_gbq": name}), how="left")
    found = scatter(doses, list(models), repeats).rename(columns={"feature": "predictor"})
    met = np.where(found["cov_pct"] < PER_STEP_BAR_PCT, "yes", "no")
    table = found.assign(per_step_bar_pct=PER_STEP_BAR_PCT, met=met)[RETEST_DOSES.names()]
    return table.sort_values("predictor", key=lambda names: names.map(list(models).index), kind="stable")


def how_extracted(models: Mapping[str, Trained]) -> dict[str, Any]:
    """Return how the features of all models are extracted; DataError when the models do not say, or not the same."""
    told = [trained.card.get("radiomics") for trained in models.values()]
    if not told or told[0] is None or any(one != told[0] for one in told):
        raise DataError(
            "the models do not say how their features are extracted, or not the same",
            got=list(models), remedy="train them in one study", code="THR-424",
        )  # fmt: skip
    return dict(told[0])


def retest(
    asked: Retest, models: Mapping[str, Trained], features: Sequence[pd.DataFrame]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scatter of features and of predicted doses, of the features (`retested`) of several patients."""
    covariates = _covariates(asked, pd.concat(features, ignore_index=True))
    return feature_scatter(covariates, asked.repeats), dose_scatter(covariates, models, asked.repeats)
