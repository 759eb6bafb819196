"""What a message shows of a header: numbers and times, and no name."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from theradose.errors import DataError
from theradose.imaging.acquisition import moment_of, number
from theradose.imaging.header_text import quoted


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("110000.25", "110000.25"), ("2024-01-10T11:30+0100", "2024-01-10T11:30+0100"), ("-1e5", "-1e5"),
        ("DOE^JANE", "??E????E"), (b"12", "??12?"), (None, None), ([0.0, "x", 2], "0.0 ? 2"),
        (MultiValue(float, ["1", "2.5"]), "1.0 2.5"), ("7" * 99, "7" * 40),
    ],
)  # fmt: skip
def test_numbers_and_times_are_shown_and_other_characters_are_not(value, shown) -> None:
    assert quoted(value) == shown


@given(st.text() | st.lists(st.text()))
def test_nothing_else_ever_passes(value) -> None:
    assert re.fullmatch(r"[0-9.:+\-T eE?]{0,40}", quoted(value))


@pytest.mark.parametrize("name", ["MUSTERMANN^MAX", "Jane Doe", "Müller"])
def test_a_name_in_the_place_of_a_number_or_time_is_not_repeated(name) -> None:
    header = Dataset()
    header.PatientComments = name
    for ask in (
        lambda: number(header, "PatientComments"),
        lambda: moment_of("20240110", name, "SeriesTime"),
        lambda: moment_of("20240110", name[:4], "SeriesTime"),
    ):
        with pytest.raises(DataError) as refused:
            ask()
        said = str(refused.value).partition(" got ")[2].partition(" · ")[0]
        assert said
        assert not set(said) & (set(string.ascii_letters) - set("TeE"))
