"""An error is one sentence with everything needed to act."""

from theradose.errors import EXIT_REFUSED, DataError, FitError, GeometryError, TheradoseError, UnitError, Where


def test_the_sentence_says_what_where_got_expected_and_remedy() -> None:
    error = DataError(
        "weight is missing",
        where=Where(patient="012", file="participants.tsv", field="weight_kg"),
        got=0,
        expected="20-250 kg",
        remedy="add the weight",
        code="THR-017",
    )
    assert str(error) == (
        "THR-017 weight is missing · patient 012 · file participants.tsv · field weight_kg · got 0 · "
        "expected 20-250 kg · add the weight"
    )


def test_only_what_is_known_is_said() -> None:
    assert str(TheradoseError("it broke")) == "THR-000 it broke"
    assert str(TheradoseError("zero counts", got=0)).endswith("got 0")


def test_a_refusal_carries_its_reason_and_ends_with_code_2() -> None:
    error = FitError("activity rises", reason="rising_activity", where=Where(voi="lesion_01", time_h=27.7))
    assert error.reason == "rising_activity"
    assert error.exit_code == EXIT_REFUSED
    assert "VOI lesion_01 · time 27.7 h" in str(error)


def test_data_errors_are_one_family() -> None:
    assert issubclass(UnitError, DataError)
    assert issubclass(GeometryError, DataError)
