"""Scores beside the smallest possible error: efficiency, excess log-variance, and the alarm when a model is too good.

    efficiency = (MAPE_pop - MAPE_model) / (MAPE_pop - MAPE_limit)       1: nothing better is possible, 0: no use
    excess log-variance v = s_model^2 / s_limit^2 - 1                    s: spread of log(predicted / true)

The limit of the image information set is the oracle's error on the very same patients, so both are compared in pairs:
`worse_by` is the MAPE of the model less that of the oracle, in percentage points, with 95 % limits of drawn patients.
A model that beats it with one-sided p < 0.001 (paired t, Holm over all models and organs) knows what it cannot know: a
leak.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from theradose.columns import VOI, WHOLE, Column, Schema, text
from theradose.errors import LeakageError, Where
from theradose.evaluation.bootstrap import draws, limits

LEAK_P, WARN_SE, FEWEST = 0.001, 2.0, 5
POPULATION, TRAIN = "population_mean", "train"
REFERENCES = {"truth": "truth_gy_per_gbq", "label": "label_gy_per_gbq"}
OK, WARNING, LEAK = "ok", "warning", "leak"
LIMIT_SCORES = Schema(
    "limit_scores",
    (
        text("experiment"), text("predictor"), VOI, text("reference", one_of=tuple(REFERENCES)), Column("n", WHOLE),
        *(Column(name, empty=True) for name in (
            "mape", "oracle_mape", "efficiency", "efficiency_low", "efficiency_high", "excess_log_variance",
            "excess_low", "excess_high", "worse_by", "worse_low", "worse_high", "standard_error", "p_better", "p_holm",
        )),
        text("verdict", one_of=(OK, WARNING, LEAK)),
    ),
    ("experiment", "predictor", "voi", "reference"),
)  # fmt: skip


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values (n,) after Holm's step-down correction.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3)
    array([0.03, 0.06, 0.06])
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    found = np.empty_like(p)
    found[order] = np.minimum(stepped, 1.0)
    return found


def _ape(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return absolute percentage errors."""
    return np.asarray(100.0 * np.abs(predicted / reference - 1.0))


def _score(rows: pd.DataFrame, reference: str, log_sd: float, seed: int) -> dict[str, float]:
    """Score one predictor on one organ; `rows` has predicted, oracle, population and both references."""
    true, model = rows[REFERENCES[reference]].to_numpy(float), rows["predicted_gy_per_gbq"].to_numpy(float)
    own, oracle = _ape(model, true), _ape(rows["oracle_gy_per_gbq"].to_numpy(float), true)
    usual, left = _ape(rows["population_gy_per_gbq"].to_numpy(float), true), np.log(model / true)
    chosen = draws(true.size, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        zero, model_mape, least_mape = (values[chosen].mean(axis=1) for values in (usual, own, oracle))
        drawn = (zero - model_mape) / (zero - least_mape)
    excess = left[chosen].var(axis=1, ddof=1) / log_sd**2 - 1.0
    worse = own - oracle
    error = float(worse.std(ddof=1)) / np.sqrt(true.size)
    p = float(stats.t.cdf(worse.mean() / error, true.size - 1)) if error > 0 else float(worse.mean() >= 0)
    (low, high), (least, most) = limits(drawn), limits(excess)
    worse_low, worse_high = limits(model_mape - least_mape)
    return {
        "n": true.size, "mape": own.mean(), "oracle_mape": oracle.mean(),
        "efficiency": (usual - own).mean() / (usual - oracle).mean(), "efficiency_low": low, "efficiency_high": high,
        "excess_log_variance": left.var(ddof=1) / log_sd**2 - 1.0, "excess_low": least, "excess_high": most,
        "worse_by": worse.mean(), "worse_low": worse_low, "worse_high": worse_high, "standard_error": error,
        "p_better": p,
    }  # fmt: skip


def population_doses(table: pd.DataFrame) -> "pd.Series[float]":
    """Return what the training labels alone say of each patient and organ, in Gy/GBq, by patient and voi.

    For experiments without the predictor population_mean, by its rule, so that efficiency 0 is the same everywhere: the
    geometric mean of the training patients of other folds, moved to the point that lowers MAPE by all others' residuals
    (models.conformal.lowest_mape). `table`: schema PREDICTIONS; NaN with nobody in another fold.
    """
    found = []
    for _, rows in table.drop_duplicates(["patient", "voi"]).groupby("voi"):
        training, fold = (rows["partition"] == TRAIN).to_numpy(), rows["fold"].to_numpy()
        log_dose = np.log(rows["label_gy_per_gbq"].to_numpy(float))
        others = training & ((fold != fold[:, None]) | ~training[:, None])
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = others @ log_dose / others.sum(axis=1)
            squares = np.where(training, (log_dose - mean) ** 2, 0.0)
            dose = np.exp(mean - (squares.sum() - squares) / (training.sum() - training))
        found.append(pd.Series(dose, pd.MultiIndex.from_frame(rows[["patient", "voi"]])))
    return pd.concat(found)


def limit_scores(
    predictions: Mapping[str, pd.DataFrame], oracle: pd.DataFrame, label_log_sd: Mapping[str, float], seed: int
) -> pd.DataFrame:
    """Return the scores of every experiment's predictors (schema LIMIT_SCORES), out of fold and test patients together.

    `predictions`: experiment -> schema PREDICTIONS; `oracle`: patient, voi, predicted_gy_per_gbq, log_sd;
    `label_log_sd`: organ -> log error of the label, by which the limit against labels is wider.
    """
    keys = ["patient", "voi"]
    best = oracle.rename(columns={"predicted_gy_per_gbq": "oracle_gy_per_gbq"})[[*keys, "oracle_gy_per_gbq", "log_sd"]]
    found = []
    for experiment, table in predictions.items():
        usual = table[table["predictor"] == POPULATION].set_index(keys)["predicted_gy_per_gbq"]
        usual = population_doses(table) if usual.empty else usual
        joined = table.merge(best, on=keys).join(usual.rename("population_gy_per_gbq"), on=keys)
        for (predictor, organ), rows in joined.groupby(["predictor", "voi"], sort=False):
            for reference, column in REFERENCES.items():
                own = rows[rows[column].notna()]
                if len(own) >= FEWEST:
                    wider = label_log_sd.get(str(organ), 0.0) if reference == "label" else 0.0
                    spread = float(np.sqrt((own["log_sd"] ** 2).mean() + wider**2))
                    key = {"experiment": experiment, "predictor": predictor, "voi": organ, "reference": reference}
                    found.append({**key, **_score(own, reference, spread, seed)})
    return _with_verdicts(pd.DataFrame(found, columns=LIMIT_SCORES.names()))


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Add corrected p values and verdicts; only scores against the truth can accuse, a label errs by itself."""
    judged = (table["reference"] == "truth") & (table["predictor"] != POPULATION)
    table["p_holm"] = 1.0
    table.loc[judged, "p_holm"] = holm(table.loc[judged, "p_better"].to_numpy(float))
    warns = judged & (table["worse_by"] < -WARN_SE * table["standard_error"])
    table["verdict"] = np.select([judged & (table["p_holm"] < LEAK_P), warns], [LEAK, WARNING], OK)
    return table


def require_possible(table: pd.DataFrame) -> None:
    """Raise LeakageError when a model is better than what can be known before therapy allows."""
    leaks = table[table["verdict"] == LEAK]
    if len(leaks):
        row = leaks.iloc[0]
        raise LeakageError(
            "a model is better than its limit: it has seen what it cannot know",
            where=Where(field=f"{row['experiment']}, {row['predictor']}, {row['voi']}"),
            got=f"MAPE {row['mape']:.1f} % on {int(row['n'])} patients, p {row['p_holm']:.1g} after Holm",
            expected=f"at least {row['oracle_mape']:.1f} %, the error of one who knows everything before therapy",
            remedy="look for labels, truth or test patients among what the model learns from",
            code="THR-410",
        )
