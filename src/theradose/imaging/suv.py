"""Standardised uptake values: concentration per injected activity and body weight, at one and the same time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from theradose.errors import DataError, UnitError, Where
from theradose.imaging.plausible import require_injected, tracer_of
from theradose.imaging.volume import Volume
from theradose.physics.decay import decay_factor, factor_to_scan_start
from theradose.physics.nuclides import nuclide
from theradose.physics.units import hours_from_seconds, mbq_from
from theradose.vocabulary import QUANTITIES

SUV_UNIT = "g/mL"
NOT_CORRECTED = "none"


def sidecar_number(sidecar: Mapping[str, Any], field: str) -> float:
    """Return a number of a sidecar, the first of a list; DataError when it is missing or no finite number."""
    value = sidecar.get(field)
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, bool) or not isinstance(first, int | float) or not np.isfinite(first):
        raise DataError(
            "sidecar lacks a number", where=Where(field=field), got=value, expected="a number", code="THR-206"
        )
    return float(first)


def injected_mbq(sidecar: Mapping[str, Any]) -> float:
    """Return the injected activity (MBq) that a sidecar states; UnitError when it cannot be right."""
    unit = str(sidecar.get("InjectedRadioactivityUnits"))
    where = Where(field="InjectedRadioactivity")
    try:
        activity = mbq_from(sidecar_number(sidecar, "InjectedRadioactivity"), unit)
    except KeyError as error:
        field = Where(field="InjectedRadioactivityUnits")
        raise UnitError("unit of activity is unknown", where=field, got=unit, expected="Bq, kBq, MBq or GBq") from error
    return require_injected(activity, tracer_of(sidecar), where)


def decay_reference(sidecar: Mapping[str, Any]) -> str:
    """Return which time the numbers of an image refer to; DataError when the sidecar contradicts itself."""
    reference = sidecar.get("DecayReference")
    corrected = sidecar.get("ImageDecayCorrected")
    if reference is None or (corrected is not None and bool(corrected) == (reference == NOT_CORRECTED)):
        raise DataError(
            "decay correction of the image is unclear",
            where=Where(field="DecayReference"),
            got=f"DecayReference {reference}, ImageDecayCorrected {corrected}",
            expected="administration or scan_start with true, none with false",
            code="THR-207",
        )
    return str(reference)


def expected_activity_mbq(sidecar: Mapping[str, Any], administered_mbq: float) -> float:
    """Return the activity (MBq) that would show if all that was administered stayed in the field of view.

    In the image's own reading: decay-corrected to the administration, at the start of the scan, or mean of the frame.
    """
    half_life_h = nuclide(str(tracer_of(sidecar))).half_life_h
    start_h = hours_from_seconds(sidecar_number(sidecar, "FrameTimesStart"))
    reference = decay_reference(sidecar)
    duration_h = None
    if reference == NOT_CORRECTED:
        duration_h = hours_from_seconds(sidecar_number(sidecar, "FrameDuration"))
    image_to_start = factor_to_scan_start(reference, half_life_h, start_h, duration_h)
    return administered_mbq * decay_factor(half_life_h, start_h) / image_to_start


def require_weight(weight_kg: float, where: Where, remedy: str) -> float:
    """Return a body weight (kg); UnitError when it is missing (0, NaN) or nobody has it."""
    low, high = QUANTITIES["weight_kg"].low or 0.0, QUANTITIES["weight_kg"].high or np.inf
    if low <= weight_kg <= high:
        return weight_kg
    raise UnitError(
        "body weight is missing or cannot be right",
        where=where,
        got=f"{weight_kg:g}",
        expected=f"{low:g} to {high:g} kg",
        remedy=f"looks like g; {remedy}" if low <= weight_kg / 1000.0 <= high else remedy,
        code="THR-211",
    )


def to_suv(pet: Volume, sidecar: Mapping[str, Any], weight_kg: float) -> Volume:
    """Return a PET (Bq/mL) as SUV by body weight, unit g/mL, float32; an image in g/mL is returned as it is.

    SUV = C [Bq/mL] W [g] / A [Bq], with C and A at the same time: with DecayReference `administration` A is the
    injected activity A0; with `scan_start` A0 exp(-lambda t); with `none` the mean of A0 exp(-lambda t) over the
    frame, which needs FrameDuration. UnitError or DataError when weight, activity or decay reference cannot be right.
    """
    if pet.unit == SUV_UNIT:
        return pet
    pet.require_unit("Bq/mL", "PET")
    require_weight(weight_kg, Where(field="weight_kg"), "correct weight_kg in participants.tsv")
    reference_mbq = expected_activity_mbq(sidecar, injected_mbq(sidecar))
    per_unit = weight_kg * 1e3 / (reference_mbq * 1e6)
    return pet.with_values((pet.values * per_unit).astype(np.float32), SUV_UNIT)
