"""The best reachable scores: hand cases, simulated labels, quadrature, and the figures of the design."""

from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from theradose.cohort.virtual.covariates import EVENTS as HISTORY
from theradose.cohort.virtual.outcome_scores import (
    bayes_auc,
    bayes_c_index,
    brier_floor,
    expected_auc,
    expected_log_latency,
    literal_latency_floor,
)
from theradose.cohort.virtual.outcomes import (
    OUTCOME_DRAWS,
    Exposure,
    draw_outcomes,
    impairment_probability,
    kidney_bed_gy,
    kidney_risk,
    latency_of,
    log_latency,
    observed_until_months,
    probabilities,
)
from theradose.cohort.virtual.tier_one import TierOne, tier_one
from theradose.errors import DataError
from theradose.physics.complications import probit_ntcp
from theradose.vocabulary import LESIONS

PATIENTS = 20_000


def auc_of_labels(labels: np.ndarray, score: np.ndarray) -> float:
    yes, no = score[labels == 1], score[labels == 0]
    return float(np.mean((yes[:, None] > no[None, :]) + 0.5 * (yes[:, None] == no[None, :])))


def test_auc_by_hand() -> None:
    # p = 0.2, 0.6: pairs (yes, no): 0.6 x 0.8 right, 0.2 x 0.4 wrong, each with itself (0.16, 0.24) half.
    assert bayes_auc([0.6, 0.2]) == pytest.approx((0.48 + 0.5 * 0.40) / (0.8 * 1.2))
    assert bayes_auc([0.0, 0.0, 1.0]) == 1.0
    assert bayes_auc([0.3] * 5) == pytest.approx(0.5)
    assert expected_auc([0.2, 0.6], [1.0, 0.0]) == pytest.approx(1.0 - bayes_auc([0.2, 0.6]))


def test_auc_is_the_printed_three_lines() -> None:
    p = np.sort(np.random.default_rng(2).beta(1.0, 6.0, 400).round(2))  # many ties
    without = np.cumsum(1.0 - p) - (1.0 - p)
    assert bayes_auc(p) == pytest.approx(np.sum(p * (without + 0.5 * (1.0 - p))) / (p.sum() * (1.0 - p).sum()))


def test_auc_and_brier_are_the_means_over_simulated_labels() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(1.0, 6.0, 600).round(2)
    worse = (p + rng.normal(0.0, 0.1, p.size)).round(1)
    labels = [(rng.random(p.size) < p).astype(int) for _ in range(300)]
    for score in (p, worse):
        assert expected_auc(p, score) == pytest.approx(np.mean([auc_of_labels(y, score) for y in labels]), abs=0.004)
    assert brier_floor(p) == pytest.approx(np.mean([np.mean((y - p) ** 2) for y in labels]), abs=0.001)
    assert expected_auc(p, worse) < bayes_auc(p)


@pytest.mark.parametrize("p", [[0.0, 0.0], [1.0, 1.0], []])
def test_one_class_has_no_auc(p: list[float]) -> None:
    with pytest.raises(DataError, match="probability"):
        bayes_auc(p)


@pytest.mark.parametrize("median_months", [6.0, 21.8, 60.0])
def test_expected_log_latency_is_that_of_quadrature(median_months: float) -> None:
    mu = np.log(median_months)

    def density(log_t: float) -> float:
        return float(norm.pdf(log_t, mu, 0.45) * (1.0 - 0.15 * np.exp(log_t) / 36.0))

    low = mu - 8 * 0.45
    mean = quad(lambda x: x * density(x), low, np.log(36.0))[0] / quad(density, low, np.log(36.0))[0]
    assert expected_log_latency(mu) == pytest.approx(mean, rel=1e-7)


def test_expected_log_latency_is_the_mean_of_uncensored_draws() -> None:
    rng = np.random.default_rng(6)
    mu, n = np.log(30.0), 400_000
    log_t = mu + 0.45 * rng.standard_normal(n)
    seen = np.exp(log_t) < observed_until_months(rng.standard_normal(n))
    assert log_t[seen].mean() == pytest.approx(float(expected_log_latency(mu)), abs=0.003)
    floor = literal_latency_floor(np.full(n, mu), np.exp(log_t), seen)
    assert floor == pytest.approx(log_t[seen].std(), rel=1e-4)  # about the sample mean, not the expected one


def test_literal_floor_needs_an_event() -> None:
    with pytest.raises(DataError, match="observed"):
        literal_latency_floor([3.0], [36.0], [0])


def test_no_constant_shift_beats_the_literal_floor() -> None:
    found = latency_of(cohort(), draws()["latency"], draws()["dropout"])
    seen = np.asarray(found.observed, bool)
    best = literal_latency_floor(log_latency(cohort()), found.time_months, seen)
    error = np.log(found.time_months[seen]) - log_latency(cohort())[seen]  # the true median, which ignores censoring
    assert best < error.std() < np.sqrt(np.mean(error**2))


def test_c_index_by_hand_and_by_simulated_censoring() -> None:
    assert bayes_c_index([3.0, 3.0]) == pytest.approx(0.5)
    rng = np.random.default_rng(4)
    mu = rng.normal(3.0, 0.4, 400)
    won, pairs = 0.0, 0.0
    for _ in range(40):
        event = np.exp(mu + 0.45 * rng.standard_normal(mu.size))
        end = observed_until_months(rng.standard_normal(mu.size))
        time, seen = np.minimum(event, end), event < end
        first = seen[:, None] & (time[:, None] < time[None, :])
        won += np.sum(first & (mu[:, None] < mu[None, :]))
        pairs += np.sum(first)
    assert bayes_c_index(mu) == pytest.approx(won / pairs, abs=0.004)


# The cohort of tier 1: the only place that knows how doses come about.


@cache
def tier() -> TierOne:
    return tier_one(
        11, PATIENTS, ligand="psma", radionuclide="Lu-177", texture_coupling=0.0, difficulty="xue_like", cycles=4
    )


@cache
def cohort() -> Exposure:
    found = tier()
    latents, body = found.latents, found.body
    event = {name: 1 * (latents.uniform(name) < HISTORY[name]) for name in ("hypertension", "diabetes")}
    bone_part = latents.uniform("bone_fraction") ** 0.4  # quartiles 0.58, 0.76, 0.89, as the lesions' sites give it
    return Exposure(
        kidney_dose_gy=found.dose_gy("kidneys"), kidney_t_eff_h=found.t_eff_h["kidneys"],
        parotid_dose_gy=sum(found.dose_gy("parotids")), marrow_dose_gy=sum(found.dose_gy("marrow")),
        lesion_dose_gy=sum(found.dose_gy(LESIONS)), lesion_t_eff_h=found.t_eff_h[LESIONS],
        lesion_volume_ml=body.tumour_volume_ml, bone_tumour_ml=bone_part * body.tumour_volume_ml, age_y=body.age_y,
        egfr_ml_min=body.egfr_ml_min, **event,
    )  # fmt: skip


@cache
def draws() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(12)
    return {name: rng.standard_normal(PATIENTS) for name in OUTCOME_DRAWS}


# Design, section 6: preset -> prevalence, Bayes AUC; measured there on BED of median 14.5 and 90th percentile 26.0 Gy.
DESIGN = {"default": (44.0, 0.30, 0.081, 0.738), "strict": (40.0, 0.35, 0.116, 0.745)}


@pytest.mark.parametrize("preset", DESIGN)
def test_the_formulas_give_the_figures_of_the_design_on_its_distribution_of_bed(preset: str) -> None:
    rng, n = np.random.default_rng(11), 200_000
    bed = 14.5 * np.exp(np.log(26.0 / 14.5) / norm.ppf(0.9) * rng.standard_normal(n))
    risk = 0.08 * (rng.normal(71, 8, n) > 75) + 0.10 * (rng.random(n) < 0.35) + 0.12 * (rng.random(n) < 0.20)
    td50_gy, m, prevalence, auc = DESIGN[preset]
    p = 0.03 + 0.97 * probit_ntcp(bed / (1.0 - risk), td50_gy, m)
    assert p.mean() == pytest.approx(prevalence, abs=0.002)
    assert bayes_auc(p) == pytest.approx(auc, abs=0.003)
    if preset == "default":
        assert brier_floor(p) == pytest.approx(0.063, abs=0.001)
        assert expected_auc(p, bed) == pytest.approx(0.735, abs=0.003)


# The present cohort is not that of the prototype: BED spreads less (log-sd 0.415, not 0.456; 0.442 were all cycles like
# the first). What comes out by itself is held to 0.01 in prevalence and Brier score and 0.02 in AUC.


@pytest.mark.parametrize("preset", DESIGN)
def test_kidney_toxicity_of_the_cohort(preset: str) -> None:
    p = probabilities(cohort(), preset)["kidney_toxicity"]
    _, _, prevalence, auc = DESIGN[preset]
    assert p.mean() == pytest.approx(prevalence, abs=0.01)
    assert bayes_auc(p) == pytest.approx(auc, abs=0.02)


def test_kidney_scores_of_other_predictors() -> None:
    p, bed = probabilities(cohort())["kidney_toxicity"], kidney_bed_gy(cohort())
    assert np.quantile(bed, [0.5, 0.9]) == pytest.approx([14.5, 26.0], rel=0.08)
    assert brier_floor(p) == pytest.approx(0.063, abs=0.01)
    assert expected_auc(p, bed) == pytest.approx(0.735, abs=0.02)
    assert expected_auc(p, tier().suv("kidneys")) == pytest.approx(0.688, abs=0.02)
    assert expected_auc(p, kidney_risk(cohort())) == pytest.approx(0.555, abs=0.02)


def test_xerostomia_of_the_cohort() -> None:
    p = probabilities(cohort())["xerostomia"]
    assert p.mean() == pytest.approx(0.24, abs=0.01)
    assert bayes_auc(p) == pytest.approx(0.677, abs=0.02)
    assert expected_auc(p, tier().suv("parotids")) == pytest.approx(0.637, abs=0.02)


@pytest.mark.parametrize(("event", "prevalence"), [("marrow_toxicity", 0.11), ("response", 0.46)])
def test_prevalences_that_an_intercept_sets(event: str, prevalence: float) -> None:
    assert probabilities(cohort())[event].mean() == pytest.approx(prevalence, abs=0.01)


def test_marrow_dose_hardly_predicts_marrow_toxicity() -> None:
    p = probabilities(cohort())["marrow_toxicity"]
    assert abs(expected_auc(p, cohort().marrow_dose_gy) - 0.5) < 0.03
    assert expected_auc(p, cohort().bone_tumour_ml) > 0.6


def test_latency_of_the_cohort() -> None:
    months = np.exp(log_latency(cohort()) + 0.45 * draws()["latency"])
    assert np.median(months) == pytest.approx(21.8, rel=0.06)
    assert np.log(months).std() == pytest.approx(0.59, abs=0.04)
    assert np.mean(months > 36.0) == pytest.approx(0.20, abs=0.04)
    found = latency_of(cohort(), draws()["latency"], draws()["dropout"])
    floor = literal_latency_floor(log_latency(cohort()), found.time_months, found.observed)
    assert floor == pytest.approx(0.36, abs=0.025)  # "about 0.36"; 0.45 without censoring


def test_impaired_kidneys_can_be_predicted_as_well_as_toxicity() -> None:
    p = impairment_probability(cohort(), cohort().egfr_ml_min)
    egfr = draw_outcomes(draws(), cohort())["egfr_12m_ml_min"]
    seen = ~np.isnan(egfr)
    impaired = egfr[seen] < 0.8 * cohort().egfr_ml_min[seen]
    assert impaired.mean() == pytest.approx(p.mean(), abs=0.01)
    assert auc_of_labels(impaired[:6000], p[seen][:6000]) == pytest.approx(bayes_auc(p), abs=0.03)
    assert 0.68 < bayes_auc(p) < 0.75
