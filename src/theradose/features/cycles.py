"""What is known before a later cycle: images before therapy, those of the cycle before, and how features changed."""

import pandas as pd

from theradose.cohort.layout import CYCLE_PREFIX, PRE
from theradose.features.covariates import POST_THERAPY, RADIOMIC, radiomic
from theradose.features.sessions import changes, image_names
from theradose.features.vois import MEASURED

PREVIOUS, BEFORE = "previous", "before"


def cycle_features(features: pd.DataFrame, cycle: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row per patient and organ for predictors of cycle `cycle` (from 1), and the columns' manifest.

    `features` (schema FEATURES) may hold all sessions of a patient; those of this cycle and later ones are left out.
    Columns: images before therapy by their names; those of the cycle before as `previous.<image>`; their changes
    against the same image one session earlier as `delta.previous.<image>-before.<image>`. Columns of the last two
    kinds are `post_therapy`: good for this cycle, and a leak for any earlier one. Relative names let cycles share them.
    """
    sessions = [PRE, *(f"{CYCLE_PREFIX}{number}" for number in range(1, cycle))]
    known = features[features["session"].isin(sessions) & (features["feature_class"] != MEASURED)]
    known = known.assign(image=image_names(known))
    wide, _, rows = radiomic(known[known["session"] == PRE])
    tables = [wide]
    if cycle > 1:
        last, earlier = known[known["session"] == sessions[-1]], known[known["session"] == sessions[-2]]
        recent, recent_rows = _recent(last, earlier)
        tables.append(recent)
        rows += recent_rows
    table = pd.concat(tables, axis="columns").reset_index()
    table.insert(1, "cycle", cycle)
    return table, pd.DataFrame(rows)


def _recent(last: pd.DataFrame, earlier: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return the features of the cycle before and their changes against the session before it, with their rows."""
    source = "the cycle before"
    last = last.assign(image=f"{PREVIOUS}." + last["image"], session=source)
    wide, once, rows = radiomic(last)
    old, _, _ = radiomic(earlier.assign(image=f"{BEFORE}." + earlier["image"]))
    names = [name.removeprefix(f"{PREVIOUS}.") for name in last["image"].unique()]
    pairs = [(f"{BEFORE}.{name}", f"{PREVIOUS}.{name}") for name in names]
    change, change_rows = changes(pd.concat([wide, old.reindex(wide.index)], axis="columns"), once, pairs)
    about = {"block": RADIOMIC, "source": f"{source}, and the session before it", "leak_class": POST_THERAPY}
    return pd.concat([wide, change], axis="columns"), [*rows, *({**about, **row} for row in change_rows)]
