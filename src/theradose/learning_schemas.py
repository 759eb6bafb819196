"""Schemas of what models say beside doses: TIACs, events after therapy, the time to a toxicity, the fall of eGFR."""

from theradose.columns import NUCLIDE, PATIENT, VOI, WHOLE, Column, Schema, text
from theradose.vocabulary import PARTITIONS

OUTCOME_PREDICTIONS = Schema(
    "outcome_predictions",
    (
        text("predictor"), PATIENT, text("outcome"), text("partition", one_of=PARTITIONS),
        Column("fold", WHOLE, low=-1), Column("probability", low=0, high=1),
        Column("observed", empty=True, low=0, high=1), Column("truth_probability", empty=True, low=0, high=1),
    ),
    ("predictor", "patient", "outcome"),
)  # fmt: skip
LATENCY_PREDICTIONS = Schema(
    "latency_predictions",
    (
        text("predictor"), PATIENT, text("partition", one_of=PARTITIONS), Column("fold", WHOLE, low=-1),
        Column("predicted_months", low=0), Column("log_sd", low=0), Column("latency_months", low=0),
        Column("latency_observed", WHOLE, low=0, high=1), Column("truth_months", empty=True, low=0),
    ),
    ("predictor", "patient"),
)  # fmt: skip
SLOPE_PREDICTIONS = Schema(
    "slope_predictions",
    (
        text("predictor"), PATIENT, text("partition", one_of=PARTITIONS), Column("fold", WHOLE, low=-1),
        Column("predicted_ml_min_per_y"), Column("low_ml_min_per_y", empty=True),
        Column("high_ml_min_per_y", empty=True), Column("label_ml_min_per_y"),
        Column("truth_ml_min_per_y", empty=True), Column("noise_ml_min_per_y", empty=True, low=0),
    ),
    ("predictor", "patient"),
)  # fmt: skip
TIAC_PREDICTIONS = Schema(
    "tiac_predictions",
    (
        text("predictor"), PATIENT, VOI, text("partition", one_of=PARTITIONS), Column("fold", WHOLE, low=-1), NUCLIDE,
        Column("predicted_tiac_h", low=0), Column("median_tiac_h", low=0), Column("low_tiac_h", empty=True, low=0),
        Column("high_tiac_h", empty=True, low=0), Column("predicted_t_eff_h", low=0), Column("label_tiac_h", low=0),
        Column("label_t_eff_h", low=0), Column("truth_tiac_h", empty=True, low=0),
        Column("truth_t_eff_h", empty=True, low=0),
    ),
    ("predictor", "patient", "voi", "radionuclide"),
)  # fmt: skip
# What nested cross-validation says of patients it holds out (fold: a number, or the centre left out), and its scores.
NESTED_PREDICTIONS = Schema(
    "nested_predictions",
    (
        text("predictor"), Column("repeat", WHOLE, low=0), text("fold"), PATIENT, text("voi"), text("unit"),
        Column("predicted", low=0), Column("low", empty=True, low=0), Column("high", empty=True, low=0),
        Column("label", low=0),
    ),
    ("predictor", "repeat", "patient", "voi"),
)  # fmt: skip
NESTED = Schema(
    "nested",
    (
        text("experiment"), text("predictor"), text("voi"), text("group"), text("metric"), text("unit"),
        Column("value", empty=True), Column("sd_between_repeats", empty=True, low=0), Column("low", empty=True),
        Column("high", empty=True), Column("n", WHOLE, low=0),
    ),
    ("experiment", "predictor", "voi", "group", "metric"),
)  # fmt: skip
# The activity planned for each patient, the organ whose limit holds it, whether the dose of the label and the planted
# one exceed that limit, and the activity that these would have allowed. Nothing is planned where `doubt` says why.
PLANS = Schema(
    "plans",
    (
        text("predictor"), PATIENT, text("partition", one_of=PARTITIONS), Column("activity_gbq", empty=True, low=0),
        text("binding_organ", empty=True), text("binding_limit", empty=True),
        Column("exceeded_label", empty=True, low=0, high=1), Column("exceeded_truth", empty=True, low=0, high=1),
        Column("allowed_label_gbq", empty=True, low=0), Column("allowed_truth_gbq", empty=True, low=0),
        text("doubt", empty=True),
    ),
    ("predictor", "patient"),
)  # fmt: skip
# How dose predictions follow when all PET uptake is multiplied by `factor`: median and 10th to 90th percentile of their
# ratio to those at factor 1, and the share of patients who are then outside the domain of use.
UPTAKE_SCALING = Schema(
    "uptake_scaling",
    (
        text("predictor"), text("voi"), text("partition", one_of=PARTITIONS), Column("factor", low=0, high=1),
        Column("n", WHOLE, low=1), Column("ratio", low=0), Column("ratio_low", low=0), Column("ratio_high", low=0),
        Column("outside_share", low=0, high=1),
    ),
    ("predictor", "voi", "partition", "factor"),
)  # fmt: skip
# What scatters when the PET of the same patient gets new noise: features of images, and doses predicted from them.
REPEATED = (Column("patients", WHOLE, low=1), Column("repeats", WHOLE, low=2))
RETEST_FEATURES = Schema(
    "retest_features",
    (
        VOI, text("feature"), *REPEATED, Column("cov_pct", empty=True, low=0),
        Column("worst_cov_pct", empty=True, low=0), Column("sd_over_between", empty=True, low=0),
    ),
    ("voi", "feature"),
)  # fmt: skip
RETEST_DOSES = Schema(
    "retest_doses",
    (
        text("predictor"), VOI, *REPEATED, Column("cov_pct", low=0), Column("worst_cov_pct", low=0),
        Column("per_step_bar_pct", low=0), text("met", one_of=("yes", "no")),
    ),
    ("predictor", "voi"),
)  # fmt: skip
LEARNING_SCHEMAS = (
    OUTCOME_PREDICTIONS, LATENCY_PREDICTIONS, SLOPE_PREDICTIONS, TIAC_PREDICTIONS, NESTED_PREDICTIONS, NESTED,
    UPTAKE_SCALING, RETEST_FEATURES, RETEST_DOSES,
)  # fmt: skip
# What the search lowers, on test patients, of models that learned from fewer patients; repeat 0 of the most: the model.
LEARNING_CURVE = Schema(
    "learning_curve",
    (
        text("predictor"), VOI, Column("patients", WHOLE, low=1), Column("repeat", WHOLE, low=0),
        Column("score", empty=True),
    ),
    ("predictor", "voi", "patients", "repeat"),
)  # fmt: skip
