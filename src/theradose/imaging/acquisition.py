"""What a DICOM header says about how an image came to be, as a plain record without anything about the person.

Times become hours after injection here and nowhere else; no date leaves this module.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DA, DT, TM

from theradose.errors import DataError, UnitError, Where
from theradose.imaging.header_text import quoted
from theradose.imaging.plausible import require_injected
from theradose.physics.nuclides import nuclide_table

# Elements of DICOM CID 18 and 4020 as code meanings spell them.
ELEMENTS = {
    "actinium": "Ac", "astatine": "At", "carbon": "C", "copper": "Cu", "fluorine": "F", "gallium": "Ga",
    "holmium": "Ho", "indium": "In", "iodine": "I", "lead": "Pb", "lutetium": "Lu", "nitrogen": "N", "oxygen": "O",
    "rhenium": "Re", "rubidium": "Rb", "samarium": "Sm", "scandium": "Sc", "technetium": "Tc", "terbium": "Tb",
    "yttrium": "Y", "zirconium": "Zr",
}  # fmt: skip
NUCLIDE_WORDS = (
    r"(?P<mass>\d{1,3})(?P<state>m?)[\s^-]*(?P<element>[A-Za-z]+)",
    r"(?P<element>[A-Za-z]+)[\s^-]*(?P<mass>\d{1,3})(?P<state>m?)",
)
UNITS = {"BQML": "Bq/mL", "GML": "g/mL"}
MEASUREMENT_UNITS = {"bq/ml": "Bq/mL", "g/ml": "g/mL", "[hnsf'u]": "HU"}  # UCUM codes of real-world value maps
DECAY_TAGS = {"ADMIN": "administration", "START": "scan_start", "NONE": "none"}
# From this half-life on (41 400 s; Cu-64 counts) patients come back another day: dates are trusted, never inferred.
LONG_LIVED_H = 11.5
# A date of a short-lived tracer counts when it puts the scan so late after the injection; else the time of day does.
EARLIEST_H, HALF_LIVES = -1.0, 2.0
OVER_MIDNIGHT_H = 6.0  # longest uptake for which the day before is assumed
SAME_INJECTION = timedelta(minutes=1)
LONGEST_H = 1000.0
YEARS = (1900, 2200)


@dataclass(frozen=True)
class Acquisition:
    """One series: `modality` (PT, NM, CT), `unit`, and, for emission images, tracer, times, decay tags and weight.

    `start_h` is scan start in hours after injection; `decay_tag` is DICOM (0054,1102), `decay_factor` (0054,1321).
    `series` and `frame_of_reference` are UIDs, kept in memory to match files and never written.
    """

    modality: str
    unit: str
    series: str
    frame_of_reference: str
    radionuclide: str | None = None
    injected_mbq: float | None = None
    start_h: float | None = None
    frame_duration_s: float | None = None
    decay_tag: str | None = None
    decay_factor: float | None = None
    weight_kg: float | None = None
    height_cm: float | None = None
    notes: tuple[str, ...] = ()


def first(header: Dataset, sequence: str) -> Dataset:
    """Return the first item of a sequence, an empty dataset when there is none."""
    items = header.get(sequence)
    return items[0] if isinstance(items, Sequence) and items else Dataset()


def number(header: Dataset, field: str) -> float | None:
    """Return a finite number of the header, None when it is absent or empty; DataError when it is something else."""
    value = header.get(field)
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise DataError("header field is no number", where=Where(field=field), got=quoted(value), code="THR-208")
    return found


def radionuclide_of(header: Dataset) -> str | None:
    """Return the radionuclide, `Lu-177` from `177 Lutetium`, `^177^Lu` or `Lu-177`; None when the header is silent."""
    info = first(header, "RadiopharmaceuticalInformationSequence")
    meaning = str(first(info, "RadionuclideCodeSequence").get("CodeMeaning", "")) or str(
        info.get("Radiopharmaceutical", "")
    )
    for pattern in NUCLIDE_WORDS:
        for found in re.finditer(pattern, meaning):
            word = found["element"]
            symbol = ELEMENTS.get(word.lower(), word)
            if symbol in ELEMENTS.values():
                return f"{symbol}-{found['mass']}{found['state']}"
    return None


def moment_of(date: object, time: object, field: str) -> datetime | None:
    """Return date and time of the header as one moment; None when one is absent; DataError when it is malformed."""
    if not date or not time:
        return None
    where, got = Where(field=field), quoted(time)
    if len(str(time).split(".")[0]) < 6:
        raise DataError("time is not given to the second", where=where, got=got, expected="HHMMSS", code="THR-209")
    try:
        day, clock = DA(str(date)), TM(str(time))
        if day is None or clock is None:
            return None
        if not YEARS[0] <= day.year <= YEARS[1]:
            raise ValueError("no year of a scan")
        return datetime.combine(day, clock)
    except ValueError as error:
        raise DataError("date or time is malformed", where=where, got=got, code="THR-209") from error


def scan_start(headers: list[Dataset]) -> datetime | None:
    """Return when the scan began: the series' time unless it is later than the earliest acquisition (QIBA).

    Needs the headers of the whole series: bed positions are acquired one after the other.
    """
    series = moment_of(headers[0].get("SeriesDate"), headers[0].get("SeriesTime"), "SeriesTime")
    acquired = [moment_of(h.get("AcquisitionDate"), h.get("AcquisitionTime"), "AcquisitionTime") for h in headers]
    known = [moment for moment in acquired if moment is not None]
    earliest = min(known) if known else None
    return series if series is not None and (earliest is None or series <= earliest) else earliest


def _zone(header: Dataset) -> timezone | None:
    """Return the zone of the times of a header, None when it states none; DataError when it is malformed."""
    text = str(header.get("TimezoneOffsetFromUTC") or "").strip()
    found = re.fullmatch(r"([+-])(0\d|1[0-4])([0-5]\d)", text)
    if text and found is None:
        where, got = Where(field="TimezoneOffsetFromUTC"), quoted(text)
        raise DataError("zone of the times is malformed", where=where, got=got, expected="+HHMM", code="THR-290")
    if found is None:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(offset if found[1] == "+" else -offset)


def _stated_injection(header: Dataset, clock: str) -> datetime | None:
    """Return the injection moment in the header's own zone when a date is stated; `clock` adds a time it lacks."""
    info = first(header, "RadiopharmaceuticalInformationSequence")
    text = str(info.get("RadiopharmaceuticalStartDateTime") or "").strip()
    digits = len(re.split(r"[.+-]", text)[0])
    if digits < 8 or (digits < 14 and not clock):
        return None
    if digits < 14:
        return moment_of(text[:8], clock, "RadiopharmaceuticalStartTime")
    try:
        moment = DT(text)
    except ValueError as error:
        field = Where(field="RadiopharmaceuticalStartDateTime")
        raise DataError("date or time is malformed", where=field, expected="YYYYMMDDHHMMSS", code="THR-209") from error
    if moment is None:
        return None
    zone, stated = _zone(header), datetime.combine(moment.date(), moment.time(), moment.tzinfo)
    # A zone without one of the header is that of the scanner: the other times carry none.
    return (stated.astimezone(zone) if stated.tzinfo and zone else stated).replace(tzinfo=None)


def injection_before(header: Dataset, reference: datetime, half_life_h: float | None) -> tuple[datetime | None, str]:
    """Return the injection that belongs to a scan at `reference`, and a note; None when the header states none.

    Long-lived tracers: date and time are trusted and must be there. Short-lived ones: they are trusted when the scan
    lies -1 h to 2 half-lives after them; else, and when only a time of day is stated, that is put on the day of the
    scan, or the day before when that gives less than 6 h. DataError otherwise, and when two times disagree.
    """
    info = first(header, "RadiopharmaceuticalInformationSequence")
    clock = str(info.get("RadiopharmaceuticalStartTime") or "").strip()
    stated = _stated_injection(header, clock)
    if stated is None and not clock:
        return None, ""
    long_lived = half_life_h is None or half_life_h >= LONG_LIVED_H
    if stated is not None:
        _require_agreement(stated, clock)
        hours = (reference - stated).total_seconds() / 3600.0
        if long_lived or EARLIEST_H <= hours < HALF_LIVES * (half_life_h or 0.0):
            return stated, ""
    elif long_lived:
        raise DataError(
            "day of injection is not stated",
            where=Where(field="RadiopharmaceuticalStartDateTime"),
            got=f"time of day {quoted(clock)} only",
            expected="date and time",
            remedy="give time_h in a mapping file",
            code="THR-251",
        )
    day = reference.strftime("%Y%m%d")
    injected = moment_of(day, clock or f"{stated:%H%M%S.%f}", "RadiopharmaceuticalStartTime") or reference
    if injected == stated:
        return stated, f"scan is more than {HALF_LIVES:g} half-lives after the injection"
    why = "injection has a time of day only" if stated is None else "date of the injection does not fit the scan"
    if injected <= reference:
        return injected, f"{why}; put on the day of the scan"
    injected -= timedelta(days=1)
    if reference - injected >= timedelta(hours=OVER_MIDNIGHT_H):
        _require_after((reference - injected).total_seconds() / 3600.0 - 24.0)
    return injected, f"{why.replace('only', 'later than the scan')}; put on the day before"


def _require_after(hours: float) -> float:
    """Return the hours from injection to scan; DataError when they are below zero or above any follow-up."""
    if 0 <= hours <= LONGEST_H:
        return hours
    raise DataError(
        "scan does not follow the injection",
        where=Where(field="RadiopharmaceuticalStartDateTime"),
        got=f"{hours:.2f} h",
        expected=f"0 to {LONGEST_H:g} h",
        code="THR-252",
    )


def hours_after_injection(
    header: Dataset, reference: datetime | None, half_life_h: float | None
) -> tuple[float | None, tuple[str, ...]]:
    """Return hours from the injection to `reference` and notes; None when either is unknown; DataError when < 0."""
    injected, note = (None, "") if reference is None else injection_before(header, reference, half_life_h)
    if reference is None or injected is None:
        return None, ()
    return _require_after((reference - injected).total_seconds() / 3600.0), (note,) if note else ()


def injection_to_scan_h(headers: list[Dataset], half_life_h: float | None) -> tuple[float | None, tuple[str, ...]]:
    """Return hours from injection to scan start and notes; None when the header is silent about either."""
    return hours_after_injection(headers[0], scan_start(headers), half_life_h)


def _require_agreement(stated: datetime, clock: str) -> None:
    """Raise DataError when the two injection times of the header differ by more than a minute."""
    other = moment_of(stated.strftime("%Y%m%d"), clock, "RadiopharmaceuticalStartTime")
    if other is not None and abs(other - stated) > SAME_INJECTION:
        raise DataError(
            "two injection times disagree",
            where=Where(field="RadiopharmaceuticalStartTime"),
            got=f"{quoted(clock)} and {stated.strftime('%H%M%S')} in RadiopharmaceuticalStartDateTime",
            expected="the same time",
            code="THR-253",
        )


def unit_of(header: Dataset, stated: str | None) -> str:
    """Return the unit of the values; `stated` speaks where the header is silent (NM). UnitError for counts."""
    if header.Modality == "CT":
        return "HU"
    code = str(header.get("Units") or "")
    mapped = first(first(header, "RealWorldValueMappingSequence"), "MeasurementUnitsCodeSequence")
    unit = UNITS.get(code) or MEASUREMENT_UNITS.get(str(mapped.get("CodeValue", "")).lower())
    if unit is None and not code:
        unit = stated
    if unit is None:
        raise UnitError(
            "image is not in Bq/mL",
            where=Where(field="Units"),
            got=code or "no unit",
            expected="BQML or GML",
            remedy="export the quantitative series; or state the unit when the camera writes none",
            code="THR-214",
        )
    return unit


def frame_duration_s(header: Dataset) -> float | None:
    """Return how long the frame lasted, s; tomographic projections add up over the stops of one detector."""
    duration = number(header, "ActualFrameDuration")
    if duration is not None:
        return duration / 1000.0
    rotation = first(header, "RotationInformationSequence")
    stop = number(rotation, "ActualFrameDuration")
    if stop is None:
        return None
    detectors = number(header, "NumberOfDetectors") or 1.0
    return stop * (number(rotation, "NumberOfFramesInRotation") or 1.0) / detectors / 1000.0


def acquisition(headers: list[Dataset], unit: str) -> Acquisition:
    """Return the record of a series from all its headers; DataError or UnitError names the faulty field."""
    header = headers[0]
    base = (str(header.Modality), unit, str(header.SeriesInstanceUID), str(header.get("FrameOfReferenceUID", "")))
    if header.Modality == "CT":
        return Acquisition(*base)
    nuclide = radionuclide_of(header)
    known = nuclide_table().get(nuclide or "")
    info = first(header, "RadiopharmaceuticalInformationSequence")
    injected_bq = number(info, "RadionuclideTotalDose")
    injected = None
    if injected_bq is not None:
        injected = require_injected(injected_bq * 1e-6, nuclide, Where(field="RadionuclideTotalDose"))
    start_h, notes = injection_to_scan_h(headers, known.half_life_h if known else None)
    tag = str(header.get("DecayCorrection") or "") or None
    size_m = number(header, "PatientSize")
    return Acquisition(
        *base, nuclide, injected, start_h, frame_duration_s(header), tag, number(header, "DecayFactor"),
        number(header, "PatientWeight") or None, size_m * 100.0 if size_m else None, notes,
    )  # fmt: skip
