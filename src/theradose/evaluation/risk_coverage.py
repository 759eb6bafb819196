"""Error against the share of patients kept when those most unlike the others are left out (models.domain)."""

import numpy as np
import pandas as pd

from theradose.evaluation.bootstrap import draws, limits

DOMAIN_SCORE = "domain_score"
# Everyone, what an organ alone would keep by a cut of 95 %, and those of the design (a curve down to 80 %).
SHARES = (1.0, 0.95, 0.90, 0.80)
COLUMNS = ("predictor", "voi", "n", "share", "kept", "mape_kept", "mape_dropped", "worse_by", "worse_low", "worse_high")


def ordered_ape(rows: pd.DataFrame, reference: str) -> np.ndarray:
    """Return the absolute percentage errors (n,) of one predictor and organ, patients most like the others first.

    `rows`: schema PREDICTIONS and `domain_score`; `reference`: the column that errors are taken against (Gy/GBq).
    """
    known = rows[rows[DOMAIN_SCORE].notna() & rows[reference].notna()].sort_values([DOMAIN_SCORE, "patient"])
    return np.asarray(100.0 * np.abs(known["predicted_gy_per_gbq"] / known[reference] - 1.0), float)


def _at(ape: np.ndarray, kept: int, chosen: np.ndarray) -> dict[str, float]:
    """Return the MAPE of the first `kept` patients and of the others, and what these have more, with 95 % limits."""
    inside = np.arange(ape.size) < kept
    with np.errstate(invalid="ignore", divide="ignore"):
        # Column 0 are the patients as they are, the others are resamples; nobody left out gives no number.
        picks = np.vstack([np.arange(ape.size), chosen])
        error, where = ape[picks], inside[picks]
        own = (error * where).sum(axis=1) / where.sum(axis=1)
        other = (error * ~where).sum(axis=1) / (~where).sum(axis=1)
    low, high = limits((other - own)[1:])
    return {
        "kept": kept, "mape_kept": own[0], "mape_dropped": other[0], "worse_by": other[0] - own[0], "worse_low": low,
        "worse_high": high,
    }  # fmt: skip


def risk_coverage(predictions: pd.DataFrame, reference: str, seed: int) -> pd.DataFrame:
    """Return for each predictor, organ and share kept the MAPE (%) of those kept and of those left out (COLUMNS).

    `predictions`: schema PREDICTIONS and `domain_score` (training patients out of fold, all partitions together);
    `worse_by` is what those left out err more, in percentage points, with 95 % limits from drawing patients.
    """
    found = []
    for (predictor, organ), rows in predictions.groupby(["predictor", "voi"], sort=False):
        ape = ordered_ape(rows, reference)
        if ape.size:
            chosen, key = draws(ape.size, seed), {"predictor": predictor, "voi": organ, "n": ape.size}
            found += [{**key, "share": s, **_at(ape, max(1, round(s * ape.size)), chosen)} for s in SHARES]
    return pd.DataFrame(found, columns=list(COLUMNS))
