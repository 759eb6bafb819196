"""The catalogue of clinical columns is complete and does not contradict the vocabulary."""

from theradose.cohort.participants import BIOLOGICAL, CLINICAL, CLINICAL_COLUMNS
from theradose.vocabulary import QUANTITIES


def test_every_column_is_described() -> None:
    for name, column in CLINICAL_COLUMNS.items():
        assert column.block in (CLINICAL, BIOLOGICAL), name
        assert column.unit, name
        assert column.meaning, name
        assert column.low < column.high, name


def test_shared_columns_have_the_vocabulary_s_unit_and_range() -> None:
    shared = set(CLINICAL_COLUMNS) & set(QUANTITIES)
    assert shared >= {"age_y", "weight_kg", "height_cm", "egfr_ml_min"}
    for name in shared:
        column, quantity = CLINICAL_COLUMNS[name], QUANTITIES[name]
        assert (column.unit, column.low, column.high) == (quantity.unit, quantity.low, quantity.high)


def test_nothing_known_only_after_therapy_is_in_it() -> None:
    assert not [name for name in CLINICAL_COLUMNS if "dose" in name or "tia" in name or "administered" in name]
