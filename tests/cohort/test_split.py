"""The split keeps people whole, strata even and seeds honest."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.cohort.split import SCHEMES, require_no_leak, split_patients
from theradose.errors import LeakageError, SettingsError


def people(n: int, centres: tuple[str, ...] = ("north", "south")) -> pd.DataFrame:
    return pd.DataFrame(
        {"patient": [f"v{i:03d}" for i in range(n)], "centre": [centres[i % len(centres)] for i in range(n)]}
    )


def split(table: pd.DataFrame, **changes: object) -> pd.DataFrame:
    options = {
        "scheme": "holdout", "test_fraction": 0.33, "folds": 5, "test_centre": None, "stratify_by": "centre", "seed": 1,
    }  # fmt: skip
    return split_patients(table, **{**options, **changes})


def test_thirds_of_27_are_9_9_9() -> None:
    counts = split(people(27), scheme="thirds")["partition"].value_counts().to_dict()
    assert counts == {"train": 9, "validation": 9, "test": 9}


def test_holdout_is_even_over_centres_and_folds() -> None:
    table = split(people(30), test_fraction=1 / 3)
    test = table[table["partition"] == "test"]
    assert test["centre"].value_counts().to_dict() == {"north": 5, "south": 5}
    train = table[table["partition"] == "train"]
    assert train["fold"].value_counts().to_dict() == dict.fromkeys(range(5), 4)
    assert (test["fold"] == -1).all()


def test_by_centre_keeps_the_whole_centre_back() -> None:
    table = split(people(20), scheme="by_centre", test_centre="south")
    assert set(table.loc[table["partition"] == "test", "centre"]) == {"south"}
    assert set(table.loc[table["partition"] == "train", "centre"]) == {"north"}
    with pytest.raises(SettingsError, match="east"):
        split(people(20), scheme="by_centre", test_centre="east")


def test_kfold_keeps_nobody_back() -> None:
    assert set(split(people(12), scheme="kfold")["partition"]) == {"train"}


def test_a_person_under_two_ids_stays_together() -> None:
    table = people(24)
    table["person"] = [f"p{i // 2}" for i in range(24)]
    places = split(table).merge(table[["patient", "person"]]).groupby("person")[["partition", "fold"]].nunique()
    assert (places == 1).all(axis=None)


def test_a_torn_person_is_a_leak() -> None:
    torn = pd.DataFrame(
        {"patient": ["p1", "p2"], "person": "MRN 4711", "partition": ["train", "test"], "fold": [0, -1]}
    )
    with pytest.raises(LeakageError, match=r"patient p1 · got \['p1', 'p2'\]") as caught:
        require_no_leak(torn)
    assert "4711" not in str(caught.value)


def test_an_empty_cell_for_the_person_makes_nobody_a_twin() -> None:
    table = people(24).assign(person="")
    table.loc[:1, "person"] = "same"
    pd.testing.assert_frame_equal(split(table.assign(person="")), split(people(24)))
    assert split(table).iloc[:2][["partition", "fold"]].nunique().tolist() == [1, 1]


def test_too_few_people_are_refused() -> None:
    with pytest.raises(SettingsError, match="too few patients"):
        split(people(4))


@given(
    n=st.integers(12, 80), seed=st.integers(0, 2**31 - 1), scheme=st.sampled_from(sorted(set(SCHEMES) - {"by_centre"}))
)
@settings(max_examples=30, deadline=None)
def test_every_patient_is_placed_once_whatever_the_order(n: int, seed: int, scheme: str) -> None:
    table = people(n)
    first = split(table, scheme=scheme, seed=seed, folds=3)
    again = split(table.sample(frac=1, random_state=seed % 1000), scheme=scheme, seed=seed, folds=3)
    assert first["patient"].tolist() == table["patient"].tolist()
    pd.testing.assert_frame_equal(first, again)
