"""Who trains, who validates, who is kept for the test: by person, stratified, before anything is fitted."""

import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd

from theradose.cohort.participants import EMPTY
from theradose.columns import checked
from theradose.errors import LeakageError, SettingsError, Where
from theradose.tables import SPLITS

PERSON = "person"
NOT_IN_A_FOLD = -1


def _dealt(people: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the people stratum by stratum, each stratum shuffled by its own draw."""
    parts = []
    for stratum, rows in people.sort_values("person").groupby("stratum", sort=True):
        rng = np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(str(stratum).encode())]))
        parts.append(rows.iloc[rng.permutation(len(rows))])
    return pd.concat(parts, ignore_index=True)


def _spread(people: pd.DataFrame, count: int) -> np.ndarray:
    """Return which of the dealt people to take so that `count` are taken evenly over the strata."""
    taken = np.zeros(len(people), bool)
    if count:
        # Places (i + 1/2) n / count run through the strata in order, so each gives in proportion to its size.
        taken[np.floor((np.arange(count) + 0.5) * len(people) / count).astype(int)] = True
    return taken


def _holdout(people: pd.DataFrame, test_fraction: float, **_: object) -> np.ndarray:
    test = _spread(people, round(test_fraction * len(people)))
    return np.where(test, "test", "train")


def _kfold(people: pd.DataFrame, **_: object) -> np.ndarray:
    return np.full(len(people), "train", dtype=object)


def _thirds(people: pd.DataFrame, **_: object) -> np.ndarray:
    return np.array(["train", "validation", "test"], dtype=object)[np.arange(len(people)) % 3]


def _by_centre(people: pd.DataFrame, test_centre: str | None, **_: object) -> np.ndarray:
    centres = sorted(set(people["centre"]))
    if test_centre not in centres:
        raise SettingsError(
            "the centre to test on is not in the cohort",
            where=Where(field="split.test_centre"),
            got=test_centre,
            expected=f"one of {centres}",
        )
    return np.where(people["centre"] == test_centre, "test", "train")


SCHEMES: dict[str, Callable[..., np.ndarray]] = {
    "holdout": _holdout,
    "kfold": _kfold,
    "thirds": _thirds,
    "by_centre": _by_centre,
}


def _people(participants: pd.DataFrame, stratify_by: str) -> pd.DataFrame:
    """Return one row a person; a person seen in several cycles or under several IDs stays together."""
    table = participants.copy()
    stated = (
        table[PERSON].astype("str").where(~table[PERSON].isin(EMPTY), table["patient"]) if PERSON in table else None
    )
    table["person"] = table["patient"] if stated is None else stated
    table["stratum"] = "all" if stratify_by == "none" else table[stratify_by]
    return table[["patient", "person", "centre", "stratum"]]


def split_patients(
    participants: pd.DataFrame,
    *,
    scheme: str,
    test_fraction: float,
    folds: int,
    test_centre: str | None,
    stratify_by: str,
    seed: int,
) -> pd.DataFrame:
    """Assign every patient a partition and, in training, an inner fold; returns a table of schema SPLITS.

    `participants` needs columns patient and centre; a column `person` keeps rows of one human being together.
    `holdout` keeps `test_fraction` back, `kfold` keeps nobody back (scores are out of fold), `thirds` is the 9/9/9 of
    27 patients, `by_centre` tests on a centre never seen in training. SettingsError when too few are left to train on.
    """
    members = _people(participants, stratify_by)
    people = _dealt(members.drop_duplicates("person"), seed)
    people["partition"] = SCHEMES[scheme](people, test_fraction=test_fraction, test_centre=test_centre)
    training = people["partition"].to_numpy() == "train"
    if training.sum() < folds:
        raise SettingsError(
            "too few patients to train on",
            where=Where(field="split.folds"),
            got=f"{training.sum()} people in training",
            expected=f"at least {folds}, one a fold",
            remedy="lower split.folds or split.test_fraction, or add patients",
        )
    people["fold"] = NOT_IN_A_FOLD
    people.loc[training, "fold"] = np.arange(training.sum()) % folds
    table = members.merge(people[["person", "partition", "fold"]], on="person")
    require_no_leak(table)
    return checked(table[SPLITS.names()].sort_values("patient"), SPLITS)


def require_no_leak(table: pd.DataFrame) -> None:
    """Raise LeakageError when one person stands in two partitions or folds (columns patient, person, partition, fold).

    The message names patients: what stands in the column person may be a clinic's number.
    """
    places = table.groupby("person")[["partition", "fold"]].nunique().max(axis=1)
    torn = table.loc[table["person"].isin(places[places > 1].index), "patient"].tolist()
    if torn:
        raise LeakageError("a person is on both sides of the split", where=Where(patient=str(torn[0])), got=torn)
