"""When the injection was: dates that are trusted, times of day, zones, midnight."""

from datetime import datetime

import pytest

from theradose.errors import DataError
from theradose.imaging.acquisition import first, hours_after_injection, moment_of, number

SCAN = datetime(2024, 1, 10, 11, 0, 0)
F_18_H, CU_64_H, LU_177_H = 1.8295, 12.7, 159.528


@pytest.fixture
def hours(dicom_maker):
    def of(moment, clock, half_life_h, scan=SCAN, **fields):
        info = dicom_maker.tracer(moment=moment, clock=clock)
        header = dicom_maker.item(RadiopharmaceuticalInformationSequence=[info], **fields)
        return hours_after_injection(header, scan, half_life_h)

    return of


@pytest.mark.parametrize(
    ("stated", "half_life_h", "expected", "note"),
    [
        (("20240110100000", "100000"), F_18_H, 1.0, None),
        (("20240110070000", ""), F_18_H, 4.0, "more than 2 half-lives"),
        (("20230501100000", "100000"), F_18_H, 1.0, "does not fit the scan; put on the day of"),
        (("", "100000"), F_18_H, 1.0, "time of day only; put on the day of"),
        (("20240110", "100000"), F_18_H, 1.0, None),
        (("20240103110000", ""), LU_177_H, 168.0, None),
        (("20240109090000", ""), CU_64_H, 26.0, None),  # beyond two half-lives: still trusted
    ],
)
def test_hours_by_hand(hours, stated, half_life_h, expected, note) -> None:
    found, notes = hours(*stated, half_life_h)
    assert found == pytest.approx(expected)
    assert (note is None) == (notes == ())
    assert note is None or note in notes[0]


@pytest.mark.parametrize("moment", ["", "20230501233000"])
def test_midnight(hours, moment) -> None:
    found, notes = hours(moment, "233000", F_18_H, datetime(2024, 1, 10, 0, 30))
    assert found == pytest.approx(1.0)
    assert "put on the day before" in notes[0]


@pytest.mark.parametrize(
    ("moment", "clock", "half_life_h", "code"),
    [
        ("", "160000", F_18_H, "THR-252"),  # 19 h the day before: not over midnight
        ("20240110113000", "", F_18_H, "THR-252"),  # half an hour after the scan
        ("20240110113000", "", LU_177_H, "THR-252"),
        ("", "100000", CU_64_H, "THR-251"),
        ("20240110100000", "093000", F_18_H, "THR-253"),
        ("", "1000", F_18_H, "THR-209"),
        ("20241310100000", "", F_18_H, "THR-209"),
    ],
)
def test_injections_that_are_refused(hours, moment, clock, half_life_h, code) -> None:
    with pytest.raises(DataError, match=code):
        hours(moment, clock, half_life_h)


@pytest.mark.parametrize(
    ("zone", "moment", "expected"),
    [
        ("+0100", "20240110090000+0000", 1.0),
        ("-0500", "20240110150000+0000", 1.0),
        ("+0100", "20240110100000", 1.0),
        (None, "20240110100000+0500", 1.0),  # no other zone to compare with: that of the scanner
    ],
)
def test_zones(hours, zone, moment, expected) -> None:
    fields = {} if zone is None else {"TimezoneOffsetFromUTC": zone}
    assert hours(moment, "100000", F_18_H, **fields)[0] == pytest.approx(expected)


@pytest.mark.parametrize("zone", ["0100", "+2500", "CET"])
def test_a_malformed_zone_is_refused(hours, zone) -> None:
    with pytest.raises(DataError, match="THR-290"):
        hours("20240110090000+0000", "", F_18_H, TimezoneOffsetFromUTC=zone)


def test_silent_headers(hours) -> None:
    assert hours("", "", F_18_H) == (None, ())
    assert hours("20240110100000", "", F_18_H, scan=None) == (None, ())


def test_fields_that_are_mad(dicom_maker) -> None:
    with pytest.raises(DataError, match="THR-208"):
        number(dicom_maker.item(PatientWeight="inf"), "PatientWeight")
    with pytest.raises(DataError, match="THR-209"):
        moment_of("00010101", "100000", "AcquisitionTime")
    assert len(first(dicom_maker.item(), "RadiopharmaceuticalInformationSequence")) == 0
