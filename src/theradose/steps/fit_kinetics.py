"""Fit every time-activity curve and integrate it; a refused fit takes the population's half-life and says why."""

import json
from argparse import Namespace
from typing import Any

import numpy as np
import pandas as pd

from theradose.cohort.curves import curve_fit, uncorrected_fit
from theradose.cohort.impossible import with_impossible
from theradose.cohort.layout import Dataset
from theradose.errors import SettingsError, TheradoseError, Where
from theradose.physics.kinetic_tia import TiaFit
from theradose.physics.nuclides import nuclide
from theradose.provenance import write_provenance
from theradose.sections import KineticsSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import TAC, TIAC, read_table, write_table
from theradose.vocabulary import organ_of


def options(settings: KineticsSettings, organ: str, half_life_h: float) -> dict[str, Any]:
    """Return the arguments of a fit that belong to an organ; SettingsError when no population half-life is declared."""
    if organ not in settings.population_t_eff_h:
        raise SettingsError(
            "organ has no population half-life",
            where=Where(field=f"kinetics.population_t_eff_h.{organ}"),
            expected="effective half-life in h",
            remedy="add it to the study's settings",
        )
    return {
        "half_life_h": half_life_h,
        "t_eff_h": settings.population_t_eff_h[organ],
        "t_eff_cv": settings.population_t_eff_cv,
        "uptake_half_time_h": settings.uptake_half_time_h.get(organ),
        "tail_flag": settings.tail_flag,
    }


def row(key: dict[str, Any], fit: TiaFit, plain: TiaFit, administered_mbq: float) -> dict[str, Any]:
    """Return the row of a fit; parameters and covariance are JSON."""
    return {
        **key, "model": fit.model, "tia_mbq_h": fit.tia_mbq_h, "tia_std_mbq_h": fit.tia_std_mbq_h,
        "tia_uncorrected_mbq_h": plain.tia_mbq_h, "tiac_h": fit.tia_mbq_h / administered_mbq,
        "tiac_std_h": fit.tia_std_mbq_h / administered_mbq, "t_eff_h": fit.t_eff_h, "tail_fraction": fit.tail_fraction,
        "aicc": fit.aicc if np.isfinite(fit.aicc) else np.nan, "flags": ";".join(fit.flags),
        "parameters": json.dumps(fit.parameters, sort_keys=True), "covariance": json.dumps(fit.covariance.tolist()),
        "reason": ": ".join(part for part in (fit.reason, fit.sentence) if part),
    }  # fmt: skip


def run(chosen: Namespace) -> None:
    """Fit all curves of a table."""
    settings, radionuclide = from_json(KineticsSettings, chosen.settings), nuclide(chosen.radionuclide)
    data, tac = Dataset(chosen.data), read_table(chosen.tac, TAC)
    administered = data.participants().set_index("patient")["administered_mbq"]
    rows = []
    for patient, curves in tac.groupby("patient"):
        for (cycle, voi), curve in curves.sort_values("time_h").groupby(["cycle", "voi"]):
            asked = options(settings, organ_of(str(voi)), radionuclide.half_life_h)
            try:
                points = (curve["time_h"], curve["activity_mbq"], curve["activity_std_mbq"])
                single = settings.single_time_point
                fit = curve_fit(*points, models=settings.models, single_time_point=single, **asked)
                plain = uncorrected_fit(curve, fit, settings.models, asked)
            except TheradoseError as error:
                raise error.at(patient=str(patient), voi=str(voi)) from None
            key = {"patient": patient, "cycle": cycle, "voi": voi, "radionuclide": radionuclide.name}
            rows.append(row(key, fit, plain, float(administered[patient])))
        print(f"fit_kinetics: patient {patient}, {curves['voi'].nunique()} VOIs", flush=True)
    given = {str(patient): float(mbq) for patient, mbq in administered.items()}
    fits = with_impossible(pd.DataFrame(rows, columns=TIAC.names()), tac, given, radionuclide.half_life_h)
    write_table(fits, chosen.out / "tiac.tsv", TIAC)
    write_provenance(chosen.out, "fit_kinetics", [chosen.tac, data.participants_file], settings.model_dump(mode="json"))


if __name__ == "__main__":
    start(arguments(__doc__, texts=("settings", "radionuclide"), paths=("data", "tac", "out")), run)
