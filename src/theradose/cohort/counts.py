"""A SPECT in counts becomes activity: what the camera's sensitivity and dead time make of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from theradose.errors import DataError, Where
from theradose.imaging.activity import AS_DECLARED
from theradose.imaging.suv import NOT_CORRECTED, decay_reference, sidecar_number
from theradose.imaging.volume import Volume
from theradose.physics.calibration import bq_per_ml_from_counts, dead_time_factor
from theradose.physics.units import hours_from_seconds

COUNTS, SENSITIVITY = "counts", "quantify.sensitivity_cps_per_mbq"


@dataclass(frozen=True)
class Camera:
    """How a camera counts: sensitivity in cps/MBq (None when it is not known), dead time in microseconds, its model."""

    cps_per_mbq: float | None = None
    dead_time_us: float = 0.0
    dead_time_model: str = "paralysable"


@dataclass(frozen=True)
class Counted:
    """What dead time was taken from: count rate of the whole camera (cps), where it stood, and true / observed rate."""

    rate_cps: float
    source: str
    dead_time_factor: float


def activity_of_counts(
    image: Volume, sidecar: Mapping[str, Any], camera: Camera, reference: str = AS_DECLARED
) -> tuple[Volume, Counted]:
    """Return an image in counts as its mean activity over the frame, Bq/mL without decay correction, float32.

    The sidecar gives FrameDuration (s) and CountRate (cps of the whole camera over its open windows); without the
    latter the counts of the image speak for it. DataError for a camera without sensitivity (THR-237), or when the
    counts are said to be decay-corrected (THR-207).
    """
    image.require_unit(COUNTS, "SPECT")
    silent = {"DecayReference": NOT_CORRECTED, **sidecar}
    stated = decay_reference(silent) if reference == AS_DECLARED else reference
    if stated != NOT_CORRECTED:
        raise DataError(
            "counts are said to be decay-corrected", where=Where(field="DecayReference"), got=stated,
            expected=NOT_CORRECTED, remedy="take the counts as measured", code="THR-207",
        )  # fmt: skip
    if camera.cps_per_mbq is None:
        raise DataError(
            "counts need the sensitivity of the camera", where=Where(field=SENSITIVITY),
            expected="cps/MBq", remedy="measure it with a phantom and set it in the study's settings", code="THR-237",
        )  # fmt: skip
    seconds = sidecar_number(sidecar, "FrameDuration")
    stands = "CountRate" in sidecar
    own_cps = float(image.values.sum(dtype=np.float64)) / seconds if seconds > 0 else 0.0
    rate_cps = sidecar_number(sidecar, "CountRate") if stands else own_cps
    source = "CountRate of the sidecar" if stands else "counts of the image alone: other windows and losses are not in"
    factor = dead_time_factor(rate_cps, camera.dead_time_us, camera.dead_time_model)
    values = bq_per_ml_from_counts(
        image.values, duration_h=hours_from_seconds(seconds), voxel_ml=image.grid.voxel_ml,
        cps_per_mbq=camera.cps_per_mbq, dead_time=factor,
    )  # fmt: skip
    return image.with_values(values.astype(np.float32), "Bq/mL"), Counted(rate_cps, source, factor)
