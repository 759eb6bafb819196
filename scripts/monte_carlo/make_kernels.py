"""Make src/theradose/physics/data/kernels.csv: energy around a point source in water, by shell, per decay.

`make kernels` runs it in an environment of its own (scripts/monte_carlo/README.md). Same seed, same table.
"""

import argparse
import hashlib
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from theradose_montecarlo.radial import Radial, point_source, shells_mm
from theradose_montecarlo.spectra import chain, emissions

DATA = Path(__file__).resolve().parents[2] / "src" / "theradose" / "physics" / "data"
NUCLIDES = (
    "Lu-177", "Y-90", "I-131", "Tb-161", "Cu-67", "Cu-64", "Sm-153", "Ho-166", "Re-188", "Ga-68", "F-18", "Zr-89",
    "Tc-99m", "In-111", "Ac-225", "Pb-212", "At-211",
)  # fmt: skip
SEED = 20261126
HEADER = """\
# Dose point kernels: energy per decay left in spherical shells around a point source in water of 1 g/mL, MeV.
# Made by scripts/monte_carlo/make_kernels.py; do not edit by hand. Project's own data, Apache-2.0.
# Emissions: ICRP Publication 107 (2008) as held by icrp107-database {icrp}; short-lived progeny included (NOTICE).
# Transport: ompMC {ompmc} (EGSnrc physics, cross sections 521icru), electrons and photons down to 10 keV;
#   electrons below stay in the first shell, photons below are attenuated exponentially.
# Columns: outer radius of the shell in mm; per nuclide the energy that its electrons (beta, conversion, Auger, with
#   their bremsstrahlung) and its photons leave there. Alphas and recoils travel less than 0.1 mm: see nuclides.csv.
# Positrons are transported as electrons, their annihilation photons start at the source.
# Numbers: seed {seed}, {electrons} electron and {photons} photon histories each.
# Standard error of the mean over {repeats} independent runs (per cent): energy per decay left within 10 mm.
"""


def averaged(name: str, seed: int, *, electrons: int, photons: int, repeats: int) -> tuple[Radial, float]:
    """Return the mean of independent runs and the relative standard error of the energy within 10 mm."""
    generator = np.random.default_rng([SEED, seed])
    emitted = emissions(name)
    runs = [point_source(emitted, electrons // repeats, photons // repeats, generator) for _ in range(repeats)]
    near = shells_mm() <= 10.0
    within = np.array([float((run.electron_mev + run.photon_mev)[near].sum()) for run in runs])
    mean = Radial(*(np.mean([getattr(run, part) for run in runs], axis=0) for part in ("electron_mev", "photon_mev")))
    return mean, float(within.std(ddof=1) / within.mean() / np.sqrt(repeats))


def main() -> None:
    """Make the tables of all nuclides, or of one (`--only`) into a file of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=NUCLIDES)
    parser.add_argument("--parts", type=Path, required=True, help="folder for one file per nuclide, joined at the end")
    parser.add_argument("--electrons", type=int, default=240_000)
    parser.add_argument("--photons", type=int, default=1_600_000)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--join", action="store_true", help="write the table from the parts")
    chosen = parser.parse_args()
    chosen.parts.mkdir(parents=True, exist_ok=True)
    for name in () if chosen.join else chosen.only:
        start = time.monotonic()
        found, error = averaged(
            name, NUCLIDES.index(name), electrons=chosen.electrons, photons=chosen.photons, repeats=chosen.repeats
        )
        np.savez(chosen.parts / f"{name}.npz", electron=found.electron_mev, photon=found.photon_mev, error=error)
        sums = f"{found.electron_mev.sum():.6f} {found.photon_mev.sum():.6f} MeV"
        print(f"{name}: {sums}, error {100 * error:.3f} %, {time.monotonic() - start:.0f} s", flush=True)
    if chosen.join:
        join(chosen)


def join(chosen: argparse.Namespace) -> None:
    """Write the table from its parts and print its hash."""
    parts = {name: np.load(chosen.parts / f"{name}.npz") for name in NUCLIDES}
    text = HEADER.format(
        icrp=version("icrp107-database"), ompmc=version("ompmc"), seed=SEED, electrons=chosen.electrons,
        photons=chosen.photons, repeats=chosen.repeats,
    )  # fmt: skip
    for name, part in parts.items():
        progeny = ", ".join(f"{child} {share:.5g}" for child, share in chain(name).items() if child != name)
        text += f"#   {name}: {100 * float(part['error']):.3f}{'; with ' + progeny if progeny else ''}\n"
    columns = [f"{name} {kind}" for name in parts for kind in ("electron", "photon")]
    rows = np.stack([part[kind] for part in parts.values() for kind in ("electron", "photon")], axis=1)
    text += ",".join(["outer_mm", *columns]) + "\n"
    for radius, row in zip(shells_mm(), rows, strict=True):
        text += ",".join([f"{radius:.6g}", *(f"{value:.5g}" for value in row)]) + "\n"
    (DATA / "kernels.csv").write_text(text, encoding="utf-8")
    print(f"wrote kernels.csv, sha256 {hashlib.sha256(text.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
