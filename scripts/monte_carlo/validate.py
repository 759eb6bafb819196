"""Compare theradose's kernels, spheres and engine `kernel` with direct Monte Carlo; print tables and a verdict each.

Independent of the kernel table: here particles start all over voxels, spheres and organs, and energy is scored there.
"""

import argparse
import math

import numpy as np
from theradose_montecarlo.engine import monte_carlo
from theradose_montecarlo.spectra import emissions
from theradose_montecarlo.transport import CUT_MEV, ELECTRON, PHOTON, Phantom, deposited_mev

from theradose.physics.engines import dose_engine
from theradose.physics.kernels import sphere_parts_mev
from theradose.physics.nuclides import nuclide
from theradose.physics.units import sphere_radius_mm
from theradose.physics.voxel_s import octants_mev

TISSUE = 1.04
Spacing = tuple[float, float, float]
FINE_MM = {"Lu-177": 0.3, "Y-90": 0.6, "I-131": 0.3}  # cells of the transport near the source
CELLS = {"Lu-177": (50, 100), "Y-90": (20, 40), "I-131": (30, 60)}  # voxels across a sphere, coarse and fine


def cut_edges(step: float, fine_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return edges of 13 voxels about zero, the middle three cut into cells near `fine_mm`, and each cell's voxel."""
    cuts = max(1, round(step / fine_mm))
    inner = (np.arange(3 * cuts + 1) / cuts - 1.5) * step
    outer = step * np.arange(2.5, 7.0)
    edges = np.concatenate([-outer[::-1], inner, outer])
    return edges, np.rint((edges[1:] + edges[:-1]) / 2 / step).astype(int)


def voxels(name: str, spacing: Spacing, n: int) -> list[tuple[str, float, float, float]]:
    """Return (offset, kernel, Monte Carlo, its standard error) of energy per decay in MeV near the source voxel.

    Particles start all over the source voxel. The voxels are cut for the transport, whose steps end at boundaries: in
    whole voxels of millimetres ompMC leaves up to 4 % less of Lu-177's electrons' energy outside, and of Y-90's 10 %.
    """
    emitted, repeats = emissions(name), 4
    cuts = [cut_edges(step, FINE_MM[name]) for step in spacing]
    phantom = Phantom(tuple(edges for edges, _ in cuts), np.full([cells.size for _, cells in cuts], TISSUE))  # type: ignore[arg-type]
    runs = [np.zeros((2, 2, 2)) for _ in range(repeats)]
    for seed, run in enumerate(runs):
        generator = np.random.default_rng([7, seed])
        run[0, 0, 0] += emitted.alpha_mev
        for kind, lines in ((ELECTRON, emitted.electrons), (PHOTON, emitted.photons)):
            low, high = lines.split(CUT_MEV)
            run[0, 0, 0] += low.total_mev
            if high.energy_mev.size:
                m = n // repeats
                places = generator.uniform(-0.5, 0.5, (m, 3)) * spacing
                energy, _ = deposited_mev(phantom, kind, high.draw(m, generator), places, generator)
                run += mirrored(energy, [cells for _, cells in cuts]) * high.per_decay.sum()
    electron, photon = octants_mev(name, spacing, TISSUE, (4, 4, 4))
    mine = photon.copy()
    mine[tuple(slice(k) for k in electron.shape)] += electron
    rows = []
    for place in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1)):
        values = [run[place] for run in runs]
        error = float(np.std(values, ddof=1)) / math.sqrt(repeats)
        rows.append((",".join(map(str, place)), float(mine[place]), float(np.mean(values)), error))
    return rows


def mirrored(energy: np.ndarray, cells: list[np.ndarray]) -> np.ndarray:
    """Return the energy of the voxels at offsets 0 and 1, the mean over mirror images, (2, 2, 2)."""
    found = np.zeros((2, 2, 2))
    for place in np.ndindex(2, 2, 2):
        parts = [np.abs(cell) == offset for cell, offset in zip(cells, place, strict=True)]
        found[place] = energy[np.ix_(*parts)].sum() / 2 ** sum(place)
    return found


def spheres(name: str, masses_g: tuple[float, ...], n: int) -> list[tuple[float, float, float, float]]:
    """Return (mass, kernel, Monte Carlo, standard error) of the energy per decay that a sphere keeps, MeV.

    Voxels at the surface count by the part of them that is inside, which loses energy in proportion to their width:
    two grids are extrapolated to none.
    """
    rows = []
    for mass in masses_g:
        radius = float(sphere_radius_mm(mass, TISSUE))
        grids = [np.array([kept_mev(name, radius, cells, n, seed) for seed in range(4)]) for cells in CELLS[name]]
        coarse, fine = grids
        kept = 2 * fine - coarse
        mine = sum(float(part) for part in sphere_parts_mev(name, mass, TISSUE))
        rows.append((mass, mine, float(kept.mean()), float(kept.std(ddof=1)) / 2))
    return rows


def kept_mev(name: str, radius: float, cells: int, n: int, seed: int) -> float:
    """Return the energy per decay in MeV scored in a sphere cut into `cells` voxels across, n/4 histories a kind."""
    emitted, generator = emissions(name), np.random.default_rng([11, seed])
    inner = np.linspace(-radius * 1.02, radius * 1.02, cells + 1)
    far = radius * 1.02 + np.array([5.0, 20.0, 80.0, 200.0, 400.0])
    edges = np.concatenate([-far[::-1], inner, far])
    inside = part_inside(edges, radius)
    phantom = Phantom((edges,) * 3, np.full((edges.size - 1,) * 3, TISSUE))
    total = emitted.alpha_mev
    for kind, lines in ((ELECTRON, emitted.electrons), (PHOTON, emitted.photons)):
        low, high = lines.split(CUT_MEV)
        total += low.total_mev
        if high.energy_mev.size:
            m = n // 4
            towards = generator.normal(size=(m, 3))
            towards /= np.linalg.norm(towards, axis=1, keepdims=True)
            places = towards * (radius * np.cbrt(generator.random((m, 1))))
            energy, _ = deposited_mev(phantom, kind, high.draw(m, generator), places, generator)
            total += float((energy * inside).sum()) * high.per_decay.sum()
    return total


def part_inside(edges: np.ndarray, radius: float, sub: int = 4) -> np.ndarray:
    """Return the part of every voxel that lies in a sphere about the origin."""
    fine = [edges[:-1] + np.diff(edges) * (k + 0.5) / sub for k in range(sub)]
    total = np.zeros((edges.size - 1,) * 3)
    for x in fine:
        for y in fine:
            for z in fine:
                total += np.add.outer(np.add.outer(x**2, y**2), z**2) <= radius**2
    return total / sub**3


def organs(spacing: float) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Return labels, density (g/mL) and names of a heterogeneous trunk: soft tissue, organs, spine, lungs, lesions."""
    shape = tuple(int(mm / spacing) for mm in (320, 240, 360))
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * spacing for n in shape], indexing="ij")
    names = {"remainder": 1, "lung": 2, "spine": 3, "kidney": 4, "liver": 5, "lesion in liver": 6, "bone lesion": 7,
             "lesion in lung": 8}  # fmt: skip

    def ball(at: Spacing, radii: Spacing) -> np.ndarray:
        return sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), at, radii, strict=True)) <= 1

    labels = np.where((y / 110) ** 2 + (x / 165) ** 2 <= 1, 1, 0)
    for name, mask in (
        ("lung", ball((110, 0, -80), (90, 70, 55)) | ball((110, 0, 80), (90, 70, 55))),
        ("spine", ((y - 60) / 18) ** 2 + (x / 20) ** 2 <= 1),
        ("kidney", ball((-70, 40, -75), (55, 28, 30)) | ball((-70, 40, 75), (55, 28, 30))),
        ("liver", ball((-20, -20, -70), (70, 65, 70)) & ~ball((-70, 40, -75), (60, 33, 35))),
        ("lesion in liver", ball((-20, -30, -70), (16, 16, 16))),
        ("bone lesion", ball((-40, 60, 0), (14, 14, 14))),
        ("lesion in lung", ball((110, 0, 80), (12, 12, 12))),
    ):
        labels = np.where(mask & (labels > 0), names[name], labels)
    density = np.where(labels == 0, 0.0012, TISSUE)
    for name, rho in (("lung", 0.26), ("spine", 1.4), ("bone lesion", 1.4)):
        density[labels == names[name]] = rho
    return labels, density, names


# Concentrations relative to the remainder of the body, as 177Lu-PSMA leaves them.
UPTAKE = {"remainder": 1, "lung": 0.5, "spine": 2, "kidney": 60, "liver": 12, "lesion in liver": 80, "bone lesion": 80,
          "lesion in lung": 80}  # fmt: skip


# What of the trunk becomes soft tissue, step by step; where the air outside does, tissue goes on around for MARGIN_MM.
TRUNKS: dict[str, tuple[str, ...]] = {
    "heterogeneous trunk": (),
    "same trunk in endless soft tissue": ("outside",),
    "same trunk in endless soft tissue, lungs too": ("outside", "lung"),
    "same trunk in endless soft tissue, lungs and bone too": ("outside", "lung", "spine", "bone lesion"),
}
MARGIN_MM = 200.0


def trunk(
    name: str, n: int, as_tissue: tuple[str, ...] = (), spacing: float = 4.0
) -> list[tuple[str, float, float, float, float]]:
    """Return (organ, Monte Carlo in Gy, deviations in % of kernel, of local, Monte Carlo's standard error in %)."""
    labels, density, names = organs(spacing)
    size, margin = (spacing,) * 3, round(MARGIN_MM / spacing) if "outside" in as_tissue else 0
    density[np.isin(labels, [{"outside": 0, **names}[part] for part in as_tissue])] = TISSUE
    tia = np.zeros(labels.shape)
    for organ, label in names.items():
        tia[labels == label] = UPTAKE[organ] * 1e-3
    one, body = nuclide(name), tuple(slice(margin, margin + k) for k in labels.shape)
    wide = np.pad(tia, margin), np.pad(density, margin, constant_values=TISSUE)
    runs = [monte_carlo(*wide, size, one, histories=n // 4, seed=seed)[body] for seed in range(4)]
    found = {engine: dose_engine(engine).dose_gy(tia, density, size, one) for engine in ("kernel", "local")}
    rows = []
    for organ, label in names.items():
        inside = labels == label
        means = np.array([run[inside].mean() for run in runs])
        reference = float(means.mean())
        off = [100 * (float(found[engine][inside].mean()) / reference - 1) for engine in ("kernel", "local")]
        rows.append((organ, reference, off[0], off[1], 100 * float(means.std(ddof=1)) / 2 / reference))
    return rows


def main() -> None:
    """Print the comparisons that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=["voxels", "spheres", "organs", "endless"])
    parser.add_argument("--histories", type=int, default=2_000_000)
    parser.add_argument("--nuclides", nargs="*", default=["Lu-177", "Y-90", "I-131"])
    chosen = parser.parse_args()
    for name in chosen.nuclides:
        if "voxels" in chosen.only:
            for spacing in ((4.8, 4.8, 4.8), (2.0, 2.0, 2.0), (10.0, 10.0, 10.0), (8.0, 4.0, 2.0)):
                print(f"\n{name}, voxels of {spacing} mm (z, y, x), energy per decay in MeV")
                for place, mine, theirs, error in voxels(name, spacing, chosen.histories):
                    off = f"{100 * (mine / theirs - 1):+6.2f} %, error {100 * error / theirs:.2f} %"
                    print(f"  {place}  kernel {mine:.5g}  Monte Carlo {theirs:.5g}  {off}", flush=True)
        if "spheres" in chosen.only:
            print(f"\n{name}, spheres, energy kept per decay in MeV")
            for mass, mine, theirs, error in spheres(name, (0.1, 1.0, 10.0, 100.0, 300.0), chosen.histories):
                off = f"{100 * (mine / theirs - 1):+6.2f} %, error {100 * error / theirs:.2f} %"
                print(f"  {mass:g} g  kernel {mine:.5g}  Monte Carlo {theirs:.5g}  {off}", flush=True)
        for title, as_tissue in TRUNKS.items():
            if ("endless" if as_tissue else "organs") not in chosen.only:
                continue
            print(f"\n{name}, {title}, mean dose; deviation from Monte Carlo")
            for organ, reference, kernel, local, error in trunk(name, chosen.histories, as_tissue):
                print(f"  {organ:<16} {reference:.4g} Gy  kernel {kernel:+6.2f} %  local {local:+6.2f} %  "
                      f"error {error:.2f} %", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
