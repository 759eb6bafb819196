"""Where the series of a patient belong: before therapy or into a cycle, and how their decay correction is read.

A new cycle begins with an injection more than 14 days after the one before; images of one cycle share their injection.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from theradose.cohort.layout import CYCLE_PREFIX, PRE
from theradose.errors import DataError, TheradoseError, UnitError, Where
from theradose.imaging.acquisition import DECAY_TAGS, Acquisition
from theradose.imaging.dicom import Series
from theradose.imaging.plausible import decay_contradiction, looks_like
from theradose.physics.decay import DECAY_REFERENCES, factor_to_scan_start
from theradose.physics.nuclides import nuclide
from theradose.physics.units import hours_from_seconds, seconds_from_hours
from theradose.vocabulary import QUANTITIES

AS_DECLARED = "as_declared"
# Cycles of 177Lu follow each other after 4 to 12 weeks, images of one cycle within 10 days.
NEXT_CYCLE_H = 14 * 24.0
SAME_INJECTION_H = 1.0
# Radionuclides whose PT images come from PET; PT of any other is SPECT stored as PT.
PET_NUCLIDES = frozenset(
    ("C-11", "Cu-64", "F-18", "Ga-68", "I-124", "N-13", "O-15", "Rb-82", "Sc-44", "Y-86", "Y-90", "Zr-89")
)


@dataclass(frozen=True)
class Placed:
    """A series by our name and where it goes: modality and session of the data set, hours after administration.

    `timed` tells that its name holds the time even before therapy.
    """

    name: str
    series: Series
    modality: str
    session: str
    time_h: float | None
    timed: bool = False


def _emission(name: str, series: Series) -> Placed:
    """Return where a PET or SPECT belongs; DataError when tracer, activity or time of injection are not stated."""
    record = series.acquisition
    needed = {
        "RadionuclideCodeSequence": record.radionuclide,
        "RadionuclideTotalDose": record.injected_mbq,
        "RadiopharmaceuticalStartDateTime": record.start_h,
    }
    missing = [field for field, value in needed.items() if value is None]
    if missing:
        raise DataError(
            f"header of a {record.modality} series lacks what dosimetry needs",
            where=Where(field=", ".join(missing)),
            remedy="export with these fields, or convert to NIfTI and import with a mapping file",
            code="THR-250",
        )
    nuclide(str(record.radionuclide))
    is_pet = record.modality == "PT" and record.radionuclide in PET_NUCLIDES
    return Placed(name, series, "pet" if is_pet else "spect", PRE, record.start_h)


def _in_cycles(spects: list[Placed]) -> tuple[list[Placed], list[str]]:
    """Return SPECTs in the sessions of their cycles, and a line about each cycle whose injections differ."""
    cycle, injected_h = 1, None
    placed, lines = [], []
    for p in sorted(spects, key=lambda p: (p.series.injection_h or 0.0, p.time_h or 0.0)):
        own = p.series.injection_h or 0.0
        later = 0.0 if injected_h is None else own - injected_h
        if later > NEXT_CYCLE_H:
            cycle += 1
        elif later > SAME_INJECTION_H:
            lines.append(f"injections of cycle {cycle} differ by {later:.1f} h: one cycle, or a wrong time?")
        injected_h = own
        placed.append(replace(p, session=f"{CYCLE_PREFIX}{cycle}"))
    return placed, lines


def place(
    read: list[tuple[str, Series]], refuse: Callable[[str, TheradoseError], None]
) -> tuple[list[Placed], list[str]]:
    """Return series with their places, by time, and warnings; `refuse` gets those of which too little is known.

    A CT goes with the image of its frame of reference, else before therapy. Several of a kind before therapy keep the
    time in their names.
    """
    emission: list[Placed] = []
    for name, series in (each for each in read if each[1].acquisition.modality != "CT"):
        try:
            emission.append(_emission(name, series))
        except TheradoseError as error:
            refuse(name, error)
    spects, lines = _in_cycles([p for p in emission if p.modality == "spect"])
    placed = [p for p in sorted(emission, key=lambda p: p.time_h or 0.0) if p.modality == "pet"] + spects
    frames = {p.series.acquisition.frame_of_reference: p for p in placed}
    for name, series in (each for each in read if each[1].acquisition.modality == "CT"):
        partner = frames.get(series.acquisition.frame_of_reference)
        session, time_h = (PRE, None) if partner is None else (partner.session, partner.time_h)
        placed.append(Placed(name, series, "ct", session, time_h))
    many = Counter(p.modality for p in placed if p.session == PRE)
    placed = [replace(p, timed=p.session == PRE and many[p.modality] > 1) for p in placed]
    alone = [p.modality == "ct" and p.session == PRE and not p.timed for p in placed]
    return [replace(p, time_h=None) if only else p for p, only in zip(placed, alone, strict=True)], lines


def require_choice(choice: str) -> None:
    """Raise DataError when the caller's word for the decay reference is none of those that there are."""
    words = (AS_DECLARED, *DECAY_REFERENCES)
    if choice not in words:
        where, allowed = Where(field="--decay-reference"), f"one of {', '.join(words)}"
        raise DataError("decay reference is unknown", where=where, got=choice, expected=allowed, code="THR-240")


def decide_reference(record: Acquisition, choice: str) -> str:
    """Return the decay reference by the caller's choice, or by the header's tag when `choice` is as_declared."""
    reference = DECAY_TAGS.get(record.decay_tag or "") if choice == AS_DECLARED else choice
    if reference not in DECAY_REFERENCES:
        raise DataError(
            "decay correction is not stated",
            where=Where(field="DecayCorrection"),
            got=record.decay_tag,
            expected=f"one of {', '.join(DECAY_REFERENCES)}",
            remedy="decide with --decay-reference",
            code="THR-207",
        )
    return reference


def _in_decimals(value: float | None) -> float | None:
    """Return a converted number as its header meant it: 1.753 m are 175.3 cm, not 175.29999999999998."""
    return None if value is None else float(f"{value:.10g}")


def _can_be(quantity: str, value: float) -> bool:
    """Tell whether a body size can be right."""
    return (QUANTITIES[quantity].low or 0.0) <= value <= (QUANTITIES[quantity].high or 0.0)


def readings(series: Series) -> dict[str, float]:
    """Return the activity (MBq) in the field of view at scan start under each reading of the decay correction.

    `as_stored` is the plain sum; the others are named by decay reference. Readings that need an unknown frame duration
    are left out.
    """
    record = series.acquisition
    stored = series.volume.total_mbq()
    half_life_h = nuclide(str(record.radionuclide)).half_life_h
    found = {"as_stored": stored}
    for reference in DECAY_REFERENCES:
        duration_h = None if record.frame_duration_s is None else record.frame_duration_s / 3600.0
        if reference == "none" and duration_h is None:
            continue
        found[reference] = stored * factor_to_scan_start(
            reference, half_life_h, float(record.start_h or 0.0), duration_h
        )
    return found


def sidecar_of(placed: Placed, reference: str, choice: str) -> dict[str, Any]:
    """Return the sidecar of a PET or SPECT: PET-BIDS keys, the decided decay reference and what the header declared."""
    record = placed.series.acquisition
    sidecar: dict[str, Any] = {
        "Modality": "PT" if placed.modality == "pet" else "NM",
        "TracerRadionuclide": record.radionuclide,
        "InjectedRadioactivity": record.injected_mbq,
        "InjectedRadioactivityUnits": "MBq",
        "TimeZero": "InjectionStart",
        "InjectionStart": 0,
        "FrameTimesStart": [seconds_from_hours(float(record.start_h or 0.0))],
        "ImageDecayCorrected": reference != "none",
        "DecayReference": reference,
        "DecayReferenceDecidedBy": "header" if choice == AS_DECLARED else "user",
        "DecayCorrectionDeclared": record.decay_tag,
        "DecayFactorDeclared": record.decay_factor,
    }
    if record.weight_kg is not None and _can_be("weight_kg", record.weight_kg):
        sidecar["PatientWeight"] = record.weight_kg
    if record.frame_duration_s is not None:
        sidecar["FrameDuration"] = [record.frame_duration_s]
    if record.unit == "Bq/mL":
        sidecar["ActivityInFieldOfViewMBq"] = readings(placed.series)
    return sidecar


def activity_lines(placed: Placed, reference: str) -> list[str]:
    """Return lines: the activity of a time point under each reading, a warning when the header contradicts itself."""
    record = placed.series.acquisition
    if record.unit != "Bq/mL":
        return [f"{placed.modality} at {placed.time_h:.2f} h is in {record.unit}"]
    each = ", ".join(f"{name} {mbq:.1f} MBq" for name, mbq in readings(placed.series).items())
    lines = [f"{placed.modality} at {placed.time_h:.2f} h: in the field of view {each}; taken: {reference}"]
    half_life_h = nuclide(str(record.radionuclide)).half_life_h
    frame_h = hours_from_seconds(record.frame_duration_s) if record.frame_duration_s else None
    start_h = float(record.start_h or 0.0)
    clash = decay_contradiction(record.decay_tag, record.decay_factor, half_life_h, start_h, frame_h)
    return [*lines, f"WARN decay correction contradicts itself: {clash}; {reference} was taken"] if clash else lines


def clinical(placed: list[Placed], centre: str, refuse: Callable[[str, TheradoseError], None]) -> dict[str, object]:
    """Return the clinical row: body size of the first series that has it, activity of the first cycle.

    `refuse` gets a size that nobody has, with the unit it looks like; nothing is converted.
    """
    therapy = [p.series.acquisition for p in placed if p.modality == "spect"]
    known = therapy or [p.series.acquisition for p in placed if p.series.acquisition.radionuclide]
    row: dict[str, object] = {
        "centre": centre,
        "administered_mbq": _in_decimals(therapy[0].injected_mbq) if therapy else None,
        "radionuclide": known[0].radionuclide if known else None,
    }
    for field, tag in (("weight_kg", "PatientWeight"), ("height_cm", "PatientSize")):
        stated = [(p.name, value) for p in placed if (value := getattr(p.series.acquisition, field))]
        low, high = QUANTITIES[field].low or 0.0, QUANTITIES[field].high or 0.0
        for name, value in stated[:1]:
            if _can_be(field, value):
                row[field] = _in_decimals(value)
                continue
            remedy = f"{looks_like(field, value, low, high)}correct the header, or the cell in participants.tsv"
            where, allowed = Where(field=tag), f"{low:g} to {high:g} {field.rsplit('_', 1)[1]}"
            error = UnitError(
                "body size cannot be right", where=where, got=f"{value:g}", expected=allowed, remedy=remedy,
                code="THR-339",
            )  # fmt: skip
            refuse(name, error)
    return row
