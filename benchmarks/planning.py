"""Whether a planned activity breaks limits as often as the plan says: `python benchmarks/planning.py`.

Training and fresh patients are drawn from tier 1 (virtual, no images, four cycles); models are the project's own,
calibrated by out-of-fold residuals, and the plan is that of `theradose plan`.

What the stated probability p is: for each organ (`--each`) the chance, over patients and over training sets, that a
patient planned to this organ's own limit exceeds it. Held jointly (`--joint`) p bounds the chance that any limit is
exceeded, and since the bound is a sum over organs, less is exceeded. What p is not:

- The chance for one training set. All patients of a clinic share the error of its model's level and spread: the part
  exceeded scatters over training sets by about phi(z) sqrt((1 + z^2 / 2) / n), z the normal quantile of p, 1.2 to 2.5
  points for n = 165, 3 to 6 for n = 27. That is why the bar is on the mean over draws.
- The chance given which organ binds. An organ that binds often is exceeded about as often as stated; one that seldom
  does (marrow here) binds where its prediction is too high, and is exceeded less. Column `bias` shows it: the mean log
  error of the binding organ in units of the plan's spread, beside the standard deviation in the same units.
- About half-lives and cycles. Kidneys are exceeded 1 to 3 points less often than stated by patients' half-lives, and as
  stated by the plan's (column `plan T`): who gets more dose than predicted has a longer half-life, and so less BED for
  it. Where cycles differ (column `cycles`) errors average out, and small p are exceeded less often.

tests/evaluation/test_planning_benchmark.py runs the same functions on less. Research use only.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from learning import CURVE, SEED, SMALL, TEST_SEED, USUAL, chosen, examples_of, rows_of, say, world_of
from scipy import stats
from scipy.special import stdtr

from theradose.cohort.virtual.bars import CLINIC, COUPLING, RADIONUCLIDE
from theradose.models.baselines import PetScaled
from theradose.models.examples import OrganExamples
from theradose.models.linear import HybridDose
from theradose.models.organ_dose import RESIDUALS, calibrate
from theradose.models.patient_plan import PlanRequest, plan_patient
from theradose.models.predictors import Predictor
from theradose.models.store import Trained
from theradose.physics.limits import constant
from theradose.physics.planning import OrganRisk
from theradose.physics.radiobiology import bed_gy

CYCLES, PROBABILITIES, REACH, CERTAIN, ALIKE = 4, (0.05, 0.10, 0.20), 0.03, 1e-3, 1e-6
SAMPLE, SECANTS = 200, 8  # patients planned one by one, too; steps: more change nothing
MODELS: tuple[type[Predictor], ...] = (PetScaled, HybridDose)
# As the table of limits has them, and such that several organs bind about equally often: the cautious limit of the
# kidneys (Bodei 2008), 40 Gy where Dijkema (2010) finds half of the parotids dry, 39 Gy of Murdoch-Kinch (2008).
LIMIT_SETS: dict[str, dict[str, dict[str, float]]] = {
    "table": {},
    "close": {
        "kidneys": {"limit_bed_gy": 28.0},
        "parotids": {"limit_dose_gy": 40.0},
        "submandibulars": {"limit_dose_gy": 39.0},
    },
}
ALL, EACH, JOINT = "all", "each", "joint"
# The binding organ's limit exceeded: by the patient's own half-life; by that of the plan; by cycles as they differ.
OWN, OF_PLAN, AS_GIVEN = "binding", "plan_half_life", "cycles_differ"
WAYS = (OWN, OF_PLAN, AS_GIVEN)
FIGURES = ["share", *WAYS, "any", "bias", "spread"]
KEY = ["limits", "model", "n", "held", "p"]


@dataclass(frozen=True)
class Fresh:
    """Patients to plan for, by organ: examples, true dose per activity (cycles, n) in Gy/GBq, half-life (n,) in h."""

    examples: dict[str, OrganExamples]
    dose_gy_per_gbq: dict[str, np.ndarray]
    t_eff_h: dict[str, np.ndarray]


def limited_organs() -> list[str]:
    """Return the organs of the virtual patients that have a limit."""
    return [organ for organ in world_of(COUPLING, SEED).organs() if PlanRequest().has_limit(organ)]


def fresh_patients(patients: int) -> Fresh:
    """Return patients nobody is trained on; the first are the same whatever their number."""
    world, organs = world_of(COUPLING, TEST_SEED), limited_organs()
    examples = {organ: examples_of(world, organ, patients) for organ in organs}
    cohort = world.cohort(patients, CYCLES)
    dose = {organ: np.array(cohort.dose_gy_per_gbq[organ]) for organ in organs}
    return Fresh(examples, dose, {organ: np.asarray(cohort.t_eff_h[organ]) for organ in organs})


def learned(
    predictor: type[Predictor], pool: Mapping[str, OrganExamples], fresh: Fresh, n: int, draw: int
) -> tuple[Trained, dict[str, np.ndarray]]:
    """Return the calibrated models of n patients, and by organ the medians (patients,) they predict, Gy/GBq."""
    predictors, calibration, medians = {}, {}, {}
    for organ, everyone in pool.items():
        own = rows_of(everyone, draw * max(CURVE), n)
        predictors[organ], residuals = chosen(predictor, own, draw)
        calibration[organ] = calibrate(own, own.log_dose - residuals)
        medians[organ] = np.exp(predictors[organ].predict(fresh.examples[organ]))
    return Trained(predictors, calibration, {}), medians


def predicted(medians: Mapping[str, np.ndarray], patient: int) -> pd.DataFrame:
    """Return the rows of one patient as `predict_new` gives them, nobody in doubt."""
    rows = [{"voi": o, "median_gy_per_gbq": float(m[patient]), "reasons": []} for o, m in medians.items()]
    return pd.DataFrame(rows)


def risks_at_one(trained: Trained, limits: str) -> tuple[OrganRisk, ...]:
    """Return the risks of a patient whose predictions are all 1 Gy/GBq: everyone's but for the dose."""
    ones = dict.fromkeys(trained.calibration, np.ones(1))
    request = PlanRequest(CYCLES, chosen=LIMIT_SETS[limits])
    return plan_patient(trained, predicted(ones, 0), request, radionuclide=RADIONUCLIDE).risks


def limits_gbq(risks: Sequence[OrganRisk], medians: Mapping[str, np.ndarray], probability: float) -> np.ndarray:
    """Return the highest activity of every organ by itself, (organs, patients), in GBq."""
    return np.array([risk.activity_limit_gbq(CYCLES, probability) / medians[risk.organ] for risk in risks])


def sigma(risk: OrganRisk) -> float:
    """Return the spread of the log dose that an organ is planned with."""
    return float(np.sqrt(np.log1p(risk.relative_std**2)))


def together_gbq(
    risks: Sequence[OrganRisk], medians: Mapping[str, np.ndarray], probability: float, highest_gbq: np.ndarray
) -> np.ndarray:
    """Return the activity (patients,) at which the organs' chances add up to `probability`, by secants of logarithms.

    `highest_gbq` (patients,) is where the first organ has it by itself.
    """
    allowed = [risk.allowed_dose_gy(CYCLES) / medians[risk.organ] for risk in risks]

    def above(log_gbq: np.ndarray) -> np.ndarray:
        scores = [(log_gbq - np.log(a)) / sigma(r) for r, a in zip(risks, allowed, strict=True)]
        return np.log(sum(stdtr(r.residuals, z) for r, z in zip(risks, scores, strict=True)) / probability)

    old, new = np.log(limits_gbq(risks, medians, probability / (2 * len(risks))).min(axis=0)), np.log(highest_gbq)
    before, now = above(old), above(new)
    for _ in range(SECANTS):
        step = np.divide(now * (new - old), now - before, out=np.zeros_like(now), where=now != before)
        old, before, new = new, now, new - step
        now = above(new)
    return np.asarray(np.exp(new))


def planned(
    risks: Sequence[OrganRisk], medians: Mapping[str, np.ndarray], probability: float, held: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the activity per cycle in GBq and the place of the binding organ among the risks, both (patients,)."""
    own = limits_gbq(risks, medians, probability)
    lowest = own.min(axis=0)
    activity = together_gbq(risks, medians, probability, lowest) if held == JOINT else lowest
    return activity, own.argmin(axis=0)


def totals_gy(risk: OrganRisk, activity_gbq: np.ndarray, fresh: Fresh) -> dict[str, np.ndarray]:
    """Return by way of judging what the limit is about, (patients,): true dose or BED in Gy over all cycles."""
    dose = activity_gbq * fresh.dose_gy_per_gbq[risk.organ]
    same = np.broadcast_to(dose[0], dose.shape)
    if risk.kind != "bed":
        return {OWN: same.sum(axis=0), OF_PLAN: same.sum(axis=0), AS_GIVEN: dose.sum(axis=0)}
    repair_h = constant(risk.organ, "t_repair_h").value
    own_g = repair_h / (repair_h + fresh.t_eff_h[risk.organ])
    ways = {OWN: (same, own_g), OF_PLAN: (same, risk.g), AS_GIVEN: (dose, own_g)}
    return {way: bed_gy(gy, g, risk.alpha_beta_gy).sum(axis=0) for way, (gy, g) in ways.items()}


def judged(
    risks: Sequence[OrganRisk], medians: Mapping[str, np.ndarray], fresh: Fresh, probability: float, held: str
) -> list[dict[str, Any]]:
    """Return the figures of all patients and of those whom each organ binds."""
    activity, binds = planned(risks, medians, probability, held)
    over = np.array([list(totals_gy(risk, activity, fresh).values()) for risk in risks])
    over = over > np.array([risk.limit_gy for risk in risks])[:, None, None]
    error = [np.log(fresh.dose_gy_per_gbq[r.organ][0] / medians[r.organ]) / sigma(r) for r in risks]
    each, found = np.arange(binds.size), []
    for place, organ in enumerate([*(risk.organ for risk in risks), ALL]):
        who = each if organ == ALL else each[binds == place]
        if who.size:
            z = np.array(error)[binds[who], who]
            ways = dict(zip(WAYS, over[binds[who], :, who].mean(axis=0), strict=True))
            own = {"share": who.size / each.size, **ways, "any": over[:, 0, who].any(axis=0).mean()}
            found.append({"held": held, "p": probability, "binds": organ, **own, "bias": z.mean(), "spread": z.std()})
    return found


def learn(fresh: Fresh, sizes: Sequence[int], draws: int) -> pd.DataFrame:
    """Return the figures of every set of limits, model, size and draw; two draws share no training patient."""
    world, found = world_of(COUPLING, SEED), []
    pool = {organ: examples_of(world, organ, draws * max(CURVE)) for organ in fresh.examples}
    for draw, n, predictor in product(range(draws), sizes, MODELS):
        trained, medians = learned(predictor, pool, fresh, n, draw)
        for limits in LIMIT_SETS:
            key = {"limits": limits, "model": predictor.name, "n": n, "draw": draw}
            risks = risks_at_one(trained, limits)
            for probability, held in product(PROBABILITIES, (EACH, JOINT)):
                found += [key | row for row in judged(risks, medians, fresh, probability, held)]
    return pd.DataFrame(found)


def one_by_one(
    trained: Trained, medians: Mapping[str, np.ndarray], request: PlanRequest, patients: int
) -> tuple[np.ndarray, list[str]]:
    """Return activity per cycle in GBq and binding organ of the first patients, each planned as the command does."""
    rows = [predicted(medians, i) for i in range(patients)]
    plans = [plan_patient(trained, row, request, radionuclide=RADIONUCLIDE).plan for row in rows]
    return np.array([plan.activity_gbq for plan in plans]), [plan.binding_organ for plan in plans]


def twin(trained: Trained, medians: Mapping[str, np.ndarray], patients: int) -> float:
    """Return how far the activities of the first patients lie from those planned one by one, at most, as a part.

    Infinite when another organ binds.
    """
    apart, first = 0.0, {organ: values[:patients] for organ, values in medians.items()}
    for limits, probability, held in product(LIMIT_SETS, PROBABILITIES, (EACH, JOINT)):
        risks = risks_at_one(trained, limits)
        activity, binds = planned(risks, first, probability, held)
        request = PlanRequest(CYCLES, probability, held == JOINT, chosen=LIMIT_SETS[limits])
        slow, organs = one_by_one(trained, first, request, patients)
        same = organs == [risks[place].organ for place in binds]
        apart = max(apart, float(np.abs(activity / slow - 1.0).max())) if same else np.inf
    return apart


def certain(patients: int) -> float:
    """Return how far, as a part, the fullest organ lies from its limit at most when doses are known."""
    fresh = fresh_patients(patients)
    true = {organ: dose[0] for organ, dose in fresh.dose_gy_per_gbq.items()}
    trained = Trained({}, {organ: {RESIDUALS: np.zeros(USUAL)} for organ in true}, {})
    apart = 0.0
    for limits, held in product(LIMIT_SETS, (EACH, JOINT)):
        request = PlanRequest(CYCLES, PROBABILITIES[0], held == JOINT, chosen=LIMIT_SETS[limits])
        activity = one_by_one(trained, true, request, patients)[0]
        risks = risks_at_one(trained, limits)
        fullest = np.max([totals_gy(risk, activity, fresh)[OF_PLAN] / risk.limit_gy for risk in risks], axis=0)
        apart = max(apart, float(np.abs(fullest - 1.0).max()))
    return apart


def bars(scores: pd.DataFrame, apart: float, certain_apart: float) -> list[tuple[str, float, bool]]:
    """Return what was promised, what was found and whether it holds: names end with their bars."""
    found = [
        ("no uncertainty: fullest organ to its limit, part <= 0.001", certain_apart, certain_apart <= CERTAIN),
        ("activities beside those planned one by one, part <= 1e-6", apart, apart <= ALIKE),
    ]
    usual = scores[(scores["n"] == USUAL) & (scores["binds"] == ALL)]
    for (limits, model, _, held, p), row in usual.groupby(KEY)[[OWN, "any"]].mean().iterrows():
        if held == EACH:
            off, words = abs(row[OWN] - p), "binding organ's limit exceeded, beside"
        else:
            off, words = row["any"] - p, "joint: any limit exceeded, above"
        found.append((f"{limits}, {model}, n {USUAL}, {words} {p:.0%} <= {REACH:g}", float(off), bool(off <= REACH)))
    return found


def scatter(probability: float, n: int) -> float:
    """Return how far the part exceeded scatters over training sets of n patients (the formula at the head)."""
    z = stats.norm.isf(probability)
    return float(stats.norm.pdf(z) * np.sqrt((1.0 + z**2 / 2.0) / n))


def told(scores: pd.DataFrame) -> None:
    """Print in per cent mean, standard error and scatter over draws (beside the one expected), and the split."""
    head = f"{'limits, model, n, held, p, binds':<52}{'share':>7}{'exceeded':>16}{'scatter':>15}{'within 3':>10}"
    say(head + f"{'any':>7}{'plan T':>8}{'cycles':>8}{'bias':>7}{'spread':>8}")
    shown = scores[(scores["held"] == EACH) | (scores["binds"] == ALL)]
    for key, rows in shown.groupby([*KEY, "binds"], sort=False):
        mean, own = rows[FIGURES].mean(), 100 * rows[OWN]
        within = 100 * np.mean(np.abs(rows[OWN] - key[4]) <= REACH)
        text = f"{', '.join(map(str, key)):<52}{100 * mean['share']:7.1f}{own.mean():9.2f} +-{own.sem():5.2f}"
        text += f"{own.std():6.2f} ({100 * scatter(key[4], key[2]):5.2f}){within:10.0f}{100 * mean['any']:8.2f}"
        text += f"{100 * mean[OF_PLAN]:8.2f}{100 * mean[AS_GIVEN]:8.2f}{mean['bias']:7.2f}{mean['spread']:8.2f}"
        say(text)


def main() -> int:
    """Print every figure beside its bar; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three draws and 2000 fresh patients: half a minute")
    parser.add_argument("--draws", type=int, default=20, help="training sets of each size")
    asked = parser.parse_args()
    sklearn.set_config(assume_finite=True, skip_parameter_validation=True)  # thousands of small fits
    patients, draws = (2000, 3) if asked.quick else (5000, asked.draws)
    fresh = fresh_patients(patients)
    scores = learn(fresh, (SMALL, USUAL), draws)
    told(scores)
    pool = {organ: examples_of(world_of(COUPLING, SEED), organ, USUAL) for organ in fresh.examples}
    verdicts = bars(scores, twin(*learned(HybridDose, pool, fresh, USUAL, 0), SAMPLE), certain(SAMPLE))
    for name, value, ok in verdicts:
        say(f"{'ok    ' if ok else 'MISSED'} {name}: {value:.4g}")
    say(f"virtual patients of {', '.join(CLINIC.centres)}, {CYCLES} equal cycles; research use only")
    return 0 if asked.quick or all(ok for _, _, ok in verdicts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
