"""The catalogue of clinical columns is complete; a table is read as people write it, and doubts are told."""

import pytest

from theradose.cohort.layout import Dataset
from theradose.cohort.participants import (
    BIOLOGICAL,
    CLINICAL,
    CLINICAL_COLUMNS,
    absent_organs,
    number_of,
    read_participants,
    shown,
    wrong_cells,
    wrong_dates,
)
from theradose.errors import DataError
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


HEADER = "patient,centre,weight_kg,height_cm,administered_mbq,radionuclide,person\n"


@pytest.mark.parametrize(
    ("cell", "number"),
    [("72.5", 72.5), ("1e2", 100.0), (".5", 0.5), ("7_000", None), ("nan", None), ("inf", None), ("72,5", None),
     ("", None), ("n/a", None), ("0x10", None), ("\u0667", None)],
)  # fmt: skip
def test_only_plain_numbers_are_numbers(cell, number) -> None:
    assert number_of(cell) == number


@pytest.mark.parametrize(
    ("cell", "words"),
    [("72,5", "72,5"), ("7.400,0 MBq", "7.400,0 MBq"), ("180 lb", "180 lb"), ("1e5", "1e5"), ("Doe 80", "text"),
     ("80 Doe", "text"), ("01.02.1950", "text"), ("1950-02-01", "text"), ("19500201", "text"),
     ("7400000000", "7400000000")],
)  # fmt: skip
def test_a_message_shows_numbers_and_no_words_or_dates(cell, words) -> None:
    assert shown(cell) == words


def test_wrong_cells_say_what_is_allowed() -> None:
    assert wrong_cells({"weight_kg": "180 lb", "age_y": "n/a", "ecog": "5", "planned_cycles": "four"}) == [
        ("weight_kg", "180 lb", "20 to 250, with a decimal point"),
        ("planned_cycles", "text", "1 to 12, with a decimal point"),
        ("ecog", "5", "0 to 4, with a decimal point"),
    ]


@pytest.mark.parametrize("good", ["2024-02-01", "2024-02-01T08:30", "2024-02-01T08:30:00+01:00", "", "n/a"])
def test_iso_dates_are_dates(good) -> None:
    assert wrong_dates({"scan_date": good, "other": "01/02/2024"}) == []


@pytest.mark.parametrize(
    ("wrong", "form"), [("01/02/2024", "00/00/0000"), ("2024-13-01", "0000-00-00"), ("1. Feb", "0. aaa")]
)
def test_other_dates_are_shown_by_their_form(wrong, form) -> None:
    assert wrong_dates({"scan_date": wrong}) == [("scan_date", form)]


def test_absent_organs_by_side_or_together() -> None:
    assert absent_organs({"absent_organs": "kidney_left; spleen"}) == ({"kidney_left", "spleen"}, [])
    assert absent_organs({"absent_organs": "kidneys"}) == ({"kidney_left", "kidney_right"}, [])
    assert absent_organs({"absent_organs": "n/a"}) == (set(), [])
    assert absent_organs({"absent_organs": "splen Jane"}) == (set(), ["spleen misspelt", "a word that is no organ"])


def test_commas_quotes_and_line_numbers(tmp_path) -> None:
    file = tmp_path / "participants.tsv"
    file.write_text(HEADER + '\n007,"Rome, north",80,175,7400,Lu-177,07\n\n7,x,81,175,7400,Lu-177,7\n')
    cells = read_participants(file)
    assert cells.index.tolist() == [3, 5]
    assert cells["centre"].tolist() == ["Rome, north", "x"]
    people = Dataset(tmp_path).participants()
    assert people["patient"].tolist() == ["007", "7"]
    assert people["person"].tolist() == ["07", "7"]


def test_all_faults_of_the_header_and_of_ids_are_told_at_once(tmp_path) -> None:
    file = tmp_path / "participants.tsv"
    file.write_text("patient,centre,centre,wieght_kg,height_cm,administered_mbq\n")
    with pytest.raises(DataError, match=r"centre twice; wieght_kg: did you mean weight_kg\?; radionuclide is missing"):
        read_participants(file)
    file.write_text(HEADER + "".join(f"{name},x,80,175,7400,Lu-177,\n" for name in ("a", "b c", "A", "nul")))
    with pytest.raises(DataError, match=r"line 3: no safe name; line 4: .* case only; line 5: a name of Windows"):
        read_participants(file)


@pytest.mark.parametrize(("mark", "wrong"), [(",", None), (".", None), ("\u066b", "unclear"), (3, "unclear")])
def test_a_declared_mark_is_taken_at_its_word(tmp_path, mark, wrong) -> None:
    file = tmp_path / "participants.tsv"
    weight = "80.5" if mark == "." else '"80,5"'
    file.write_text(HEADER + f"a,x,{weight},175,7400,Lu-177,\n")
    (tmp_path / "participants.json").write_text('{"DecimalMark": %s}' % (mark if mark == 3 else f'"{mark}"'))
    if wrong is None:
        assert read_participants(file)["weight_kg"].tolist() == ["80.5"]
    else:
        with pytest.raises(DataError, match=r"decimal mark"):
            read_participants(file)


def test_a_declaration_that_is_no_json_is_an_error(tmp_path) -> None:
    file = tmp_path / "participants.tsv"
    file.write_text(HEADER + "a,x,80,175,7400,Lu-177,\n")
    (tmp_path / "participants.json").write_text("DecimalMark: ,")
    with pytest.raises(DataError, match=r"THR-203 .*participants\.json"):
        read_participants(file)
