"""Examples for TIACs: of each patient and organ the fraction taken up and how long the molecule stays.

Both are the molecule's own. From a fitted curve with TIAC and T_eff of the study's radionuclide, as one term:

    1/T_bio = 1/T_eff - 1/T_phys        f = TIAC (ln 2/T_bio + ln 2/T_phys)
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import FitError, SettingsError, Where
from theradose.models.examples import VOLUME, OrganExamples, allowed_columns, examples_of
from theradose.models.examples import subset as organ_subset
from theradose.physics.nuclides import nuclide
from theradose.physics.translation import effective_half_life_h, one_term_tiac_h, tia_ratio
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, SPLITS, TIAC, read_table
from theradose.vocabulary import IMPOSSIBLE, organ_of

# What a TIAC is translated to: radionuclides for therapy that live for a day or longer. Below, the uptake that one term
# leaves out costs more than 10 % at an uptake half-time of 2 h (`physics.translation.one_term_tiac_h`).
THERAPEUTIC = ("Lu-177", "Y-90", "I-131", "Tb-161", "Cu-67", "Sm-153", "Ho-166", "Ac-225")
# T_bio ends at this many physical half-lives. A curve that decays as the radionuclide has none; from here on T_eff lies
# within 10 % of T_phys, which scans over one T_phys cannot tell from it. f is taken with the T_bio kept, so the TIAC
# of the study's radionuclide is exact; a patient who washes nothing out stays an example rather than being left out.
LONGEST_T_BIO = 10.0
TARGET = "dose_gy_per_gbq"  # the column that `examples_of` takes a target from


@dataclass(frozen=True)
class TiacExamples:
    """Patients with one organ: covariates, TIAC and biological half-life to learn.

    `base` holds patients, covariates and, as `dose`, the TIAC (n,) of the study's `radionuclide` in h; `t_bio_h` (n,);
    `label_tiac_h` the TIAC (n,) with each radionuclide, that of the whole fitted curve. NaN where nothing is known.
    """

    base: OrganExamples
    t_bio_h: np.ndarray
    radionuclide: str
    label_tiac_h: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.base)

    @property
    def patients(self) -> Sequence[str]:
        """The patient of each example."""
        return self.base.patients

    @property
    def partitions(self) -> Sequence[str]:
        """The partition of each example."""
        return self.base.partitions

    @property
    def left_out(self) -> dict[str, str]:
        """Why each patient who is no example is none."""
        return self.base.left_out

    @property
    def half_life_h(self) -> float:
        """The physical half-life in h of the study's radionuclide."""
        return nuclide(self.radionuclide).half_life_h

    @property
    def t_eff_h(self) -> np.ndarray:
        """The effective half-life (n,) in h with the study's radionuclide."""
        return effective_half_life_h(self.t_bio_h, self.half_life_h)

    @property
    def uptake_fraction(self) -> np.ndarray:
        """The fraction taken up, (n,), in terms of administered activity."""
        return np.asarray(self.base.dose / one_term_tiac_h(1.0, self.t_bio_h, self.half_life_h))

    def with_target(self, target: np.ndarray) -> OrganExamples:
        """Return the examples of one positive number (n,), as predictors of organ doses take them."""
        return replace(self.base, dose=target)


def subset(examples: TiacExamples, patients: Collection[str]) -> TiacExamples:
    """Return the examples of some patients, in their order."""
    wanted = set(patients)
    chosen = np.array([patient in wanted for patient in examples.patients], bool)
    labels = {name: values[chosen] for name, values in examples.label_tiac_h.items()}
    return TiacExamples(organ_subset(examples.base, wanted), examples.t_bio_h[chosen], examples.radionuclide, labels)


def log_tiac(prediction: np.ndarray, half_life_h: float) -> np.ndarray:
    """Return log TIAC (n,), h, with a half-life (h), of predictions (n, 2) of log uptake fraction and log T_bio/h."""
    return np.asarray(np.log(one_term_tiac_h(np.exp(prediction[:, 0]), np.exp(prediction[:, 1]), half_life_h)))


def t_eff_of(prediction: np.ndarray, half_life_h: float) -> np.ndarray:
    """Return T_eff (n,) in h with a half-life (h), of predictions (n, 2) of log uptake fraction and log T_bio/h."""
    return effective_half_life_h(np.exp(prediction[:, 1]), half_life_h)


def nuclides_for(study: str, others: Sequence[str] = THERAPEUTIC) -> tuple[str, ...]:
    """Return the study's radionuclide and others, each once."""
    return tuple(dict.fromkeys((study, *others)))


def study_nuclide(tiac: pd.DataFrame) -> str:
    """Return the radionuclide of a table of kinetics (schema TIAC); SettingsError when it holds none or several."""
    found = sorted(set(tiac["radionuclide"]))
    if len(found) != 1:
        raise SettingsError(
            "TIACs are learned of one radionuclide", where=Where(field="radionuclide"), got=found, expected="one"
        )
    return str(found[0])


def _ratio(row: Mapping[Any, Any], half_life_h: float, other_h: float) -> float:
    """Return the TIA with another half-life (h) over the fitted one; of a method without a curve, as one term."""
    try:
        return tia_ratio(json.loads(row["parameters"]), half_life_h, other_h)
    except FitError as error:
        if error.reason != "no_curve":
            raise
        t_bio_h = 1.0 / max(1.0 / row["t_eff_h"] - 1.0 / half_life_h, 1.0 / (LONGEST_T_BIO * half_life_h))
        return float(one_term_tiac_h(1.0, t_bio_h, other_h) / one_term_tiac_h(1.0, t_bio_h, half_life_h))


def targets(tiac: pd.DataFrame) -> pd.DataFrame:
    """Return patient, voi (the organ), t_bio_h and the TIAC (h) with each radionuclide, in columns of its name.

    `tiac` has the schema TIAC. It is the first cycle in which no VOI of the organ has an impossible curve; VOIs of one
    organ are one term together: their TIACs and fractions add up, so T_eff is the mean weighted by fraction.
    """
    study = study_nuclide(tiac)
    half_life_h = nuclide(study).half_life_h
    bad = [bool(set(IMPOSSIBLE) & set(str(flags).split(";"))) for flags in tiac["flags"]]
    table = tiac.assign(organ=tiac["voi"].map(organ_of), bad=bad)
    place = ["patient", "organ", "cycle"]
    table = table[~table.groupby(place)["bad"].transform("any") & (table["tiac_h"] > 0) & (table["t_eff_h"] > 0)]
    table = table[table["cycle"] == table.groupby(["patient", "organ"])["cycle"].transform("min")]
    for name in nuclides_for(study):
        other_h = nuclide(name).half_life_h
        ratios = [_ratio(row, half_life_h, other_h) if name != study else 1.0 for row in table.to_dict("records")]
        table = table.assign(**{name: table["tiac_h"] * np.array(ratios, float)})
    table = table.assign(rate=table["tiac_h"] / table["t_eff_h"])
    sums = table.groupby(["patient", "organ"], as_index=False)[[*nuclides_for(study), "rate"]].sum()
    t_eff_h = sums[study] / sums["rate"]
    longest = LONGEST_T_BIO * half_life_h
    sums["t_bio_h"] = 1.0 / np.maximum(1.0 / t_eff_h - 1.0 / half_life_h, 1.0 / longest)
    return sums.drop(columns="rate").rename(columns={"organ": "voi"})


def tiac_examples(
    organ: str,
    covariates: pd.DataFrame,
    *,
    found: pd.DataFrame,
    splits: pd.DataFrame,
    columns: Sequence[str],
    radionuclide: str,
) -> TiacExamples:
    """Join covariates, `targets` and split into the examples of one organ, patients in alphabetical order.

    DataError when covariates lack a column or no patient is left.
    """
    own = found[found["voi"] == organ]
    rows = covariates[(covariates["voi"] == organ) & covariates["patient"].isin(splits["patient"])]
    curve, volume = rows["patient"].isin(own["patient"]), rows[VOLUME] > 0
    why = dict.fromkeys(rows.loc[~curve, "patient"], "no curve of this organ that physics allows")
    why |= dict.fromkeys(rows.loc[curve & ~volume, "patient"], f"no volume ({VOLUME})")
    base = examples_of(organ, rows[curve & volume], own.rename(columns={radionuclide: TARGET}), splits, columns)
    base = replace(base, left_out={**base.left_out, **why})
    known = own.set_index("patient").loc[list(base.patients)]
    labels = {name: known[name].to_numpy(float) for name in nuclides_for(radionuclide)}
    return TiacExamples(base, known["t_bio_h"].to_numpy(float), radionuclide, labels)


def load_tiacs(
    *,
    splits: Path,
    covariates: Path,
    covariate_manifest: Path,
    tiac: Path,
    organs: Sequence[str],
    patterns: Sequence[str],
) -> dict[str, TiacExamples]:
    """Return the examples of each organ; the volume of the organ is always among the columns."""
    curves, who = read_table(tiac, TIAC), read_table(splits, SPLITS)
    table = read_table(covariates, COVARIATES)
    manifest = read_table(covariate_manifest, COVARIATE_MANIFEST)
    columns = allowed_columns(manifest, (*patterns, VOLUME) if patterns else ())
    found, study = targets(curves[curves["voi"].map(organ_of).isin(organs)]), study_nuclide(curves)
    shared: dict[str, Any] = {"found": found, "splits": who, "columns": columns, "radionuclide": study}
    return {organ: tiac_examples(organ, table, **shared) for organ in organs}
