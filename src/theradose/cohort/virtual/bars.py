"""The figures that the design sets or publishes, beside what the virtual patients give (design of the cohort, 2 to 9).

A bar has bounds. A figure without them is printed beside ours for comparison: it was measured on a prototype with other
constants, or published on other patients. `how` tells what was set for the purpose from what comes out by itself.
Tier 1 has self-dose only; what other organs add to the marrow is measured on a few patients with images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from theradose.cohort.virtual.asymptotic import Asymptote
from theradose.cohort.virtual.exposures import exposure_of_many
from theradose.cohort.virtual.floors import floor_mape, log_sd_of
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.limits import World, asymptotic, closed_form, oracle_ladder, resimulated
from theradose.cohort.virtual.observables import Clinic
from theradose.cohort.virtual.outcome_scores import bayes_auc, brier_floor, expected_auc, literal_latency_floor
from theradose.cohort.virtual.outcomes import (
    LATENCY_LOG_SD,
    kidney_bed_gy,
    kidney_risk,
    latency_of,
    log_latency,
    probabilities,
)
from theradose.cohort.virtual.patient import virtual_patient
from theradose.cohort.virtual.planted import MBQ_PER_GBQ, planted_self_dose_gy
from theradose.cohort.virtual.tier_one import TierOne
from theradose.cohort.virtual.truth import truth_of_vois
from theradose.errors import SettingsError
from theradose.physics.timepoints import Target, schedules
from theradose.vocabulary import LESIONS

Array = NDArray[np.float64]
Row = tuple[str, float, float, float, str, str]  # name, value, low, high, published, how
BY_ITSELF, TUNED = "by itself", "tuned"
ANY = (-np.inf, np.inf)
RADIONUCLIDE, COUPLING, CLINIC = "Lu-177", 0.6, Clinic(("north", "south"), 8.0, "xue_like")
IMAGED = 8
SCAN_NOISE = 0.08  # the design's range is 8 to 10 %; its table holds with 8 %

MEAN, MEDIAN, CV, LOG_SD = "mean dose, Gy/GBq", "median dose, Gy/GBq", "CV of dose", "sd of log dose"
R_SUV, R_EGFR, SINK = "r(PET uptake, dose)", "r(eGFR, dose)", "sink, log dose per log tumour volume"
T_EFF, UPTAKE = "effective half-life, h", "median uptake, % of activity"

# Organ, figure, bounds, published, how. Section 2; section 9 for the bars of the kidneys. Bounds round a single figure
# are 5 % of a half-life, 10 % of a dose, 0.05 of the kidneys' CV and 0.1 of the CV and log-sd of spleen and tumour.
DOSES: dict[str, list[tuple[str, str, float, float, str, str]]] = {
    "psma": [
        ("kidneys", MEAN, 0.40, 0.55, "0.40 to 0.55; prototype 0.48", BY_ITSELF),
        ("kidneys", CV, 0.30, 0.45, "0.30 to 0.45; prototype 0.42", BY_ITSELF),
        ("kidneys", R_EGFR, -0.40, -0.15, "-0.40 to -0.15", BY_ITSELF),
        ("kidneys", R_SUV, *ANY, "prototype 0.76", BY_ITSELF),
        ("parotids", MEAN, *ANY, "prototype 0.65", BY_ITSELF),
        ("parotids", CV, *ANY, "prototype 0.43", BY_ITSELF),
        ("parotids", R_SUV, *ANY, "prototype 0.75", BY_ITSELF),
        ("submandibulars", R_SUV, *ANY, "prototype 0.76", BY_ITSELF),
        ("lacrimals", MEAN, *ANY, "label 2.1", TUNED),
        ("liver", MEAN, *ANY, "prototype 0.11", BY_ITSELF),
        ("liver", R_SUV, *ANY, "prototype 0.67", BY_ITSELF),
        ("spleen", MEAN, *ANY, "label 0.067; prototype 0.17 at twice the F0", TUNED),
        ("spleen", R_SUV, *ANY, "prototype 0.73", BY_ITSELF),
        ("marrow", MEAN, *ANY, "label 0.035; prototype 0.013 at 0.4 of the F0; ours self-dose only", TUNED),
        ("marrow", R_SUV, *ANY, "prototype 0.60", BY_ITSELF),
        (LESIONS, UPTAKE, *ANY, "prototype 3.4", BY_ITSELF),
    ],
    "dotatate": [
        ("kidneys", T_EFF, 47.5, 52.5, "50", TUNED),
        ("kidneys", MEAN, 0.46, 0.57, "0.46 to 0.57", TUNED),
        ("kidneys", CV, 0.30, 0.40, "0.35", TUNED),
        ("kidneys", R_EGFR, -0.40, -0.15, "-0.40 to -0.15", BY_ITSELF),
        ("liver", T_EFF, 64.6, 71.4, "68", TUNED),
        ("spleen", T_EFF, 64.6, 71.4, "68", TUNED),
        ("spleen", MEAN, 0.765, 0.935, "0.85", TUNED),
        ("spleen", CV, 0.7, 0.9, "0.8", TUNED),
        (LESIONS, T_EFF, 77.0, 100.0, "77 to 100", TUNED),
        (LESIONS, MEDIAN, 3.06, 3.74, "3.4", TUNED),
        (LESIONS, LOG_SD, 0.6, 0.8, "0.7", TUNED),
        ("marrow", MEAN, *ANY, "self-dose only: see below", TUNED),
    ],
}
# With what other organs add.
MARROW: dict[str, tuple[float, float, str]] = {
    "psma": (*ANY, "label 0.035"),
    "dotatate": (0.035, 0.057, "0.035 to 0.057"),
}
LESION_SCANS = tuple(f"{floor} at 60 h, log-sd 0.34" for floor in (10.3, 5.5))
SCANS: dict[str, tuple[float, dict[str, tuple[str, ...]]]] = {
    "psma": (48.0, {"kidneys": ("6.4 at 32 h, log-sd 0.16", "4.3"), LESIONS: LESION_SCANS}),
    "dotatate": (72.0, {"kidneys": ("6.7 at 48 h, log-sd 0.20", "4.4"), LESIONS: LESION_SCANS}),
}
"""The best hour of a single scan of the kidneys; floors of the best single scan and best pair in % (section 7)."""

SPREADS = {"parotids": ("prototype 0.216", "prototype 17.1"), "spleen": ("prototype 0.300", "prototype 23.6")}


@dataclass(frozen=True)
class Bar:
    """A figure of ours, its bounds (infinite: none), what was published, and how ours came about."""

    name: str
    value: float
    low: float
    high: float
    published: str
    how: str
    patients: int
    seed: int

    @property
    def judged(self) -> bool:
        """Whether the figure has a bound."""
        return bool(np.isfinite([self.low, self.high]).any())

    @property
    def held(self) -> bool:
        """Whether the figure lies within its bounds; what is not a number does not."""
        return self.low <= self.value <= self.high


def world_of(ligand: str, coupling: float = COUPLING) -> World:
    """Return the world that the bars are about; SettingsError for an unknown ligand."""
    if ligand not in LIGANDS:
        raise SettingsError("unknown ligand", got=ligand, expected=f"one of {', '.join(LIGANDS)}")
    return World(ligand, RADIONUCLIDE, coupling, CLINIC)


def arithmetic() -> list[Row]:
    """Return the limit in one line: erf(s / sqrt 2), and back."""
    table = {0.1: 0.0797, 0.2: 0.1585, 0.3: 0.2358, 0.5: 0.3829}
    rows = [
        (f"smallest MAPE at s = {s:g}, %", 100 * float(floor_mape(s)), 100 * p - 0.005, 100 * p + 0.005)
        for s, p in table.items()
    ]
    rows.append(("s behind a MAPE of 15.8 %", float(log_sd_of(0.158)), 0.1985, 0.1995))
    published = [*(f"{100 * p:.2f}" for p in table.values()), "0.199"]
    return [(*row, text, BY_ITSELF) for row, text in zip(rows, published, strict=True)]


def figures(cohort: TierOne, organ: str) -> dict[str, float]:
    """Return the figures of the first cycle's dose to an organ."""
    dose, volume_ml = np.asarray(cohort.dose_gy_per_gbq[organ][0]), cohort.body.tumour_volume_ml
    return {
        MEAN: float(dose.mean()),
        MEDIAN: float(np.median(dose)),
        CV: float(dose.std() / dose.mean()),
        LOG_SD: float(np.log(dose).std()),
        R_SUV: float(np.corrcoef(cohort.suv(organ), dose)[0, 1]),
        R_EGFR: float(np.corrcoef(cohort.body.egfr_ml_min, dose)[0, 1]),
        SINK: float(np.polyfit(np.log(volume_ml), np.log(dose), 1)[0]),
        T_EFF: float(np.median(cohort.t_eff_h[organ])),
        UPTAKE: 100 * float(np.median(cohort.kinetics.uptake[organ])),
    }


def doses(cohort: TierOne) -> list[Row]:
    """Return the figures of section 2 and the sink of every organ."""
    found = {organ: figures(cohort, organ) for organ in cohort.mass_g}
    rows: list[Row] = [
        (f"{organ}: {name}", found[organ][name], low, high, published, how)
        for organ, name, low, high, published, how in DOSES[cohort.ligand]
    ]
    return rows + [(f"{organ}: {SINK}", own[SINK], -np.inf, 0.0, "below 0", BY_ITSELF) for organ, own in found.items()]


def scans(cohort: TierOne) -> Iterator[Row]:
    """Yield the best hour of a single scan, and what it and the best pair leave, for these patients' half-lives."""
    hour, floors = SCANS[cohort.ligand]
    for organ, published in floors.items():
        half_life_h = np.asarray(cohort.t_eff_h[organ])
        target = Target(float(np.median(half_life_h)), float(np.log(half_life_h).std()), SCAN_NOISE)
        one, pair = (schedules(number, target)[0] for number in (1, 2))
        if organ == "kidneys":
            yield f"{organ}: best single scan, h", one.times_h[0], hour, hour, f"{hour:g}", BY_ITSELF
        for name, found, text in zip(("scan", "pair"), (one, pair), published, strict=True):
            yield f"{organ}: error left by the best {name}, %", 100 * found.floor, *ANY, text, BY_ITSELF


def marrow_cross_gy_per_gbq(world: World, patients: int) -> Array:
    """Return what everything else gives the marrow, Gy/GBq, of patients with images on the clinic's grid."""
    found, clinic = [], world.clinic
    for index in range(patients):
        patient = virtual_patient(
            world.seed, index, centres=clinic.centres, spacing_mm=clinic.spacing_mm, difficulty=clinic.difficulty,
            texture_coupling=world.texture_coupling, ligand=world.ligand,
        )  # fmt: skip
        table = truth_of_vois(patient, world.radionuclide)
        row = table.loc[table["voi"] == "red_marrow", ["dose_gy", "tia_mbq_h", "mass_g"]]
        dose_gy, tia_mbq_h, mass_g = row.to_numpy(float)[0].tolist()
        own_gy = planted_self_dose_gy("marrow", tia_mbq_h, mass_g, world.radionuclide)
        found.append((dose_gy - own_gy) / patient.administered_mbq * MBQ_PER_GBQ)
    return np.array(found)


def _best(world: World, organ: str, information: str, patients: int) -> Asymptote:
    """Return what the best of the models leaves."""
    return min(asymptotic(world, organ, information, patients).values(), key=lambda one: one.log_sd)


def kidney_limits(world: World, patients: int) -> Iterator[Row]:
    """Yield the limits of the kidney dose; those in % are bars for PSMA alone."""
    plain, psma, rho = replace(world, texture_coupling=0.0), world.ligand == "psma", f"{world.texture_coupling:g}"
    told = {kind: [_best(kind, "kidneys", name, patients) for name in ("table", "log")] for kind in (plain, world)}
    closed = closed_form(plain, "kidneys", "table")["total"]
    again = resimulated(plain, "kidneys", patients // 20).log_sd
    known = oracle_ladder(plain, "kidneys", patients)["half_life"]
    rows: list[tuple[str, float, tuple[float, float], str]] = [
        ("limit, %, table, coupling 0", 100 * told[plain][0].mape, (15.0, 17.5), "15 to 17.5; prototype 16.1"),
        (f"limit, %, with LoG, coupling {rho}", 100 * told[world][1].mape, (12.5, 14.5), "12.5 to 14.5"),
        ("s, table, coupling 0", told[plain][0].log_sd, ANY, "prototype 0.203"),
        ("s, closed form, coupling 0", closed, ANY, "prototype 0.205"),
        ("s, therapies again, coupling 0", again, ANY, "its budget without PET and mass 0.192"),
        (f"s, table, coupling {rho}", told[world][0].log_sd, ANY, "prototype 0.190"),
        (f"s, with LoG, coupling {rho}", told[world][1].log_sd, ANY, "prototype 0.170"),
        ("limit, %, half-life known, coupling 0", 100 * known.mape, ANY, "prototype 11.1"),
    ]
    for name, value, bounds, published in rows:
        yield f"kidneys: {name}", value, *(bounds if psma else ANY), published if psma else "", BY_ITSELF
    for kind, low, high, text in ((plain, -0.005, 0.005, "0 +- 0.005"), (world, 0.012, np.inf, "at least 0.012")):
        gain = told[kind][0].log_sd - told[kind][1].log_sd
        yield f"kidneys: LoG lowers s by, coupling {kind.texture_coupling:g}", gain, low, high, text, BY_ITSELF


def spreads(world: World, patients: int) -> Iterator[Row]:
    """Yield the smallest spread of log dose and MAPE of every other organ without texture."""
    for organ in (name for name in LIGANDS[world.ligand].organs if name != "kidneys"):
        found = _best(replace(world, texture_coupling=0.0), organ, "table", patients)
        s, mape = SPREADS.get(organ, ("", "")) if world.ligand == "psma" else ("", "")
        yield f"{organ}: s, table, coupling 0", found.log_sd, *ANY, s, BY_ITSELF
        yield f"{organ}: limit, %, table, coupling 0", 100 * found.mape, *ANY, mape, BY_ITSELF


def outcomes(cohort: TierOne) -> list[Row]:
    """Return the figures of section 6. Bounds: 8 % (BED), 6 % (latency), 0.01 (parts), 0.02 (AUC), 0.04 (spread)."""
    exposure, latents = exposure_of_many(cohort), cohort.latents
    bed, log_months = np.asarray(kidney_bed_gy(exposure)), np.asarray(log_latency(exposure))
    log_time = log_months + LATENCY_LOG_SD * latents.z("latency")
    seen = latency_of(exposure, latents.z("latency"), latents.z("dropout"))
    chances = {name: np.asarray(p) for name, p in probabilities(exposure).items()}
    toxic, dry, marrow = (chances[name] for name in ("kidney_toxicity", "xerostomia", "marrow_toxicity"))
    strict = np.asarray(probabilities(exposure, "strict")["kidney_toxicity"])
    centred = [  # name, value, published, reach of the bar, how
        ("kidney BED, median, Gy", float(np.median(bed)), 14.5, 14.5 * 0.08, BY_ITSELF),
        ("kidney BED, 90th percentile, Gy", float(np.quantile(bed, 0.9)), 26.0, 26.0 * 0.08, BY_ITSELF),
        ("kidney toxicity, part", float(toxic.mean()), 0.081, 0.01, BY_ITSELF),
        ("kidney toxicity, Bayes AUC", bayes_auc(toxic), 0.738, 0.02, BY_ITSELF),
        ("kidney toxicity, smallest Brier score", brier_floor(toxic), 0.063, 0.01, BY_ITSELF),
        ("kidney toxicity, AUC of BED", expected_auc(toxic, bed), 0.735, np.inf, BY_ITSELF),
        ("kidney toxicity, AUC of PET uptake", expected_auc(toxic, cohort.suv("kidneys")), 0.688, np.inf, BY_ITSELF),
        ("kidney toxicity, AUC of risk factors", expected_auc(toxic, kidney_risk(exposure)), 0.555, np.inf, BY_ITSELF),
        ("kidney toxicity, strict, part", float(strict.mean()), 0.116, np.inf, BY_ITSELF),
        ("kidney toxicity, strict, Bayes AUC", bayes_auc(strict), 0.745, np.inf, BY_ITSELF),
        ("xerostomia, part", float(dry.mean()), 0.24, 0.01, BY_ITSELF),
        ("xerostomia, Bayes AUC", bayes_auc(dry), 0.677, 0.02, BY_ITSELF),
        ("xerostomia, AUC of PET uptake", expected_auc(dry, cohort.suv("parotids")), 0.637, np.inf, BY_ITSELF),
        ("marrow toxicity, part", float(marrow.mean()), 0.11, 0.01, TUNED),
        ("latency, median, months", float(np.exp(np.median(log_time))), 21.8, 21.8 * 0.06, BY_ITSELF),
        ("latency, sd of the log", float(log_time.std()), 0.59, 0.04, BY_ITSELF),
        ("latency, beyond 36 months, part", float(np.mean(log_time > np.log(36.0))), 0.20, np.inf, BY_ITSELF),
        (
            "latency, smallest log RMSE, uncensored cases",
            literal_latency_floor(log_months, seen.time_months, seen.observed), 0.36, np.inf, BY_ITSELF,
        ),
    ]  # fmt: skip
    return [(name, value, at - reach, at + reach, f"{at:g}", how) for name, value, at, reach, how in centred]


def bars(ligand: str = "psma", patients: int = 20000, imaged: int = IMAGED) -> list[Bar]:
    """Return every figure of a ligand, on `patients` without images and `imaged` with them.

    The outcomes' parameters are those of PSMA patients, so other ligands have none here. Errors: `world_of`.
    """
    world = world_of(ligand)
    cohort = world.cohort(patients)
    marrow = figures(cohort, "marrow")[MEAN] + float(marrow_cross_gy_per_gbq(world, imaged).mean())
    groups: list[tuple[int, list[Row]]] = [
        (0, arithmetic()),
        (patients, doses(cohort)),
        (imaged, [("marrow: mean dose with that from elsewhere, Gy/GBq", marrow, *MARROW[ligand], TUNED)]),
        (patients, [*scans(cohort), *kidney_limits(world, patients), *spreads(world, patients)]),
        (patients, outcomes(world.cohort(patients, 4)) if ligand == "psma" else []),
    ]
    return [Bar(*row, number, world.seed) for number, rows in groups for row in rows]
