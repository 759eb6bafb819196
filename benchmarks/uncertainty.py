"""The figures that the uncertainty budget stands on, each beside its bar: `make benchmark-uncertainty`.

The kidney below is made of cited inputs; tests/physics/test_uncertainty_mc.py runs the same figures with fewer draws.
"""

import sys
from dataclasses import replace

import numpy as np

from theradose.physics.kinetics import POPULATION
from theradose.physics.recovery_curve import fit_recovery_curve, sphere_coefficient, volume_relative_std
from theradose.physics.uncertainty import PROFILES, interval, judge, organ_budget
from theradose.physics.uncertainty_mc import Chain, draw, monte_carlo

SEED = 20240611
DRAWS, CHAINS = 2000, 2000
HALF_LIFE_H = 159.528  # Lu-177
FWHM_MM = 12.0  # a Lu-177 SPECT with resolution recovery
SPHERES_ML = np.array([1.0, 4.0, 10.0, 26.5, 60.0, 150.0, 300.0])
# Recovery coefficients of systems of one type differ by up to 12 % between centres (arXiv:2601.20549); a uniform
# distribution of that half-width has a standard deviation of 7 %.
SPHERE_RELATIVE_STD = 0.07
# 24 % of radionuclide calibrators are off by more than 5 % for Lu-177 (EJNMMI Phys 7:69, 2020, s40658-020-00338-3): a
# normal distribution of 4.3 %.
CALIBRATION_RELATIVE_STD = 0.043
# What one SPECT of a kidney reproduces: corrected kidney inserts are within 3.5 % of the truth (EJNMMI Phys 8, 2021,
# s40658-021-00365-8, spheres with correction), and a patient breathes and is registered.
NOISE_RELATIVE_STD = 0.05
# Kidneys after Lu-177-DOTATATE: T_eff 50 h; between patients about 20 %.
T_EFF_H, T_EFF_CV = 50.0, 0.20
# Kidney outlined on a low-dose CT of 2 mm resolution, kept as a mask of 4.8 mm voxels.
KIDNEY_ML, VOXEL_MM, OUTLINE_FWHM_MM = 150.0, 4.8, 2.0
S_GY_PER_MBQ_H, S_RELATIVE_STD = 5.6e-4, 0.02


def kidney(
    times_h: tuple[float, ...],
    models: tuple[str, ...] = ("mono",),
    fast_mbq: float = 0.0,
    noise: float = NOISE_RELATIVE_STD,
) -> Chain:
    """Return a kidney without errors, seen at some times; `fast_mbq` adds a phase with a half-life of 5 h."""
    time = np.array(times_h)
    activity = 60.0 * np.exp2(-time / T_EFF_H) + fast_mbq * np.exp2(-time / 5.0)
    true = sphere_coefficient(SPHERES_ML, FWHM_MM)
    return Chain(
        time_h=time,
        activity_mbq=activity,
        noise_mbq=noise * activity,
        volume_ml=KIDNEY_ML,
        volume_relative_std=volume_relative_std(KIDNEY_ML, voxel_mm=VOXEL_MM, fwhm_mm=OUTLINE_FWHM_MM),
        curve=fit_recovery_curve(SPHERES_ML, true, SPHERE_RELATIVE_STD * true),
        fwhm_mm=FWHM_MM,
        calibration_relative_std=CALIBRATION_RELATIVE_STD,
        s_gy_per_mbq_h=S_GY_PER_MBQ_H,
        half_life_h=HALF_LIFE_H,
        t_eff_h=T_EFF_H,
        t_eff_cv=T_EFF_CV,
        s_relative_std=S_RELATIVE_STD,
        models=models,
    )


# Staanum et al. (EJNMMI Phys 8:78, 2021): scans 1, 4 and 7 days after the administration, or the first of them alone.
THREE_SPECT, ONE_SPECT = (24.0, 96.0, 168.0), (24.0,)
FOUR = (4.0, 24.0, 72.0, 168.0)
SIX = (1.0, 4.0, 24.0, 72.0, 168.0, 240.0)
CASES: dict[str, Chain] = {
    "mono, 3 SPECT": kidney(THREE_SPECT),
    "mono, 4 SPECT": kidney(FOUR),
    "population, 1 SPECT": kidney(ONE_SPECT, (POPULATION,)),
    "bi, 6 SPECT": kidney(SIX, ("bi",), 40.0, 0.02),
    "chosen by AICc, 6 SPECT": kidney(SIX, ("mono", "bi"), 40.0, 0.02),
    "population, 4 SPECT": kidney(FOUR, (POPULATION,)),
}


def coverage(truth: Chain, n: int, rng: np.random.Generator) -> float:
    """Return the share of n measured chains whose 95 % interval of the dose holds that of the true chain."""
    dose_gy = truth.fit().tia_mbq_h * truth.s_gy_per_mbq_h
    held = 0
    for _ in range(n):
        measured = draw(truth, rng)
        fit = measured.fit()
        relative = measured.budget(fit).relative_std["dose"]
        low, high = interval(fit.tia_mbq_h * measured.s_gy_per_mbq_h, relative)
        held += low <= dose_gy <= high
    return held / n


def _line(what: str, value: float, bar: str, passes: bool | None) -> str:
    verdict = {True: "pass", False: "FAIL", None: "as it is"}[passes]
    return f"{what:<58}{100 * value:8.2f} %   bar {bar:<14}{verdict}\n"


def _budgets() -> str:
    """Return the budget of each case, and of two kidneys together."""
    found = {name: chain.budget(chain.fit()) for name, chain in CASES.items()}
    found["two kidneys, 3 SPECT"] = organ_budget([found["mono, 3 SPECT"]] * 2)
    steps = list(found["mono, 3 SPECT"].relative_std)
    rows = [f"{'relative standard uncertainty, %':<34}" + "".join(f"{step:>12}" for step in steps)]
    for name, budget in found.items():
        rows.append(f"{name:<34}" + "".join(f"{100 * value:12.2f}" for value in budget.relative_std.values()))
    return "\n".join(rows) + "\n\n"


def _agreement(rng: np.random.Generator) -> str:
    """Return analytic against drawn standard uncertainties."""
    lines = ""
    for name, chain in CASES.items():
        analytic, drawn = chain.budget(chain.fit()).relative_std, monte_carlo(chain, DRAWS, rng)
        for step, value in drawn.relative_std.items():
            off = analytic[step] / value - 1.0
            strict = name != "population, 4 SPECT"
            lines += _line(
                f"analytic / Monte Carlo - 1, {step}: {name}", off, "+-10 %", abs(off) < 0.1 if strict else None
            )
        lines += _line(f"draws refused: {name}", drawn.refused, "-", None) if drawn.refused else ""
    return lines


def main() -> None:
    """Print everything."""
    rng = np.random.default_rng(SEED)
    write = sys.stdout.write
    write(_budgets())
    three, one = (
        CASES[name].budget(CASES[name].fit()).relative_std for name in ("mono, 3 SPECT", "population, 1 SPECT")
    )
    write(_line("kidney from 3 SPECT (published 13 %)", three["dose"], "8 to 18 %", 0.08 <= three["dose"] <= 0.18))
    write(_line("kidney from 1 SPECT (published 19 %)", one["dose"], "15 to 30 %", 0.15 <= one["dose"] <= 0.30))
    write(_agreement(rng))
    for name, chain in CASES.items():
        share = coverage(chain, CHAINS if chain.models == ("mono",) else CHAINS // 4, rng)
        core = name == "mono, 4 SPECT"
        write(
            _line(
                f"95 % interval of the dose holds: {name}", share, "93 to 97 %", 0.93 <= share <= 0.97 if core else None
            )
        )
    known = replace(CASES["mono, 4 SPECT"], volume_relative_std=1e-9, calibration_relative_std=0.0)
    write(_line("the same, noise and recovery alone", coverage(known, CHAINS, rng), "93 to 97 %", None))
    write("\nprofiles, kidney from 3 SPECT\n")
    for profile in PROFILES:
        for row in judge(three, profile, 3):
            write(_line(f"{profile}: {row.step}", row.value, f"{100 * row.bar:g} %", row.passes))


if __name__ == "__main__":
    main()
