"""The moment START means, by hand; vendors' private times."""

from datetime import datetime

import pytest
from pydicom.dataset import Dataset

from theradose.errors import DataError
from theradose.imaging.suv_times import (
    each_frame_h,
    mean_activity_time_h,
    private_text,
    qiba_reference,
    start_reference,
    timing,
    unread_private,
    vendor,
)

F_18_H, LU_177_H = 1.8295, 159.528


@pytest.fixture
def header(dicom_maker):
    def make(**changes):
        plain = {
            "Manufacturer": "SIEMENS", "SeriesDate": "20240110", "SeriesTime": "110000",
            "AcquisitionDate": "20240110", "AcquisitionTime": "110000", "ActualFrameDuration": "120000",
        }  # fmt: skip
        fields = {key: value for key, value in {**plain, **changes}.items() if value is not None}
        fields["RadiopharmaceuticalInformationSequence"] = [
            dicom_maker.item(RadiopharmaceuticalStartDateTime="20240110100000", RadiopharmaceuticalStartTime="100000")
        ]
        return dicom_maker.item(**fields)

    return make


def at(clock):
    return datetime.strptime(f"20240110{clock}", "%Y%m%d%H%M%S")


def test_all_beds_have_the_reference_of_the_first(header) -> None:
    beds = [header(AcquisitionTime=clock) for clock in ("110600", "110300", "110000")]
    assert start_reference(beds, F_18_H) == (at("110000"), "series_time")
    assert qiba_reference(beds, F_18_H) == at("110000")
    # A later bed alone: 6 min and 60 s into its frame by FrameReferenceTime; the mean activity of 120 s is met 0.2 s
    # before the middle (lambda D^2 / 24 = 0.06 s).
    alone, rule = start_reference([header(AcquisitionTime="110600", FrameReferenceTime="420000")], F_18_H)
    assert rule == "mean_less_frame"
    assert (alone - at("110000")).total_seconds() == pytest.approx(-0.063, abs=1e-3)


def test_without_a_frame_reference_time_qiba_decides(header) -> None:
    assert start_reference([header(SeriesTime="113000")], F_18_H) == (at("110000"), "qiba")
    assert start_reference([header(SeriesTime="105500")], F_18_H) == (at("105500"), "qiba")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("105900", "105900"), ("105900.50 ", "105900"), ("20240110105900.00", "105900"),
        ("20210705105900", "105900"),  # its date has not moved with the others
        ("20240110105900+0100", None),  # the header states no zone
        (b"105900\0", "105900"), ("", None), ("unknown", None), ("1059", None), ("996199", None),
    ],
)  # fmt: skip
def test_private_times_as_they_are_written(header, text, expected) -> None:
    one = header(SeriesTime="113000")
    one.add_new((0x0071, 0x0010), "LO", "SIEMENS MED PT")
    one.add_new((0x0071, 0x1022), "UN" if isinstance(text, bytes) else "LO", text)
    moment, rule = start_reference([one], F_18_H)
    assert rule == ("qiba" if expected is None else "siemens_private")
    assert moment.replace(microsecond=0) == at(expected or "110000")
    assert bool(unread_private(one, rule)) == (expected is None and text != "")


def test_a_private_time_before_midnight_is_of_the_day_before(header) -> None:
    one = header(SeriesTime="003000", AcquisitionTime="000030", Manufacturer="GE MEDICAL SYSTEMS")
    one.add_new((0x0009, 0x100D), "LO", "235930")  # no creator: the first block
    moment, rule = start_reference([one], F_18_H)
    assert (moment, rule) == (datetime(2024, 1, 9, 23, 59, 30), "ge_private")
    assert qiba_reference([one], F_18_H) == moment


def test_a_private_block_is_found_by_its_creator() -> None:
    one = Dataset()
    one.private_block(0x7053, "Another", create=True).add_new(0x00, "DS", "7")
    one.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.5")
    assert private_text(one, 0x7053, "Philips PET Private Group", 0x00) == "0.5"
    assert private_text(one, 0x7053, "Philips PET Private Group", 0x09) == ""


def test_vendors_by_the_start_of_a_word(header) -> None:
    assert vendor(header(Manufacturer="CPS"), ("SIEMENS", "CPS"))
    assert not vendor(header(Manufacturer="Bridge Imaging"), ("GE",))
    assert not vendor(header(Manufacturer=None), ("GE",))


def test_the_mean_activity_time_of_a_long_frame(header) -> None:
    # D = one half-life: mean = 0.5 / ln 2 = 0.72135 of the start, met after log2(1 / 0.72135) = 0.47123 half-lives.
    long = header(ActualFrameDuration=str(int(F_18_H * 3.6e6)))
    assert mean_activity_time_h(long, F_18_H) == pytest.approx(0.47123 * F_18_H, rel=1e-5)
    assert mean_activity_time_h(header(ActualFrameDuration=None), F_18_H) is None


def test_frames_of_none_each_have_their_own_time(header) -> None:
    hours, first = each_frame_h([header(AcquisitionTime="110300"), header()], F_18_H)
    assert hours[0] - hours[1] == pytest.approx(0.05)
    assert first.hours == hours[1] == pytest.approx(1.0 + 60.0 / 3600, abs=1e-4)
    with pytest.raises(DataError, match="frame duration"):
        each_frame_h([header(ActualFrameDuration=None)], F_18_H)


def test_times_that_are_missing_or_mad_are_refused(header) -> None:
    with pytest.raises(DataError, match="time of acquisition is missing"):
        start_reference([header(AcquisitionTime=None)], F_18_H)
    no_day = header(AcquisitionDate=None, SeriesDate=None)
    assert start_reference([no_day], F_18_H)[1] == "series_time"
    with pytest.raises(DataError, match="time of acquisition is missing"):
        start_reference([no_day], LU_177_H)
    with pytest.raises(DataError, match="time of the frame"):
        start_reference([header(SeriesTime="113000", FrameReferenceTime="1e300")], F_18_H)
    with pytest.raises(DataError, match=r"nothing is left .* 125 half-lives"):
        timing(header(), at("110000"), "series_time", 0.008)
    silent = header()
    silent.RadiopharmaceuticalInformationSequence = []
    with pytest.raises(DataError, match="time of injection is missing"):
        timing(silent, at("110000"), "series_time", F_18_H)
