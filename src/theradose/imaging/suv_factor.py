"""From the headers of a PET series to SUV per stored unit, by the rules of its unit and of its decay correction.

BQML: SUVbw = Bq/mL x weight (g) / (injected activity x decay to the reference). CNTS (Philips): the scanner's own SUV
factor (7053,1000) first, as QIBA does; its Bq/mL factor (7053,1009) when that is absent or zero, and always for NONE,
whose frames the first does not bring to one time. GML: SUV already.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from theradose.errors import DataError, TheradoseError, UnitError, Where
from theradose.imaging.acquisition import DECAY_TAGS, first, number, radionuclide_of
from theradose.imaging.plausible import ANY_INJECTED_MBQ, INJECTED_MBQ, decay_contradiction, require_injected
from theradose.imaging.suv import require_weight
from theradose.imaging.suv_times import (
    MOST_HALF_LIVES,
    SIEMENS,
    Timing,
    acquired,
    each_frame_h,
    private_text,
    qiba_reference,
    start_reference,
    timing,
    unread_private,
    vendor,
)
from theradose.physics.decay import decay_factor
from theradose.physics.nuclides import nuclide_table
from theradose.physics.units import BQ_PER_MBQ, KG_PER_G, SECONDS_PER_HOUR, hours_from_seconds

PHILIPS, PHILIPS_PET = ("PHILIPS", "ADAC"), (0x7053, "Philips PET Private Group")
SUV_OFFSET, BQML_OFFSET = 0x00, 0x09
SAME_HALF_LIFE = 1e-3
WORTH_SAYING = 0.01  # of the SUV: other rules are reported when they differ by more
RADIO = "RadiopharmaceuticalInformationSequence"
FROM_ELSEWHERE = "correct PatientWeight in the header, or import the series and give weight_kg in participants.tsv"


@dataclass(frozen=True)
class Factor:
    """SUV per unit of each file (`per_unit`), short name of the rule, decay reference, notes.

    `other` is what another reading would give, {"rule", "factor"}, when it differs by more than 1 %.
    """

    per_unit: np.ndarray
    rule: str
    reference: Timing | None
    notes: tuple[str, ...] = ()
    other: dict[str, float | str] | None = None


def _words(header: Dataset, field: str) -> list[str]:
    """Return a field of one or several words as a list."""
    value = header.get(field) or []
    return [str(word).strip().upper() for word in ([value] if isinstance(value, str) else value)]


def _require_corrected(header: Dataset) -> list[str]:
    """Return notes; DataError when the image is not corrected for attenuation, or not for decay as its tag says."""
    corrected, tag = _words(header, "CorrectedImage"), str(header.get("DecayCorrection") or "")
    where = Where(field="CorrectedImage")
    if "ATTN" not in corrected and (corrected or not header.get("AttenuationCorrectionMethod")):
        raise DataError(
            "image is not corrected for attenuation", where=where, got=", ".join(corrected) or "nothing",
            expected="ATTN", remedy="take the attenuation-corrected (AC) series of the study", code="THR-291",
        )  # fmt: skip
    if tag in ("START", "ADMIN") and corrected and "DECY" not in corrected:
        raise DataError(
            "decay correction contradicts itself", where=where, got=f"DecayCorrection {tag} without DECY",
            expected="DECY", remedy="ask which of the two holds; export again", code="THR-295",
        )  # fmt: skip
    notes = [] if "SCAT" in corrected else ["no scatter correction is stated"]
    if tag == "NONE" and "DECY" in corrected:
        notes.append("CorrectedImage says DECY, DecayCorrection NONE: the latter is followed")
    return notes


def _half_life(info: Dataset, name: str | None) -> tuple[float, str | None, list[str]]:
    """Return half-life (h; ICRP-107, the header's for unknown nuclides), radionuclide, notes; DataError without any."""
    stated_s = number(info, "RadionuclideHalfLife")
    stated_h = hours_from_seconds(stated_s) if stated_s and stated_s > 0 else None
    table, notes = nuclide_table(), []
    if name not in table and stated_h is not None:
        alike = [n for n, one in table.items() if abs(stated_h / one.half_life_h - 1.0) <= SAME_HALF_LIFE]
        name = alike[0] if len(alike) == 1 else name
        notes = [f"radionuclide by its half-life: {name}" if len(alike) == 1 else "half-life as the header says"]
    if name not in table and stated_h is None:
        where = Where(field="RadionuclideCodeSequence")
        raise DataError("radionuclide and half-life are unknown", where=where, got=name, code="THR-298")
    half_life_h = table[name].half_life_h if name in table else float(stated_h or 0.0)
    if stated_h is not None and abs(stated_h / half_life_h - 1.0) > SAME_HALF_LIFE:
        notes.append(
            f"WARN half-life {stated_s:g} s in the header; {name} has {half_life_h * 3600:g} s (ICRP-107), used"
        )
    return half_life_h, name, notes


def _injected_mbq(info: Dataset, name: str | None) -> tuple[float, list[str]]:
    """Return the injected activity (MBq) and notes; DataError when it is missing, UnitError when its unit is lost."""
    where, bq = Where(field="RadionuclideTotalDose"), number(info, "RadionuclideTotalDose")
    if not bq:
        raise DataError("injected activity is missing", where=where, got=bq, expected="Bq", code="THR-296")
    mbq, (low, high) = bq / BQ_PER_MBQ, INJECTED_MBQ.get(name or "", ANY_INJECTED_MBQ)
    if not ANY_INJECTED_MBQ[0] <= mbq <= ANY_INJECTED_MBQ[1]:
        require_injected(mbq, name, where)
    usual = low <= mbq <= high
    return mbq, [] if usual else [f"WARN injected {mbq:g} MBq is outside {low:g} to {high:g} MBq of {name}"]


def _weight_g(header: Dataset) -> float:
    """Return the body weight in g; UnitError when the header lacks it."""
    weight = number(header, "PatientWeight")
    return require_weight(weight or 0.0, Where(field="PatientWeight"), FROM_ELSEWHERE) / KG_PER_G


def _other(rule: str, factor: float, ours: float) -> dict[str, float | str] | None:
    """Return another rule's factor when it differs by more than 1 %."""
    return {"rule": rule, "factor": factor} if abs(factor / ours - 1.0) > WORTH_SAYING else None


def _admin(headers: Sequence[Dataset], per_bq: float, half_life_h: float) -> Factor:
    """Return the factor of ADMIN: nothing decays; the header's decay factor is checked where its times allow."""
    per_unit, reference = np.full(len(headers), per_bq), Timing("administration", 0.0)
    try:
        header = min(headers, key=lambda h: acquired(h, half_life_h))
        start = timing(header, acquired(header, half_life_h), "scan_start", half_life_h)
    except DataError as error:
        return Factor(per_unit, "admin", reference, (f"time of the scan is unknown: {error.what}",))
    duration_s = (number(header, "ActualFrameDuration") or 0.0) / 1000.0
    clash = decay_contradiction(
        "ADMIN", number(header, "DecayFactor"), half_life_h, start.hours, hours_from_seconds(duration_s)
    )
    if clash is None:
        return Factor(per_unit, "admin", reference, start.notes)
    at_start = per_bq / decay_factor(half_life_h, start.hours)
    note = (
        f"WARN {clash}; were the numbers of scan start ({start.hours:.4g} h), SUV is {at_start / per_bq:.4g} times this"
    )
    return Factor(per_unit, "admin", reference, (*start.notes, note), {"rule": "scan_start", "factor": at_start})


def _start(headers: Sequence[Dataset], per_bq: float, half_life_h: float) -> Factor:
    """Return the factor of START, with QIBA's when it differs."""
    moment, rule = start_reference(headers, half_life_h)
    ours = timing(headers[0], moment, rule, half_life_h)
    factor = per_bq / decay_factor(half_life_h, ours.hours)
    notes = (*ours.notes, *unread_private(headers[0], rule))
    found = Factor(np.full(len(headers), factor), f"start_{rule}", ours, notes)
    theirs_h = ours.hours + (qiba_reference(headers, half_life_h) - moment).total_seconds() / SECONDS_PER_HOUR
    if not 0 <= theirs_h <= MOST_HALF_LIVES * half_life_h:
        return replace(found, notes=(*notes, f"WARN QIBA's rule puts the reference {theirs_h:.4g} h from injection"))
    theirs = per_bq / decay_factor(half_life_h, theirs_h)
    other = _other("qiba", theirs, factor)
    note = f"WARN by QIBA's rule ({theirs_h:.4g} h after the injection) SUV is {theirs / factor:.4g} times this"
    return replace(found, notes=(*notes, note), other=other) if other else found


def _bqml(headers: Sequence[Dataset]) -> Factor:
    """Return SUV per Bq/mL; DataError or UnitError names what the header lacks."""
    header, tag = headers[0], str(headers[0].get("DecayCorrection") or "")
    weight_g, info = _weight_g(header), first(header, RADIO)
    if tag not in DECAY_TAGS:
        where, known = Where(field="DecayCorrection"), ", ".join(DECAY_TAGS)
        raise DataError(
            "decay correction is unclear", where=where, got=tag or "nothing", expected=known, code="THR-295"
        )
    half_life_h, name, notes = _half_life(info, radionuclide_of(header))
    mbq, unusual = _injected_mbq(info, name)
    per_bq = weight_g / (mbq * BQ_PER_MBQ)
    if len(header[RADIO].value) > 1:
        notes.append("WARN more than one radiopharmaceutical: the first is used")
    if tag == "NONE":
        hours, reference = each_frame_h(headers, half_life_h)
        per_unit = np.array([per_bq / decay_factor(half_life_h, hour) for hour in hours])
        found = Factor(per_unit, "none", reference, reference.notes)
    else:
        found = (_admin if tag == "ADMIN" else _start)(headers, per_bq, half_life_h)
    if tag != "ADMIN" and vendor(header, SIEMENS):
        notes.append("Siemens may write the time of the dose measurement, 10 s to 10 min before the injection")
    return replace(found, rule=f"bqml_{found.rule}", notes=(*notes, *unusual, *found.notes))


def _philips(headers: Sequence[Dataset], offset: int) -> np.ndarray | None:
    """Return a factor of Philips for every file, None when one is absent, zero or no number."""
    texts = [private_text(header, *PHILIPS_PET, offset) for header in headers]
    try:
        factors = np.array([float(text) for text in texts])
    except ValueError:
        return None
    return factors if bool(np.all(np.isfinite(factors) & (factors > 0))) else None


def _cnts(headers: Sequence[Dataset]) -> Factor:
    """Return SUV per count by Philips' factors; UnitError for other vendors, DataError without factors."""
    if not vendor(headers[0], PHILIPS):
        raise UnitError(
            "counts cannot become SUV", where=Where(field="Units"), got="CNTS", expected="BQML or GML",
            remedy="export the quantitative series", code="THR-292",
        )  # fmt: skip
    direct, to_bqml = _philips(headers, SUV_OFFSET), _philips(headers, BQML_OFFSET)
    if direct is not None and headers[0].get("DecayCorrection") != "NONE":
        _weight_g(headers[0])
        found = Factor(direct, "cnts_suv_factor", None)
        if to_bqml is None:
            return found
        try:
            theirs = float(np.median(to_bqml * _bqml(headers).per_unit))
        except TheradoseError as error:
            return replace(found, notes=(f"(7053,1009) could not be compared: {error.what}",))
        other = _other("cnts_bqml_factor", theirs, float(np.median(direct)))
        note = f"WARN Bq/mL factor (7053,1009) gives SUV {theirs / np.median(direct):.4g} times that of (7053,1000)"
        return replace(found, notes=(note,) if other else (), other=other)
    if to_bqml is None:
        raise DataError(
            "factors of Philips are absent or zero", where=Where(field="(7053,1000), (7053,1009)"),
            expected="above zero; (7053,1009) without decay correction", remedy="export with private elements",
            code="THR-293",
        )  # fmt: skip
    found = _bqml(headers)
    rule, other = found.rule.replace("bqml", "cnts_bqml_factor"), found.other
    if other is not None:
        other = {**other, "factor": float(other["factor"]) * float(np.median(to_bqml))}
    return replace(found, per_unit=found.per_unit * to_bqml, rule=rule, other=other)


def _gml(headers: Sequence[Dataset]) -> Factor:
    """Return 1 for images in g/mL by body weight; UnitError for other types of SUV."""
    kind = str(headers[0].get("SUVType") or "").strip().upper()
    if kind not in ("", "BW"):
        raise UnitError(
            "SUV is not by body weight", where=Where(field="SUVType"), got=kind, expected="BW", code="THR-294",
            remedy="export in Bq/mL or as SUVbw",
        )  # fmt: skip
    notes = () if kind else ("SUVType is absent: GML is taken as SUV by body weight",)
    return Factor(np.ones(len(headers)), "gml", None, notes)


UNITS = {"BQML": _bqml, "CNTS": _cnts, "GML": _gml}


def suv_factor(headers: Sequence[Dataset]) -> Factor:
    """Return SUV per stored unit (after rescale) of each file of one series; DataError or UnitError says why not."""
    unit = str(headers[0].get("Units") or "")
    if unit not in UNITS:
        raise UnitError(
            "unit cannot become SUV", where=Where(field="Units"), got=unit or "nothing", expected=", ".join(UNITS),
            remedy="take the quantitative, attenuation-corrected (AC) series of the study", code="THR-292",
        )  # fmt: skip
    notes = _require_corrected(headers[0])
    found = UNITS[unit](headers)
    return replace(found, notes=(*notes, *found.notes))
