"""Tumour control: Poisson TCP voxel by voxel, and sub-volumes (habitats) that each have their own radiobiology."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from theradose.errors import DataError, Where
from theradose.physics.limits import EXTERNAL_BEAM_WARNING, constant
from theradose.physics.radiobiology import bed_over_cycles_gy, g_factor_single, require
from theradose.vocabulary import LESIONS

Array = NDArray[np.float64]
Z = np.linspace(-5.0, 5.0, 201)  # alpha of patients in standard deviations; even steps follow the steep control curve


def poisson_tcp(bed_gy: ArrayLike, clonogens: ArrayLike, alpha_per_gy: float, alpha_std_per_gy: float = 0.0) -> float:
    """Return the probability that no clonogenic cell survives, TCP = exp(-sum_v N_v exp(-alpha BED_v)).

    `bed_gy` per voxel in Gy, any shape; `clonogens` cells per voxel (density times voxel volume), broadcast with it;
    `alpha_per_gy` in 1/Gy. With `alpha_std_per_gy` TCP is the mean over patients whose alpha is normal about it, cut at
    zero. Webb and Nahum, Phys Med Biol 1993;38:653-666. DataError for impossible numbers.

    >>> round(poisson_tcp([60.0, 60.0], 1e7, 0.30), 3), round(poisson_tcp([60.0, 0.0], 1e7, 0.30), 3)   # one cold voxel
    (0.737, 0.0)
    >>> round(poisson_tcp([60.0, 60.0], 1e7, 0.30, 0.08), 3)
    0.55
    """
    bed, cells = np.asarray(bed_gy, float), np.asarray(clonogens, float)
    require(alpha_per_gy > 0 and alpha_std_per_gy >= 0, "alpha_per_gy", alpha_per_gy, "above zero, 1/Gy")
    require(bool((bed >= 0).all() and (cells >= 0).all()), "bed_gy, clonogens", bed, "not negative")
    z = Z if alpha_std_per_gy else np.zeros(1)
    alphas = np.maximum(alpha_per_gy + alpha_std_per_gy * z, 0.0)
    each = [np.exp(-np.sum(cells * np.exp(-alpha * bed))) for alpha in alphas]
    return float(np.average(each, weights=np.exp(-0.5 * z**2)))


def external_beam_tcp(bed_gy: float, volume_ml: float) -> tuple[float, str]:
    """Return the TCP of lesions of `volume_ml` at a uniform BED (Gy), by external-beam parameters, with their warning.

    NaN and an empty text when the BED is not known.

    >>> round(external_beam_tcp(80.0, 10.0)[0], 3)
    0.916
    """
    if not np.isfinite(bed_gy):
        return float("nan"), ""
    names = ("clonogens_per_ml", "alpha_per_gy", "alpha_std_per_gy")
    cells, alpha, spread = (constant(LESIONS, name, "external_beam") for name in names)
    tcp = poisson_tcp(bed_gy, cells.value * volume_ml, alpha.value, spread.value)
    return tcp, f"{EXTERNAL_BEAM_WARNING}; {alpha.validity}; {alpha.source}"


@dataclass(frozen=True)
class Habitat:
    """The radiobiology of a sub-volume: radiosensitivity, fractionation and repair, clonogenic cells per mL."""

    alpha_per_gy: float
    alpha_beta_gy: float
    t_repair_h: float
    clonogens_per_ml: float


@dataclass(frozen=True)
class HabitatResponse:
    """What a sub-volume gets: mean dose, mean BED, equivalent uniform BED (Gy), and its own control probability."""

    volume_ml: float
    dose_gy: float
    bed_gy: float
    eubed_gy: float
    tcp: float


def equivalent_uniform_bed_gy(bed_gy: ArrayLike, alpha_per_gy: float) -> float:
    """Return the uniform BED in Gy that as many cells survive: EUBED = -ln(mean exp(-alpha BED)) / alpha.

    It lies between the least and the mean BED, near the least when alpha is large. Jones and Hoban, Phys Med Biol
    2000;45:159-170.

    >>> round(equivalent_uniform_bed_gy([60.0, 20.0], 0.30), 2)
    22.31
    """
    bed = np.asarray(bed_gy, float).ravel()
    require(bed.size > 0 and alpha_per_gy > 0, "bed_gy, alpha_per_gy", (bed.size, alpha_per_gy), "voxels, above zero")
    return float((np.log(bed.size) - logsumexp(-alpha_per_gy * bed)) / alpha_per_gy)


def habitat_responses(
    dose_gy: ArrayLike, labels: ArrayLike, habitats: Mapping[int, Habitat], *, t_eff_h: float, voxel_ml: float
) -> dict[int, HabitatResponse]:
    """Return the response of every sub-volume of a lesion, each with its own alpha, alpha/beta and repair.

    BED per voxel and cycle with the habitat's own G; TCP as `poisson_tcp` over its voxels, so that the lesion's TCP is
    the product. `dose_gy` (cycles, z, y, x) in Gy, `labels` (z, y, x) whole numbers; `t_eff_h` in h, `voxel_ml` in mL.
    DataError when a habitat has no voxel or the shapes differ.

    >>> steady, hypoxic = Habitat(0.30, 10.0, 1.5, 1e7), Habitat(0.15, 10.0, 1.5, 1e7)
    >>> dose, labels = np.full((4, 1, 1, 2), 15.0), np.array([[[1, 2]]])
    >>> parts = habitat_responses(dose, labels, {1: steady, 2: hypoxic}, t_eff_h=60.0, voxel_ml=1.0)
    >>> [round(parts[label].tcp, 3) for label in (1, 2)]
    [0.924, 0.0]
    """
    dose, label = np.asarray(dose_gy, float), np.asarray(labels)
    require(dose.shape[1:] == label.shape, "dose_gy", dose.shape, f"cycles and {label.shape}")
    responses = {}
    for number, habitat in habitats.items():
        part = dose[:, label == number]
        if part.shape[1] == 0:
            raise DataError("the habitat has no voxel", where=Where(field="labels"), got=f"no label {number}")
        g = g_factor_single(t_eff_h, habitat.t_repair_h)
        bed = bed_over_cycles_gy(part, g, habitat.alpha_beta_gy)
        responses[number] = HabitatResponse(
            volume_ml=part.shape[1] * voxel_ml,
            dose_gy=float(part.sum(axis=0).mean()),
            bed_gy=float(bed.mean()),
            eubed_gy=equivalent_uniform_bed_gy(bed, habitat.alpha_per_gy),
            tcp=poisson_tcp(bed, habitat.clonogens_per_ml * voxel_ml, habitat.alpha_per_gy),
        )
    return responses
