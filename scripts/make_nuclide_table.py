"""Make src/theradose/physics/data/nuclides.csv from the ICRP-107 decay data that `icrp107-database` holds.

Run `python scripts/make_nuclide_table.py` after installing requirements-dev.in; a test compares output and file.
Energies are sums of energy times yield over the lines of an emission, beta particles at their mean energies.
"""

import json
import math
from importlib.metadata import version
from pathlib import Path

import icrp107_database
import radioactivedecay

TABLE = Path(__file__).resolve().parents[1] / "src" / "theradose" / "physics" / "data" / "nuclides.csv"
NUCLIDES = (
    "Lu-177", "Y-90", "I-131", "Tb-161", "Cu-67", "Cu-64", "Sm-153", "Ho-166", "Re-188", "Ga-68", "F-18", "Zr-89",
    "Tc-99m", "In-111", "Ac-225", "Pb-212", "At-211",
)  # fmt: skip
HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0, "y": 24.0 * 365.2422}  # "m" is minutes in this database
COLUMNS = {
    "electron_kev": ("beta-", "beta+", "IE", "auger"),
    "photon_kev": ("gamma", "X", "annihilation"),
    "alpha_kev": ("alpha",),
    "recoil_kev": ("alpha recoil",),
}
LEAST_BRANCH = 1e-3
HEADER = f"""\
# Radionuclides and their radioactive progeny: half-life and energy emitted per decay of the nuclide alone.
# Source: ICRP Publication 107 (2008), Nuclear Decay Data for Dosimetric Calculations, Ann. ICRP 38(3),
#   as held by the package icrp107-database {version("icrp107-database")} (LGPL-3.0); edition ICRP-107.
# Notice: the decay data are the work of the International Commission on Radiological Protection; see NOTICE.
# Made by scripts/make_nuclide_table.py; do not edit by hand.
# half_life_h: h. electron_kev: beta particles (mean energies), conversion and Auger electrons. photon_kev: gamma, X,
#   annihilation. alpha_kev: alpha particles. recoil_kev: nuclei that recoil from alpha decay. All keV per decay.
# progeny: radioactive progeny with shorter half-lives and at least {LEAST_BRANCH:g} per decay, separated by blanks;
#   their energies stand in their own rows. daughters: direct radioactive daughters, long-lived ones too, each with its
#   branching fraction of at least {LEAST_BRANCH:g}. Both are chains of ICRP-107 from the package radioactivedecay.
"""


def decay_data(name: str) -> dict:
    """Read a nuclide's record; the files hold JSON text inside a JSON string."""
    path = Path(icrp107_database.__file__).parent / "icrp107" / f"{name}.json"
    return json.loads(json.loads(path.read_text(encoding="utf-8")))


def energy_kev(record: dict, emissions: tuple[str, ...]) -> float:
    """Return the energy of some kinds of emission, keV per decay (files: MeV, yield per decay)."""
    return 1000 * sum(mev * share for kind in emissions for mev, share in record["emissions"][kind])


def half_life_h(name: str) -> float:
    """Return the half-life in h; infinite for a stable nuclide."""
    return float(radioactivedecay.Nuclide(name).half_life("h"))


def daughters(name: str) -> dict[str, float]:
    """Return the direct radioactive daughters of a nuclide and the part of its decays that makes each."""
    node = radioactivedecay.Nuclide(name)
    pairs = zip(node.progeny(), node.branching_fractions(), strict=True)
    return {child: branch for child, branch in pairs if branch >= LEAST_BRANCH and half_life_h(child) < math.inf}


def descendants(name: str, below_h: float = math.inf) -> list[str]:
    """Return the radioactive progeny, in the order of the chain, through nuclides with half-lives below a limit."""
    found: dict[str, float] = {}
    waiting = [(name, 1.0)]
    while waiting:
        parent, share = waiting.pop(0)
        for child, branch in daughters(parent).items():
            if half_life_h(child) < below_h and share * branch >= LEAST_BRANCH and child not in found:
                found[child] = share * branch
                waiting.append((child, share * branch))
    return list(found)


def table() -> str:
    """Return the whole text of the table."""
    lines = [",".join(("name", "half_life_h", *COLUMNS, "progeny", "daughters"))]
    for name in dict.fromkeys((*NUCLIDES, *(child for head in NUCLIDES for child in descendants(head)))):
        record = decay_data(name)
        hours = record["half_life"] * HOURS[record["time_unit"]]
        energies = [f"{energy_kev(record, kinds):.6g}" for kinds in COLUMNS.values()]
        progeny = " ".join(descendants(name, below_h=hours))
        pairs = " ".join(f"{child}:{branch:.6g}" for child, branch in daughters(name).items())
        lines.append(",".join((name, f"{hours:.10g}", *energies, progeny, pairs)))
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    print(f"wrote {TABLE.name}")
