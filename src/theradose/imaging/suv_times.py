"""Which moment a PET series is decay-corrected to: the header's tag says START, the vendors say where that is written.

The names of the rules are the short ones that `theradose suv` prints; WORDS says them in full. No date leaves here.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom.dataset import Dataset
from pydicom.valuerep import TM

from theradose.errors import DataError, Where
from theradose.imaging.acquisition import LONG_LIVED_H, hours_after_injection, moment_of, number
from theradose.physics.decay import decay_constant_per_h, frame_average_factor
from theradose.physics.units import SECONDS_PER_HOUR, hours_from_seconds

SIEMENS, GE = ("SIEMENS", "CPS", "CTI"), ("GE",)
# Private elements: group, creator, offset in the creator's block.
SIEMENS_REFERENCE = (0x0071, "SIEMENS MED PT", 0x22)
GE_REFERENCE = (0x0009, "GEMS_PETD_01", 0x0D)
PRIVATE_RULES = ((SIEMENS, SIEMENS_REFERENCE, "siemens_private"), (GE, GE_REFERENCE, "ge_private"))
# Real Philips series write SeriesTime in whole seconds, AcquisitionTime one second later, and a FrameReferenceTime that
# counts from there for every bed: the same moment.
SAME_MOMENT = timedelta(seconds=1)
HALF_A_DAY = timedelta(hours=12)
LONGEST_SERIES_MS = 24 * 3.6e6
MOST_HALF_LIVES = 100.0
ANY_DAY = "20000101"
WORDS = {
    "administration": "the administration (ADMIN)",
    "series_time": "SeriesTime, which is the AcquisitionTime of the first frame (START)",
    "siemens_private": "Siemens private (0071,1022) (START)",
    "ge_private": "GE private (0009,100D) (START)",
    "acquisition_less_frame": "AcquisitionTime - FrameReferenceTime (START)",
    "mean_less_frame": "AcquisitionTime + mean-activity time - FrameReferenceTime (START)",
    "qiba": "SeriesTime unless it is later than the earliest AcquisitionTime (START, QIBA)",
    "each_frame": "mean-activity time of each frame (NONE)",
    "scanner": "none needed: the scanner's own SUV",
}


@dataclass(frozen=True)
class Timing:
    """A decay reference: short name of its rule, hours after the injection, notes."""

    rule: str
    hours: float
    notes: tuple[str, ...] = ()


def vendor(header: Dataset, names: Sequence[str]) -> bool:
    """Tell whether the manufacturer is one of `names` (as the word starts)."""
    return any(word.startswith(tuple(names)) for word in str(header.get("Manufacturer") or "").upper().split())


def private_text(header: Dataset, group: int, creator: str, offset: int) -> str:
    """Return a private element as text, empty when it is absent; without its creator, of the first block."""
    try:
        element = header.private_block(group, creator)[offset]
    except KeyError:
        element = header.get((group, 0x1000 | offset))
    value = "" if element is None or element.value is None else element.value
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip(" \0")


def _near(header: Dataset, element: tuple[int, str, int], near: datetime) -> datetime | None:
    """Return a vendor's time of day, or date and time (whose date may not have moved with the others), next to `near`.

    None when it is absent or unreadable, and when it states a zone that is not the header's.
    """
    found = re.fullmatch(r"(?:\d{8})?(\d{6}(?:\.\d+)?)([+-]\d{4})?", private_text(header, *element))
    if found is None or found[2] not in (None, str(header.get("TimezoneOffsetFromUTC") or "")):
        return None
    try:
        moment = datetime.combine(near.date(), TM(found[1]) or near.time())
    except ValueError:
        return None
    return moment + timedelta(days=(near - moment + HALF_A_DAY) // timedelta(days=1))


def acquired(header: Dataset, half_life_h: float) -> datetime:
    """Return when a frame began; DataError without a time of day, for long-lived tracers also without a day."""
    day = header.get("AcquisitionDate") or header.get("SeriesDate")
    moment = moment_of(
        day or (ANY_DAY if half_life_h < LONG_LIVED_H else ""), header.get("AcquisitionTime"), "AcquisitionTime"
    )
    if moment is None:
        where = Where(field="AcquisitionTime")
        raise DataError("time of acquisition is missing", where=where, expected="date and time", code="THR-297")
    return moment


def mean_activity_time_h(header: Dataset, half_life_h: float) -> float | None:
    """Return when in a frame its mean activity is met, h from its start: -ln((1 - exp(-x)) / x) / lambda, x = lambda D.

    None when the frame's duration is not stated.
    """
    duration_ms = number(header, "ActualFrameDuration")
    if duration_ms is None or duration_ms <= 0:
        return None
    average = frame_average_factor(half_life_h, hours_from_seconds(duration_ms / 1000.0))
    return -math.log(average) / decay_constant_per_h(half_life_h)


def _series_time(header: Dataset, half_life_h: float) -> datetime | None:
    """Return the series' date and time, on the day of the acquisition when it states no date of its own."""
    day = header.get("SeriesDate") or acquired(header, half_life_h).strftime("%Y%m%d")
    return moment_of(day, header.get("SeriesTime"), "SeriesTime")


def qiba_reference(headers: Sequence[Dataset], half_life_h: float) -> datetime:
    """Return QIBA's reference: SeriesTime unless it is later than the earliest acquisition; else GE private; else that.

    Needs the headers of the whole series.
    """
    earliest = min(acquired(header, half_life_h) for header in headers)
    series = _series_time(headers[0], half_life_h)
    if series is not None and series <= earliest:
        return series
    return (_near(headers[0], GE_REFERENCE, earliest) if vendor(headers[0], GE) else None) or earliest


def start_reference(headers: Sequence[Dataset], half_life_h: float) -> tuple[datetime, str]:
    """Return the moment that START means in a series and the short name of the rule that gave it.

    One moment for all frames, by the first of them: SeriesTime when it is the time of acquisition; the vendor's
    private element; acquisition (+ mean-activity time, not GE) - FrameReferenceTime; QIBA's rule when that is missing.
    """
    header = min(headers, key=lambda h: (acquired(h, half_life_h), number(h, "FrameReferenceTime") or 0.0))
    begin, series = acquired(header, half_life_h), _series_time(header, half_life_h)
    if series is not None and abs(begin - series) <= SAME_MOMENT:
        return series, "series_time"
    for names, element, rule in PRIVATE_RULES:
        stated = _near(header, element, begin) if vendor(header, names) else None
        if stated is not None:
            return stated, rule
    offset_ms, mean_h = number(header, "FrameReferenceTime"), mean_activity_time_h(header, half_life_h)
    if offset_ms is not None and abs(offset_ms) > LONGEST_SERIES_MS:
        raise DataError(
            "time of the frame cannot be right", where=Where(field="FrameReferenceTime"), got=f"{offset_ms:g} ms",
            expected=f"up to {LONGEST_SERIES_MS:g} ms", code="THR-297",
        )  # fmt: skip
    if offset_ms is not None and vendor(header, GE):
        return begin - timedelta(milliseconds=offset_ms), "acquisition_less_frame"
    if offset_ms is not None and mean_h is not None:
        return begin + timedelta(hours=mean_h, milliseconds=-offset_ms), "mean_less_frame"
    return qiba_reference(headers, half_life_h), "qiba"


def unread_private(header: Dataset, rule: str) -> list[str]:
    """Return a note when a vendor's private time is there but could not be read, so that another rule was taken."""
    if rule == "series_time" or rule.endswith("private"):
        return []
    return [
        f"WARN the vendor's own time (rule {name}) is malformed: not used"
        for names, element, name in PRIVATE_RULES
        if vendor(header, names) and private_text(header, *element)
    ]


def require_left(hours: float, half_life_h: float) -> float:
    """Return the hours; DataError when nothing of the tracer is left after them."""
    if hours <= MOST_HALF_LIVES * half_life_h:
        return hours
    raise DataError(
        "nothing is left of the tracer", where=Where(field="RadionuclideHalfLife"), code="THR-303",
        got=f"{hours:.4g} h, {hours / half_life_h:.4g} half-lives", expected=f"up to {MOST_HALF_LIVES:g}",
    )  # fmt: skip


def timing(header: Dataset, moment: datetime, rule: str, half_life_h: float) -> Timing:
    """Return a reference as hours after the injection; DataError when the header states no injection."""
    hours, notes = hours_after_injection(header, moment, half_life_h)
    if hours is None:
        where = Where(field="RadiopharmaceuticalStartDateTime")
        raise DataError("time of injection is missing", where=where, expected="date and time", code="THR-297")
    return Timing(rule, require_left(hours, half_life_h), notes)


def each_frame_h(headers: Sequence[Dataset], half_life_h: float) -> tuple[list[float], Timing]:
    """Return for NONE the hours from injection to the mean-activity time of each frame, and those of the first.

    DataError when a frame states no duration.
    """
    means = [mean_activity_time_h(header, half_life_h) for header in headers]
    begins = [acquired(header, half_life_h) for header in headers]
    found = timing(headers[0], min(begins), "each_frame", half_life_h)
    if None in means:
        raise DataError(
            "image without decay correction needs its frame duration",
            where=Where(field="ActualFrameDuration"), expected="ms", code="THR-297",
        )  # fmt: skip
    first = min(begins)
    hours = [
        require_left(found.hours + (begin - first).total_seconds() / SECONDS_PER_HOUR + (mean or 0.0), half_life_h)
        for begin, mean in zip(begins, means, strict=True)
    ]
    return hours, Timing(found.rule, min(hours), found.notes)
