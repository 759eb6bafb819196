"""The figures that the dose engine stands on, each beside its bar, and what shortcuts cost: `make benchmark-dose`.

tests/physics/test_dose_benchmark.py runs the same functions, 128^3 voxels among the slow. `--quick` takes seconds.
"""

import argparse
import math
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from scipy.signal import fftconvolve
from trunk import organ_means, tia_mbq_h, trunk

from theradose.physics.convolve import convolve_symmetric, rows_per_block
from theradose.physics.engines import SOFT_TISSUE_G_PER_ML, dose_engine, local_self_s
from theradose.physics.kernels import sphere_s_gy_per_mbq_h
from theradose.physics.nuclides import nuclide
from theradose.physics.trapezoid import trapezoid_tia
from theradose.physics.units import MM3_PER_ML, gy_g_per_mbq_h, kev_from_mev
from theradose.physics.voxel_s import octants_mev

SEED = 20261126
NUCLIDES = ("Lu-177", "Y-90", "I-131")
SIDE, SPACING_MM = 128, 4.0
BAR_S, BAR_EQUAL = 5.0, 1e-10
CROP_MM = 25.0
# Voxels of this image take the kernel that was tabulated for others; 4.42 and 4.8 mm are usual matrices of SPECT.
NEAREST_MM, TABULATED_MM = 4.8, (4.0, 4.42)
TABULATED_G = np.array([1.0, 10.0, 100.0, 1000.0])
LUTETIUM_H = 159.528
# A kidney after Lu-177-PSMA or -DOTATATE: effective half-life, and the time of the last of the scans.
T_EFF_H, SCANS_H = (32.0, 40.0, 50.0), ((4.0, 24.0, 72.0), (4.0, 24.0, 96.0), (4.0, 24.0, 72.0, 168.0))
# The design's numbers in per cent, against Monte Carlo in another phantom.
DESIGN = {
    "Lu-177": "cropped -3 to -12, local in kidneys -0.7",
    "Y-90": "local in a lesion of 2 mL +41",
    "I-131": "cropped -18 to -50, local in the liver -24",
}
SMALL_LESION_ML = 2.0


def cube(side: int) -> np.ndarray:
    """Return an image of side^3 voxels, MBq.h."""
    return np.random.default_rng(SEED).random((side,) * 3)


def cpu_s(work: Callable[[], object]) -> tuple[float, object]:
    """Return the CPU seconds of the process that some work takes, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def mirrored(octant: np.ndarray) -> np.ndarray:
    """Return the whole kernel of an octant, offsets -(n - 1) to n - 1."""
    return octant[np.ix_(*(np.abs(np.arange(1 - n, n)) for n in octant.shape))]


def direct(image: np.ndarray, octant: np.ndarray, at: tuple[int, ...]) -> float:
    """Return sum_j image(j) octant(|at - j|), written out over the whole image."""
    offsets = (np.abs(np.arange(n) - i) for n, i in zip(image.shape, at, strict=True))
    return float(np.sum(image * octant[np.ix_(*offsets)]))


def speed(side: int, sample: int = 10) -> dict[str, float]:
    """Return CPU seconds of the engine, its kernel, and of other convolutions with the same photon kernel.

    The direct sum is timed on `sample` voxels of the result and scaled to all of them; `direct_off` is the largest
    relative difference there. `kernel_s` is that of making it only in a process that has not made it before.
    """
    image, spacing, one = cube(side), (SPACING_MM,) * 3, nuclide("Lu-177")
    kernel_s, octants = cpu_s(lambda: octants_mev(one.name, spacing, SOFT_TISSUE_G_PER_ML, image.shape))
    engine_s, _ = cpu_s(lambda: dose_engine("kernel").dose_gy(image, SOFT_TISSUE_G_PER_ML, spacing, one))
    photon = octants[1]
    ours_s, ours = cpu_s(lambda: convolve_symmetric(image, photon))
    scipy_s, _ = cpu_s(lambda: fftconvolve(image, mirrored(photon), mode="same"))
    places = [tuple(place) for place in np.random.default_rng(SEED).integers(0, side, (sample, 3))]
    direct_s, sums = cpu_s(lambda: [direct(image, photon, place) for place in places])
    off = max(abs(ours[place] / value - 1.0) for place, value in zip(places, sums, strict=True))
    times = {"kernel_s": kernel_s, "dose_s": engine_s, "total_s": kernel_s + engine_s, "ours_s": ours_s}
    return times | {"scipy_s": scipy_s, "direct_s": direct_s / sample * side**3, "direct_off": off}


def agreement(side: int) -> dict[str, float]:
    """Return the largest difference from scipy's fftconvolve and from the direct sum, over the largest value."""
    image = cube(side)
    photon = octants_mev("Lu-177", (8.0, 4.0, 2.0), SOFT_TISSUE_G_PER_ML, image.shape)[1]
    ours, theirs = convolve_symmetric(image, photon), fftconvolve(image, mirrored(photon), mode="same")
    by_sum = np.array([direct(image, photon, place) for place in np.ndindex(image.shape)]).reshape(image.shape)
    return {
        name: float(np.abs(ours - other).max() / ours.max()) for name, other in (("scipy", theirs), ("sum", by_sum))
    }


def peak_mb(work: Callable[[], object]) -> tuple[float, object]:
    """Return the peak of memory that some work allocates, in MB."""
    tracemalloc.start()
    result = work()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak, result


def memory(side: int, parts: int) -> dict[str, float]:
    """Return peaks of memory (MB) of scipy, of a whole and of a blocked convolution, and how far blocks are off."""
    image = cube(side)
    photon = octants_mev("Lu-177", (SPACING_MM,) * 3, SOFT_TISSUE_G_PER_ML, image.shape)[1]
    largest = (2.0 * side) ** 3 / parts
    whole_mb, whole = peak_mb(lambda: convolve_symmetric(image, photon))
    blocked_mb, blocked = peak_mb(lambda: convolve_symmetric(image, photon, largest=largest))
    scipy_mb, _ = peak_mb(lambda: fftconvolve(image, mirrored(photon), mode="same"))
    found = {"image_mb": image.nbytes / 1e6, "whole_mb": whole_mb, "blocked_mb": blocked_mb, "scipy_mb": scipy_mb}
    rows = rows_per_block(image.shape, photon.shape, largest)
    return found | {"blocks": math.ceil(side / rows), "off": float(np.abs(blocked - whole).max() / whole.max())}


def dose_by(
    octants: tuple[np.ndarray, np.ndarray], tia: np.ndarray, density: np.ndarray, voxel_mm: float
) -> np.ndarray:
    """Return the dose in Gy as the engine `kernel` does, but by given octants (MeV); voxel_mm is that of the mass."""
    electron, photon = (kev_from_mev(convolve_symmetric(tia, octant)) for octant in octants)
    voxel_ml = voxel_mm**3 / MM3_PER_ML
    solid = np.where(density < 0.1, SOFT_TISSUE_G_PER_ML, density)
    return gy_g_per_mbq_h(electron / solid + photon / SOFT_TISSUE_G_PER_ML) / voxel_ml


def cropped(octant: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return an octant without voxels whose middle is farther than CROP_MM."""
    squared = sum(np.ix_(*((np.arange(n) * spacing_mm) ** 2 for n in octant.shape)))
    return np.where(squared <= CROP_MM**2, octant, 0.0)


def deviations(dose: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the deviation of every organ's mean dose in per cent."""
    means, expected = organ_means(dose, labels), organ_means(reference, labels)
    return {organ: 100.0 * (means[organ] / expected[organ] - 1.0) for organ in means}


def shortcuts(name: str, spacing_mm: float = SPACING_MM, nearest: bool = True) -> dict[str, dict[str, float]]:
    """Return, by shortcut, the deviation of organ means on the trunk (per cent) from the kernel of full range."""
    one, engine = nuclide(name), dose_engine("kernel")
    labels, density = trunk(spacing_mm)
    tia, spacing = tia_mbq_h(labels), (spacing_mm,) * 3
    full = engine.dose_gy(tia, density, spacing, one)
    octants = octants_mev(name, spacing, SOFT_TISSUE_G_PER_ML, tia.shape)
    short = tuple(cropped(octant, spacing_mm) for octant in octants)
    local = dose_engine("local").dose_gy(tia, density, spacing, one)
    found = {
        "none": deviations(dose_by(octants, tia, density, spacing_mm), full, labels),
        f"kernel cropped to {CROP_MM:g} mm": deviations(dose_by(short, tia, density, spacing_mm), full, labels),
        "local engine": deviations(local, full, labels),
    }
    return found | (_nearest(name) if nearest else {})


def _nearest(name: str) -> dict[str, dict[str, float]]:
    """Return what voxel S values of another voxel size cost: as they stand, and with the mass put right."""
    labels, density = trunk(NEAREST_MM)
    tia, found = tia_mbq_h(labels), {}
    full = dose_engine("kernel").dose_gy(tia, density, (NEAREST_MM,) * 3, nuclide(name))
    for other in TABULATED_MM:
        octants = octants_mev(name, (other,) * 3, SOFT_TISSUE_G_PER_ML, tia.shape)
        for label, voxel_mm in ((", as it stands", other), (", mass put right", NEAREST_MM)):
            dose = dose_by(octants, tia, density, voxel_mm)
            found[f"voxel S of {other:g} mm on {NEAREST_MM:g} mm{label}"] = deviations(dose, full, labels)
    return found


def sphere_interpolation(name: str) -> dict[str, tuple[float, float]]:
    """Return, by way of interpolating in TABULATED_G, the largest error in per cent and the mass in g where it is."""
    masses = np.geomspace(TABULATED_G[0], TABULATED_G[-1], 301)
    exact, table = (
        np.array([sphere_s_gy_per_mbq_h(name, float(mass), SOFT_TISSUE_G_PER_ML) for mass in each])
        for each in (masses, TABULATED_G)
    )
    ways = {
        "linear": np.interp(masses, TABULATED_G, table),
        "log-log": np.exp(np.interp(np.log(masses), np.log(TABULATED_G), np.log(table))),
    }
    off = {way: 100.0 * (value / exact - 1.0) for way, value in ways.items()}
    worst = {way: int(np.abs(value).argmax()) for way, value in off.items()}
    return {way: (float(off[way][at]), float(masses[at])) for way, at in worst.items()}


def small_lesion(name: str) -> float:
    """Return how far local deposition is off in a sphere of SMALL_LESION_ML, per cent."""
    mass_g = SMALL_LESION_ML * SOFT_TISSUE_G_PER_ML
    local = float(local_self_s(mass_g, SOFT_TISSUE_G_PER_ML, nuclide(name), "lesions"))
    return 100.0 * (local / sphere_s_gy_per_mbq_h(name, mass_g, SOFT_TISSUE_G_PER_ML) - 1.0)


def physical_tail(name: str, t_eff_lu_h: float, times_h: tuple[float, ...]) -> dict[str, float]:
    """Return errors of a kidney's TIA in per cent, the washout as that of Lu-177 with this effective half-life (h).

    `tail`: physical decay after the last scan in place of the true one, all before it exact, by hand: exp(-lambda t)
    (lambda/lambda_phys - 1). `trapezoid_physical` and `trapezoid_effective`: the whole by trapezoids and either tail.
    """
    half_life_h = nuclide(name).half_life_h
    phys = math.log(2.0) / half_life_h
    rate = math.log(2.0) * (1.0 / t_eff_lu_h - 1.0 / LUTETIUM_H) + phys
    activity = np.exp(-rate * np.array(times_h))
    found = {"t_eff_h": math.log(2.0) / rate, "tail": 100.0 * float(activity[-1]) * (rate / phys - 1.0)}
    for tail in ("physical", "effective"):
        tia = trapezoid_tia(times_h, activity, 0.05 * activity, half_life_h=half_life_h, tail=tail).tia_mbq_h
        found[f"trapezoid_{tail}"] = 100.0 * (tia * rate - 1.0)
    return found


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(line + "\n")


def verdict(ok: bool) -> str:
    """Return how a figure stands to its bar."""
    return "ok" if ok else "MISSED"


def print_speed(side: int) -> list[bool]:
    """Print seconds, ratios and agreement."""
    found, close = speed(side), agreement(16)
    kept = [found["total_s"] < BAR_S, found["direct_off"] < BAR_EQUAL, max(close.values()) < BAR_EQUAL]
    say(f"Engine `kernel`, Lu-177, {side}^3 voxels of {SPACING_MM:g} mm, CPU seconds of one core (bar {BAR_S:g} s)")
    parts = f"kernel {found['kernel_s']:.2f} s, dose {found['dose_s']:.2f} s"
    say(f"  {found['total_s']:.2f} s: {parts}  {verdict(kept[0])}")
    say(f"Convolution with the photon kernel of full range alone: {found['ours_s']:.2f} s")
    say(f"  scipy.signal.fftconvolve {found['scipy_s']:.2f} s, {found['scipy_s'] / found['ours_s']:.1f} times as long")
    ratio = f"{found['direct_s'] / found['ours_s']:.2g} times as long"
    say(f"  direct sum {found['direct_s']:.3g} s, {ratio} (10 voxels timed and scaled to all)")
    say(f"  largest relative difference from the direct sum there {found['direct_off']:.1e}  {verdict(kept[1])}")
    off = f"scipy {close['scipy']:.1e}, direct sum {close['sum']:.1e}"
    say(f"16^3 voxels of 8 x 4 x 2 mm, all: largest difference from {off} (bar {BAR_EQUAL:g})  {verdict(kept[2])}")
    return kept


def print_memory(side: int) -> list[bool]:
    """Print peaks of memory and whether blocks change anything."""
    found = memory(side, 8)
    kept = [found["off"] < BAR_EQUAL, found["blocked_mb"] < found["whole_mb"]]
    say(
        f"\nPeak memory of the convolution, image of {found['image_mb']:.0f} MB; blocks differ by at most {BAR_EQUAL:g}"
    )
    say(f"  whole {found['whole_mb']:.0f} MB, scipy {found['scipy_mb']:.0f} MB")
    blocked = f"{found['blocks']} blocks {found['blocked_mb']:.0f} MB, off by {found['off']:.1e}"
    say(f"  {blocked} (bar: less than the whole, {BAR_EQUAL:g})  {verdict(all(kept))}")
    return kept


def print_shortcuts(spacing_mm: float) -> list[bool]:
    """Print what shortcuts cost, organ by organ."""
    kept = []
    for name in NUCLIDES:
        table = shortcuts(name, spacing_mm)
        kept.append(max(map(abs, table.pop("none").values())) < 1e-8)
        organs = list(next(iter(table.values())))
        say(f"\n{name}, trunk in {spacing_mm:g} mm: organ mean in % off the full kernel (design: {DESIGN[name]})")
        say(f"  {'':<46}" + "".join(f"{organ:>16}" for organ in organs))
        for shortcut, row in table.items():
            say(f"  {shortcut:<46}" + "".join(f"{row[organ]:+16.1f}" for organ in organs))
    return kept


def tail_cell(last_h: float, found: dict[str, float]) -> str:
    """Return the three errors of one schedule as text."""
    errors = (found[key] for key in ("tail", "trapezoid_physical", "trapezoid_effective"))
    return f"{last_h:5.0f} h" + "".join(f"{error:+7.1f}" for error in errors)


def print_formulas() -> list[bool]:
    """Print what interpolation and the physical tail cost."""
    say("\nSphere S between 1, 10, 100 and 1000 g: largest error in % (at g)")
    for name in NUCLIDES:
        rows = sphere_interpolation(name).items()
        say(f"  {name:<8}" + "".join(f"{way:>10} {off:+8.1f} ({mass:.3g} g)" for way, (off, mass) in rows))
    say(f"\nLocal deposition in a lesion of {SMALL_LESION_ML:g} mL, %")
    say("  " + "".join(f"{name} {small_lesion(name):+.1f}   " for name in NUCLIDES))
    say("\nKidney's TIA, % off: physical tail alone; trapezoids with physical tail; with effective tail (design +45)")
    kept = []
    for name in NUCLIDES:
        for t_eff_h in T_EFF_H:
            row = [physical_tail(name, t_eff_h, times_h) for times_h in SCANS_H]
            kept += [abs(one["trapezoid_physical"] - one["trapezoid_effective"] - one["tail"]) < 1e-6 for one in row]
            cells = "   ".join(tail_cell(times_h[-1], one) for times_h, one in zip(SCANS_H, row, strict=True))
            say(f"  {name:<8}T_eff {row[0]['t_eff_h']:4.1f} h, last scan{cells}")
    return kept


def main() -> int:
    """Print every figure beside its bar; 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small grid: seconds instead of a minute")
    quick = parser.parse_args().quick
    side = 48 if quick else SIDE
    kept = [*print_speed(side), *print_memory(side), *print_shortcuts(8.0 if quick else SPACING_MM), *print_formulas()]
    return 0 if quick or all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
