"""What happens to a virtual patient after therapy: toxicity, response, and the slow fall of kidney function.

Every probability is planted and known, so the best possible score can be computed (`outcome_scores`). Planted in the
virtual patients, fitted to nobody; research use only. All parameters with their sources: docs/virtual-outcomes.md.

    kidney toxicity  P = b + (1 - b) Phi((BED / (TD50 (1 - risk)) - 1) / m)
    xerostomia       P = Phi((D / 35 Gy - 1) / 0.6)
    marrow toxicity  logit P = b_m + ln 6 V / (V + 40 mL) + ln 1.2 D / Gy       V: tumour volume in bone
    response         logit P = b_r + ln 1.5 D / 50 Gy
    latency T        ln(T / month) = ln 14 - 0.8 ln(BED / 28 Gy) - risk + 0.45 z
    eGFR at month t  eGFR_0 0.9^(t / T), times 0.7 after kidney toxicity, measured with 8 % error

The latency is the time to the first fall of eGFR by 10 %, for everyone and apart from toxicity; the same T drives the
eGFR after a year, so that the two never contradict each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from theradose.cohort.virtual.covariates import EGFR_ERROR
from theradose.cohort.virtual.latents import Value
from theradose.physics.complications import probit_ntcp
from theradose.physics.limits import constant
from theradose.physics.radiobiology import bed_gy, require
from theradose.physics.tumour_control import Z as ALPHA_Z
from theradose.vocabulary import LESIONS, OUTCOME_EVENTS

# TD50 in Gy of BED, and slope m, of the two presets (design of the cohort, section 6).
PRESETS: dict[str, tuple[float, float]] = {"default": (44.0, 0.30), "strict": (40.0, 0.35)}
OLD_AGE_Y = 75.0
XEROSTOMIA_TD50_GY, XEROSTOMIA_M = 35.0, 0.60  # same place

# Marrow: odds ratio 6.0 of extensive skeletal disease, weak dose (design; Groener et al., EJNMMI Res 2021;11:61: 9.3 %,
# odds ratio 5.08 for disseminated or diffuse bone disease, activity not predictive). Own choice: the volume of half
# effect and the odds ratio of 1 Gy. Tuned: the intercept, for the design's 11 %.
SKELETAL_LOG_ODDS, HALF_EFFECT_ML, MARROW_LOG_ODDS_PER_GY, MARROW_INTERCEPT = np.log(6.0), 40.0, np.log(1.2), -3.25

# Response: odds ratio 1.5 per 50 Gy (Alipour, as the design gives it). Tuned: the intercept, for 46 %, the part with
# a PSA fall of 50 % in VISION (Sartor et al., N Engl J Med 2021;385:1091-1103).
RESPONSE_LOG_ODDS_PER_GY, RESPONSE_INTERCEPT = np.log(1.5) / 50.0, -0.88

# Latency (design of the cohort, section 6). Own choice: 15 % leave before 36 months, at any time with equal chance.
LATENCY_AT_28_GY_MONTHS, LATENCY_BED_EXPONENT, LATENCY_LOG_SD = 14.0, -0.8, 0.45
LATENCY_REFERENCE_BED_GY, FOLLOW_UP_MONTHS, LEAVING_PART = 28.0, 36.0, 0.15

# eGFR: what is left at the latency, by its definition. Own choice: what toxicity leaves, since a fall by 30 % is called
# severe (Steinhelfer et al., J Nucl Med 2024;65:79-84).
EGFR_LEFT_AT_LATENCY, EGFR_LEFT_BY_TOXICITY, EGFR_AT_MONTHS, IMPAIRED_RATIO = 0.90, 0.70, 12.0, 0.80
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)  # means over the standard normal z of the latency

OUTCOME_DRAWS = (*OUTCOME_EVENTS, "latency", "dropout", "egfr_12m")
"""Names of the standard normal draws that `draw_outcomes` needs."""


@dataclass(frozen=True)
class Exposure:
    """What a patient got and brought along; every value a number, or an array (n,) for n patients.

    `kidney_dose_gy` per cycle; the other doses are sums over the cycles, that of the lesions the mean weighted by
    volume. `bone_tumour_ml` is the tumour volume in bone, `egfr_ml_min` the true eGFR before therapy.
    """

    kidney_dose_gy: tuple[Value, ...]
    kidney_t_eff_h: Value
    parotid_dose_gy: Value
    marrow_dose_gy: Value
    lesion_dose_gy: Value
    lesion_t_eff_h: Value
    lesion_volume_ml: Value
    bone_tumour_ml: Value
    age_y: Value
    hypertension: Value
    diabetes: Value
    egfr_ml_min: Value


@dataclass(frozen=True)
class Latency:
    """Months to the first fall of eGFR by 10 %, or to the end of observation where `observed` is 0."""

    time_months: Value
    observed: Value


def _g(organ: str, t_eff_h: Value) -> Value:
    """Return G = T_rep / (T_rep + T_eff) of an organ."""
    t_repair_h = constant(organ, "t_repair_h").value
    return t_repair_h / (t_repair_h + t_eff_h)


def kidney_bed_gy(exposure: Exposure) -> Value:
    """Return the kidneys' BED in Gy, sum_c [D_c + G D_c^2 / (alpha/beta)], G = T_rep / (T_rep + T_eff).

    alpha/beta 2.6 Gy, T_rep 2.8 h; 4 x 5.75 Gy at 50 h (G = 0.053030) give 25.70 Gy. DataError for a negative dose.
    """
    alpha_beta_gy, g = constant("kidneys", "alpha_beta_gy").value, _g("kidneys", exposure.kidney_t_eff_h)
    return sum(bed_gy(dose, g, alpha_beta_gy) for dose in exposure.kidney_dose_gy)


def kidney_risk(exposure: Exposure) -> Value:
    """Return the part by which risk factors lower the kidneys' tolerance: 0.08 (age > 75), 0.10 and 0.12, added."""
    old, hypertension, diabetes = (
        constant("kidneys", f"risk_{name}", "virtual").value for name in ("age_over_75", "hypertension", "diabetes")
    )
    factors = hypertension * exposure.hypertension + diabetes * exposure.diabetes
    return old * (np.asarray(exposure.age_y) > OLD_AGE_Y) + factors


def probabilities(exposure: Exposure, preset: str = "default") -> dict[str, Value]:
    """Return the planted probability of every event (formulas: see module). KeyError for no such preset."""
    td50_gy, m = PRESETS[preset]
    background = constant("kidneys", "ntcp_background", "virtual").value
    tolerated = kidney_bed_gy(exposure) / (1.0 - kidney_risk(exposure))
    bone = exposure.bone_tumour_ml / (exposure.bone_tumour_ml + HALF_EFFECT_ML)
    marrow = MARROW_INTERCEPT + SKELETAL_LOG_ODDS * bone + MARROW_LOG_ODDS_PER_GY * exposure.marrow_dose_gy
    return {
        "kidney_toxicity": background + (1.0 - background) * probit_ntcp(tolerated, td50_gy, m),
        "xerostomia": probit_ntcp(exposure.parotid_dose_gy, XEROSTOMIA_TD50_GY, XEROSTOMIA_M),
        "marrow_toxicity": expit(marrow),
        "response": expit(RESPONSE_INTERCEPT + RESPONSE_LOG_ODDS_PER_GY * exposure.lesion_dose_gy),
    }


def log_latency(exposure: Exposure) -> Value:
    """Return the mean of ln(T / month), which is the log of the median latency; 28 Gy without risk: ln 14.

    DataError when a BED is not above zero.
    """
    bed = np.asarray(kidney_bed_gy(exposure))
    require(bool((bed > 0).all()), "kidney BED", bed.min(initial=np.inf), "above zero, Gy")
    dose = LATENCY_BED_EXPONENT * np.log(bed / LATENCY_REFERENCE_BED_GY)
    return np.log(LATENCY_AT_28_GY_MONTHS) + dose - kidney_risk(exposure)


def observed_until_months(z: Value) -> Value:
    """Return when observation ends: 36 months, or earlier for the 15 % who leave, uniform between 0 and 36."""
    return FOLLOW_UP_MONTHS * np.minimum(ndtr(z) / LEAVING_PART, 1.0)


def latency_of(exposure: Exposure, z: Value, z_dropout: Value) -> Latency:
    """Return the latency that two standard normal draws give, cut at the end of observation."""
    months = np.exp(log_latency(exposure) + LATENCY_LOG_SD * z)
    end = observed_until_months(z_dropout)
    return Latency(np.minimum(months, end), 1 * (months < end))


def expected_egfr_12m_ml_min(exposure: Exposure, z: Value, kidney_toxicity: Value) -> Value:
    """Return the true eGFR in mL/min after 12 months, given the draw of the latency and toxicity (0 or 1)."""
    months = np.exp(log_latency(exposure) + LATENCY_LOG_SD * z)
    slow = EGFR_LEFT_AT_LATENCY ** (EGFR_AT_MONTHS / months)
    return exposure.egfr_ml_min * slow * EGFR_LEFT_BY_TOXICITY**kidney_toxicity


def impairment_probability(exposure: Exposure, baseline_ml_min: Value, preset: str = "default") -> Value:
    """Return P(measured eGFR after 12 months < 0.8 baseline) for a baseline in mL/min, the true or a measured one.

    A mixture over toxicity and, by 24 Gauss-Hermite nodes, over the latency; the measuring error in closed form.
    """
    toxic = probabilities(exposure, preset)["kidney_toxicity"]
    total: Value = 0.0
    for z, weight in zip(NODES, WEIGHTS / WEIGHTS.sum(), strict=True):
        for event, part in ((0.0, 1.0 - toxic), (1.0, toxic)):
            expected = expected_egfr_12m_ml_min(exposure, z, event)
            total = total + weight * part * ndtr((IMPAIRED_RATIO * baseline_ml_min / expected - 1.0) / EGFR_ERROR)
    return total


def tumour_control(exposure: Exposure) -> Value:
    """Return the Poisson TCP, exp(-N exp(-alpha BED)), mean over patients' alpha: for information, nothing hangs on it.

    BED of equal cycles, cells per mL times volume, alpha from external beam (`limits.csv`), which does not transfer.
    """
    cycles, alpha_beta_gy = len(exposure.kidney_dose_gy), constant(LESIONS, "alpha_beta_gy").value
    bed = cycles * bed_gy(exposure.lesion_dose_gy / cycles, _g(LESIONS, exposure.lesion_t_eff_h), alpha_beta_gy)
    names = ("clonogens_per_ml", "alpha_per_gy", "alpha_std_per_gy")
    cells_per_ml, alpha, spread = (constant(LESIONS, name, "external_beam").value for name in names)
    cells = cells_per_ml * exposure.lesion_volume_ml
    weights = np.exp(-0.5 * ALPHA_Z**2)
    alphas = np.maximum(alpha + spread * ALPHA_Z, 0.0)
    parts = (w * np.exp(-cells * np.exp(-a * bed)) for w, a in zip(weights, alphas, strict=True))
    return sum(parts) / weights.sum()


def draw_outcomes(z: Mapping[str, Value], exposure: Exposure, preset: str = "default") -> dict[str, Value]:
    """Return the outcomes that the standard normal draws `z` (names: OUTCOME_DRAWS) give.

    Events, 0 or 1; latency_months and latency_observed (0, 1); egfr_12m_ml_min as measured, not rounded, nan where
    observation ended before 12 months.
    """
    chances = probabilities(exposure, preset)
    found: dict[str, Value] = {name: 1 * (ndtr(z[name]) < chances[name]) for name in OUTCOME_EVENTS}
    latency = latency_of(exposure, z["latency"], z["dropout"])
    expected = expected_egfr_12m_ml_min(exposure, z["latency"], found["kidney_toxicity"])
    seen = observed_until_months(z["dropout"]) >= EGFR_AT_MONTHS
    return found | {
        "latency_months": latency.time_months,
        "latency_observed": latency.observed,
        "egfr_12m_ml_min": np.where(seen, expected * (1.0 + EGFR_ERROR * z["egfr_12m"]), np.nan),
    }
