"""The limit by simulation: many therapies of the same patient, everything before therapy held fixed.

What differs between them (drift of receptors, the part of the half-lives that no texture tells) no image of the patient
can show. The spread of dose over them is the floor for any model of images.
"""

import numpy as np
from numpy.typing import NDArray

from theradose.cohort.virtual.kinetics import drift_name
from theradose.cohort.virtual.latents import MANY, MAX_CYCLES, Latents, Value, stream
from theradose.cohort.virtual.organs import ORGAN_TABLE

Array = NDArray[np.float64]


def of_therapy() -> list[tuple[str, str]]:
    """Return (VOI or "", name) of every draw that nothing before therapy depends on."""
    cycles = range(1, MAX_CYCLES + 1)
    names = [(organ, drift_name("drift", cycle)) for organ in ORGAN_TABLE for cycle in cycles]
    names += [("", drift_name("tumour_drift", cycle)) for cycle in cycles]
    return (
        names
        + [(organ, "t_bio") for organ in ORGAN_TABLE]
        + [("", "tumour_t_bio"), ("", "tumour_shrink"), ("", "peptide")]
    )


def another_therapy(latents: Latents, seed: int, number: int) -> Latents:
    """Return the latents of the same patients with therapy `number` drawn anew; patient k the same in any number."""
    names, size = of_therapy(), np.shape(next(iter(latents.draws.values())))
    values = stream(seed, MANY, f"therapy {number}").standard_normal((*size, len(names)))  # a row a patient
    fresh: dict[tuple[str, str], Value] = {key: values[..., i] for i, key in enumerate(names)}
    return Latents({**latents.draws, **fresh})


def within_log_sd(possible: Array) -> float:
    """Return the spread of log dose within patients, the root of the mean variance over therapies (k, n)."""
    return float(np.sqrt(np.log(possible).var(axis=0, ddof=1).mean()))
