"""Schemas of what only virtual patients have, or what a virtual cohort shares with a followed-up one: outcomes."""

from theradose.columns import CYCLE, PATIENT, VOI, WHOLE, Column, Schema, quantity, text
from theradose.vocabulary import OUTCOME_EVENTS

TRUTH_VOI = Schema(
    "truth_voi",
    (
        PATIENT, CYCLE, VOI, quantity("mass_g"), quantity("tia_mbq_h"), quantity("dose_gy"),
        quantity("dose_gy_per_gbq"), quantity("t_eff_h"), Column("uptake_fraction", low=0, high=1),
    ),
    ("patient", "cycle", "voi"),
    open=True,
)  # fmt: skip
RECOVERY_CHECK = Schema(
    "recovery_check",
    (
        PATIENT, CYCLE, VOI, text("organ"), text("model"), quantity("volume_ml"), quantity("mass_g"),
        Column("truth_mass_g", low=0), Column("truth_tia_mbq_h", low=0), quantity("tia_mbq_h"),
        quantity("tia_uncorrected_mbq_h"), Column("truth_dose_gy", low=0), quantity("dose_gy"),
        quantity("dose_uncorrected_gy"), Column("tia_error"), Column("tia_error_uncorrected"), Column("dose_error"),
        Column("dose_error_uncorrected"),
    ),
    ("patient", "cycle", "voi"),
)  # fmt: skip
OUTCOMES = Schema(
    "outcomes",
    (
        PATIENT, *(Column(name, WHOLE, low=0, high=1) for name in OUTCOME_EVENTS), Column("latency_months", low=0),
        Column("latency_observed", WHOLE, low=0, high=1), Column("egfr_12m_ml_min", empty=True, low=0),
    ),
    ("patient",),
)  # fmt: skip
TRUTH_OUTCOME = Schema(
    "truth_outcome",
    (
        PATIENT, *(Column(name, low=0, high=1) for name in OUTCOME_EVENTS), quantity("bed_gy"), Column("log_latency"),
        Column("impairment", low=0, high=1),
    ),
    ("patient",),
)  # fmt: skip
LATENTS = Schema("latents", (PATIENT, text("voi", empty=True), text("name"), Column("value")), ())
LIMITS = Schema(
    "limits",
    (
        VOI, text("reference", one_of=("planted", "label")), text("information", one_of=("table", "log", "image")),
        text("way"), Column("log_sd", low=0), Column("mape", low=0),
    ),
    ("voi", "reference", "information", "way"),
)  # fmt: skip
ORACLE = Schema(
    "oracle",
    (PATIENT, VOI, Column("predicted_gy_per_gbq", low=0), Column("expected_ape", low=0), Column("log_sd", low=0)),
    ("patient", "voi"),
)
OUTCOME_LIMITS = Schema("outcome_limits", (text("target"), text("score"), Column("value")), ("target", "score"))
