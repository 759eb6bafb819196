"""How a sphere's kept energy by Monte Carlo depends on the cells of the transport: kernel over Monte Carlo, electrons.

Sources lie in the true sphere. Cells at its surface count by their part inside, for Monte Carlo and the kernel alike.
"""

import argparse
import math

import numpy as np
from theradose_montecarlo.spectra import emissions
from theradose_montecarlo.transport import CUT_MEV, ELECTRON, Phantom, deposited_mev
from validate import TISSUE, part_inside

from theradose.physics.kernels import point_kernel
from theradose.physics.units import sphere_radius_mm

FINE_MM, FAR_MM = 6.0, (5.0, 20.0, 80.0, 200.0)  # cells as fine as in the sphere around it, then coarse ones
PAIRS = 4_000_000


def towards(n: int, generator: np.random.Generator) -> np.ndarray:
    """Draw n directions, (n, 3)."""
    found = generator.normal(size=(n, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def kernel_mev(
    name: str, radius: float, edges: np.ndarray, inside: np.ndarray, generator: np.random.Generator
) -> float:
    """Return what the kernel's electrons leave per decay in cells weighted by `inside`, MeV."""
    kernel = point_kernel(name)
    energy = kernel.electron_mev
    share = (np.arange(PAIRS) + generator.random(PAIRS)) / PAIRS * energy.sum()
    shell = np.searchsorted(np.cumsum(energy), share).clip(max=energy.size - 1)
    source = towards(PAIRS, generator) * (radius * np.cbrt(generator.random((PAIRS, 1))))
    place = source + towards(PAIRS, generator) * (kernel.middle_mm[shell] / TISSUE)[:, None]
    return float(energy.sum() * inside[tuple((np.searchsorted(edges, place) - 1).T)].mean())


def main() -> None:
    """Print the deviation for each number of cells across the sphere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nuclide", default="Y-90")
    parser.add_argument("--mass-g", type=float, default=0.1)
    parser.add_argument("--cells", nargs="*", type=int, default=[12, 20, 40])
    parser.add_argument("--histories", type=int, default=300_000)
    chosen = parser.parse_args()
    radius = float(sphere_radius_mm(chosen.mass_g, TISSUE))
    low, high = emissions(chosen.nuclide).electrons.split(CUT_MEV)
    for cells in chosen.cells:
        step = 2.04 * radius / cells
        around = math.ceil(FINE_MM / step)
        fine = (np.arange(cells + 2 * around + 1) - (cells / 2 + around)) * step
        far = fine[-1] + np.array(FAR_MM)
        edges = np.concatenate([-far[::-1], fine, far])
        inside = part_inside(edges, radius)
        phantom = Phantom((edges,) * 3, np.full(inside.shape, TISSUE))
        runs, n = [], chosen.histories // 4
        for seed in range(4):
            generator = np.random.default_rng([13, seed])
            places = towards(n, generator) * (radius * np.cbrt(generator.random((n, 1))))
            energy, _ = deposited_mev(phantom, ELECTRON, high.draw(n, generator), places, generator)
            runs.append(low.total_mev + float((energy * inside).sum()) * high.per_decay.sum())
        mean, error = float(np.mean(runs)), float(np.std(runs, ddof=1)) / 2
        mine = kernel_mev(chosen.nuclide, radius, edges, inside, np.random.default_rng(5))
        print(f"cells of {step:.3f} mm: kernel {mine:.5g} Monte Carlo {mean:.5g} MeV {100 * (mine / mean - 1):+.2f} %, "
              f"error {100 * error / mean:.2f} %", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
