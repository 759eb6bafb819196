"""Radionuclides: half-life and the energy they emit per decay, from one table (ICRP-107)."""

import csv
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from theradose.errors import SettingsError, Where

TABLE = Path(__file__).parent / "data" / "nuclides.csv"


@dataclass(frozen=True)
class Nuclide:
    """A radionuclide: half-life in h, energies emitted per decay of itself alone in keV, short-lived progeny.

    `daughters` are its direct radioactive daughters with their branching fractions, long-lived ones too; `progeny` are
    the names of all that grow in while it decays. `chains.chain_energy` adds their energies.
    """

    name: str
    half_life_h: float
    electron_kev: float
    photon_kev: float
    alpha_kev: float
    recoil_kev: float
    progeny: tuple[str, ...] = ()
    daughters: tuple[tuple[str, float], ...] = ()

    @property
    def lambda_per_h(self) -> float:
        """The physical decay constant in 1/h, ln 2 / half-life."""
        return math.log(2.0) / self.half_life_h

    @property
    def local_kev(self) -> float:
        """The energy per decay in keV that stays within millimetres: electrons, alphas, recoiling nuclei."""
        return self.electron_kev + self.alpha_kev + self.recoil_kev


@cache
def nuclide_table() -> dict[str, Nuclide]:
    """Return all radionuclides of the table by name."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    table = {}
    for row in rows:
        name, progeny = row.pop("name"), tuple(row.pop("progeny").split())
        pairs = (pair.split(":") for pair in row.pop("daughters").split())
        daughters = tuple((daughter, float(branch)) for daughter, branch in pairs)
        energies = {key: float(value) for key, value in row.items()}
        table[name] = Nuclide(name, **energies, progeny=progeny, daughters=daughters)
    return table


def _spelling(name: str) -> tuple[list[str], list[str]]:
    """Return letters and digits of a name, the same for Lu-177, lu177 and 177Lu; another mass number is no slip."""
    return sorted(re.findall("[a-z]", name.lower())), re.findall("[0-9]", name)


def nuclide(name: str) -> Nuclide:
    """Return a radionuclide by its name, e.g. `Lu-177`; SettingsError lists the known ones.

    >>> nuclide("Lu-177").half_life_h
    159.528
    """
    table = nuclide_table()
    if name not in table:
        near = [known for known in table if _spelling(known) == _spelling(name)]
        raise SettingsError(
            "radionuclide is unknown",
            where=Where(field="radionuclide"),
            got=name,
            expected=f"one of {', '.join(table)}",
            code="unknown_nuclide",
            remedy=f"did you mean {near[0]}?" if near else "add it to scripts/make_nuclide_table.py and run that",
        )
    return table[name]
