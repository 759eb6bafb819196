"""The table of limits: complete rows, the published values, and messages that help."""

import re

import pytest

from theradose.errors import SettingsError
from theradose.physics.limits import CASES, TABLE, constant, constants, has_constant
from theradose.vocabulary import ORGANS


@pytest.mark.parametrize("row", constants().values(), ids=lambda row: f"{row.organ}-{row.case}-{row.name}")
def test_every_number_has_organ_case_source_and_note(row) -> None:
    assert row.organ in ORGANS
    assert row.case in CASES
    assert row.value > 0
    assert len(row.validity) > 3
    # A paper with its year, or the design of the virtual cohort, which is nobody's measurement.
    assert re.search(r"\b(19|20)\d\d\b", row.source) if row.case != "virtual" else "virtual" in row.source


def test_no_number_stands_twice() -> None:
    # A second row of the same name would silently win.
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) - 1 == len(constants())


@pytest.mark.parametrize(
    ("organ", "name", "case", "value"),
    [
        ("kidneys", "alpha_beta_gy", "standard", 2.6),
        ("kidneys", "t_repair_h", "standard", 2.8),
        ("kidneys", "limit_dose_gy", "standard", 23.0),
        ("kidneys", "limit_bed_gy", "standard", 40.0),
        ("kidneys", "limit_bed_gy", "cautious", 28.0),
        ("marrow", "limit_dose_gy", "standard", 2.0),
        ("parotids", "limit_dose_gy", "cautious", 20.0),
        ("parotids", "limit_dose_gy", "standard", 26.0),
        ("liver", "limit_dose_gy", "standard", 30.0),
        ("marrow", "limit_dose_gy", "cautious", 2.0),  # nothing stricter published: the standard one
    ],
)
def test_published_values(organ: str, name: str, case: str, value: float) -> None:
    assert constant(organ, name, case).value == value


def test_what_is_missing_is_said() -> None:
    assert not has_constant("spleen", "limit_dose_gy")
    with pytest.raises(SettingsError, match="knows no organ kidney ") as caught:
        constant("kidney", "limit_bed_gy")
    assert caught.value.code == "unknown_organ"
    with pytest.raises(SettingsError, match=r"no limit_bed_gy for marrow.*alpha_beta_gy, limit_dose_gy") as caught:
        constant("marrow", "limit_bed_gy")
    assert caught.value.code == "no_constant"
