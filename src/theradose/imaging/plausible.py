"""Numbers that cannot be true because someone lost a unit: activity in a syringe, activity in a field of view."""

import math
from collections.abc import Mapping
from typing import Any

from theradose.errors import DataError, UnitError, Where
from theradose.physics.decay import decay_factor, frame_average_factor

# MBq that are given to people in clinical use; other radionuclides get the widest of these.
INJECTED_MBQ = {"Lu-177": (1000.0, 12000.0), "Ga-68": (20.0, 400.0), "F-18": (50.0, 800.0)}
ANY_INJECTED_MBQ = (1.0, 20000.0)
SAME_FACTOR = 3e-3
# Part of the decayed injected activity that a field of view can hold. A patient without much tumour keeps 0.3 to 0.5 %
# at 168 h; a unit lost by a factor 1000 turns even all of it into 0.1 %.
LOWEST_PART, HIGHEST_PART = 0.0011, 1.05
# Below this a unit error is no likelier than another fault: nothing is guessed.
USUAL_PART = 0.005
# What people put in by mistake: kBq for Bq, MBq for Bq, or the reverse.
FACTORS = {1e3: "a factor 1000 (kBq/mL or MBq?)", 1e6: "a factor 1e6 (MBq/mL or Bq?)"}

# Units people mistake for those of the house, by the factor to the right one.
OTHER_UNITS = {
    "administered_mbq": {"Bq": 1e-6, "kBq": 1e-3, "GBq": 1e3, "MBq in a field of Bq": 1e6},
    "weight_kg": {"g": 1e-3, "lb": 0.45359237},
    "height_cm": {"cm in a field of m": 1e-2, "m": 1e2},
}


def looks_like(quantity: str, value: float, low: float, high: float) -> str:
    """Return `the value looks like g; ` for a quantity in a unit that would put it between low and high, else nothing.

    `quantity` is the name of a clinical column; nothing is converted.

    >>> looks_like("administered_mbq", 7.4e9, 1000.0, 12000.0)
    'the value looks like Bq; '
    """
    meant = [unit for unit, factor in OTHER_UNITS.get(quantity, {}).items() if low <= value * factor <= high]
    return f"the value looks like {meant[0]}; " if meant else ""


def tracer_of(sidecar: Mapping[str, Any]) -> str | None:
    """Return the radionuclide of a sidecar, also of a list of one; None when none is stated, DataError for others."""
    stated = sidecar.get("TracerRadionuclide")
    one = stated[0] if isinstance(stated, list) and len(stated) == 1 else stated
    if one is None or isinstance(one, str):
        return one
    raise DataError(
        "radionuclide of the sidecar is no single name", where=Where(field="TracerRadionuclide"), code="THR-341",
        got=f"{len(stated)} values" if isinstance(stated, list) else type(stated).__name__, expected="Lu-177, one text",
        remedy="write one radionuclide",
    )  # fmt: skip


def likely_factor(ratio: float) -> str:
    """Return a phrase that names the unit error which would explain a ratio to what was expected, or advice.

    >>> likely_factor(0.4e-3)
    'looks like a factor 1000 (kBq/mL or MBq?)'
    """
    for factor, words in FACTORS.items():
        for corrected in (ratio * factor, ratio / factor):
            if USUAL_PART <= corrected <= HIGHEST_PART:
                return f"looks like {words}"
    return "check calibration, unit and injected activity"


def can_be_injected(injected_mbq: float, radionuclide: str | None) -> bool:
    """Tell whether people get that much (MBq) of a radionuclide."""
    low, high = INJECTED_MBQ.get(str(radionuclide or ""), ANY_INJECTED_MBQ)
    return low <= injected_mbq <= high


def require_injected(injected_mbq: float, radionuclide: str | None, where: Where | None = None) -> float:
    """Return an injected activity (MBq); UnitError when nobody gets that much of this radionuclide."""
    if can_be_injected(injected_mbq, radionuclide):
        return injected_mbq
    low, high = INJECTED_MBQ.get(str(radionuclide or ""), ANY_INJECTED_MBQ)
    raise UnitError(
        "injected activity cannot be right",
        where=where,
        got=f"{injected_mbq:g} MBq",
        expected=f"{low:g} to {high:g} MBq of {radionuclide or 'any radionuclide'}",
        remedy=f"{looks_like('administered_mbq', injected_mbq, low, high)}correct the header or the sidecar",
        code="THR-212",
    )


def require_total(total_mbq: float, expected_mbq: float, where: Where | None = None) -> float:
    """Return total / expected activity; UnitError unless the field of view holds 0.11 to 105 % of what was injected."""
    ratio = total_mbq / expected_mbq if expected_mbq > 0 else math.inf  # a wrong time leaves nothing
    if LOWEST_PART <= ratio <= HIGHEST_PART:
        return ratio
    raise UnitError(
        "activity in the field of view cannot be right",
        where=where,
        got=f"{total_mbq:.4g} MBq, {100 * ratio:.3g} % of {expected_mbq:.4g} MBq",
        expected=f"{100 * LOWEST_PART:g} to {100 * HIGHEST_PART:g} %",
        remedy=likely_factor(ratio),
        code="THR-213",
    )


def decay_contradiction(
    tag: str | None, factor: float | None, half_life_h: float, start_h: float, duration_h: float | None = None
) -> str | None:
    """Return what is wrong when a header's decay factor (0054,1321) is not that of its tag (0054,1102), else None.

    The factor takes a frame to the reference time: exp(lambda t) for ADMIN, or that over the frame's average when
    vendors count from the mean activity of the frame (`duration_h`). Other tags allow any (START: of a bed).

    >>> decay_contradiction("ADMIN", 1.0, 159.528, 27.73)
    'tag ADMIN asks for a decay factor of 1.1280, the header says 1'
    >>> decay_contradiction("ADMIN", 1.694, 1.1285, 0.8331, 0.05)  # Ga-68 after 50 min, a frame of 180 s
    """
    if tag != "ADMIN" or factor is None:
        return None
    expected = 1.0 / decay_factor(half_life_h, start_h)
    average = frame_average_factor(half_life_h, duration_h or 0.0)
    # Frame times and half-lives differ by parts of a per mille between vendors.
    if any(abs(factor / right - 1.0) <= SAME_FACTOR for right in (expected, expected / average)):
        return None
    return f"tag ADMIN asks for a decay factor of {expected:.4f}, the header says {factor:g}"
