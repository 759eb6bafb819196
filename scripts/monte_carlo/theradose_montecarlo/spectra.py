"""What a radionuclide emits, from ICRP-107: energies and yields per decay, its chain included where asked."""

import json
from dataclasses import dataclass
from pathlib import Path

import icrp107_database
import numpy as np
import radioactivedecay

ELECTRON_LINES = ("IE", "auger")
PHOTON_LINES = ("gamma", "X", "annihilation")
ALPHA_LINES = ("alpha", "alpha recoil")
BETAS = ("beta-", "beta+")
LEAST_YIELD = 1e-3  # progeny below this yield per decay of the parent are left out


@dataclass(frozen=True)
class Lines:
    """Energies in MeV and yields per decay, (n,) each."""

    energy_mev: np.ndarray
    per_decay: np.ndarray

    @property
    def total_mev(self) -> float:
        """The energy emitted per decay in MeV."""
        return float(self.energy_mev @ self.per_decay)

    def split(self, cut_mev: float) -> "tuple[Lines, Lines]":
        """Return the lines below a cut and those from it upwards."""
        low = self.energy_mev < cut_mev
        return Lines(self.energy_mev[low], self.per_decay[low]), Lines(self.energy_mev[~low], self.per_decay[~low])

    def draw(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw n energies in MeV, stratified over the cumulative yield so that the spectrum itself adds no noise."""
        cumulative = np.cumsum(self.per_decay) / self.per_decay.sum()
        u = (np.arange(n) + generator.random(n)) / n
        return generator.permutation(self.energy_mev[np.searchsorted(cumulative, u).clip(max=len(cumulative) - 1)])


@dataclass(frozen=True)
class Emissions:
    """Electrons (beta, conversion, Auger), photons and alphas (recoils included) per decay of the parent."""

    electrons: Lines
    photons: Lines
    alpha_mev: float


def record(name: str) -> dict:
    """Read a nuclide's ICRP-107 record; the files hold JSON text inside a JSON string."""
    path = Path(icrp107_database.__file__).parent / "icrp107" / f"{name}.json"
    return json.loads(json.loads(path.read_text(encoding="utf-8")))


def _beta_lines(emissions: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return the beta spectrum as lines of fine bins, scaled so that its energy is the sum of mean energies."""
    table = np.array(emissions["b-spectra"])
    mean_mev = sum(mev * share for kind in BETAS for mev, share in emissions[kind])
    if not table.size or mean_mev == 0:
        return np.empty(0), np.empty(0)
    grid = np.linspace(0.0, table[-1, 0], 2001)
    middle, width = (grid[1:] + grid[:-1]) / 2, np.diff(grid)
    share = np.interp(middle, table[:, 0], table[:, 1]) * width
    return middle, share * mean_mev / float(middle @ share)


def _of(emissions: dict, kinds: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return energies and yields of the discrete lines of some kinds."""
    rows = np.array([row for kind in kinds for row in emissions[kind]], float).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def chain(name: str) -> dict[str, float]:
    """Return parent and short-lived progeny with their yields per decay of the parent, over all time."""
    limit_h = radioactivedecay.Nuclide(name).half_life("h")
    found, waiting = {name: 1.0}, [(name, 1.0)]
    while waiting:
        parent, share = waiting.pop(0)
        node = radioactivedecay.Nuclide(parent)
        for child, branch in zip(node.progeny(), node.branching_fractions(), strict=True):
            if "-" not in child or radioactivedecay.Nuclide(child).half_life("h") >= limit_h:
                continue
            if share * branch >= LEAST_YIELD:
                found[child] = found.get(child, 0.0) + share * branch
                waiting.append((child, share * branch))
    return found


def emissions(name: str, *, with_progeny: bool = True) -> Emissions:
    """Return what a decay of the nuclide emits, with all decays of its short-lived progeny where asked."""
    electrons, photons, alpha = [], [], 0.0
    for member, share in (chain(name) if with_progeny else {name: 1.0}).items():
        found = record(member)["emissions"]
        for store, parts in ((electrons, (_beta_lines(found), _of(found, ELECTRON_LINES))),
                             (photons, (_of(found, PHOTON_LINES),))):  # fmt: skip
            store += [(energy, per_decay * share) for energy, per_decay in parts]
        energy, per_decay = _of(found, ALPHA_LINES)
        alpha += share * float(energy @ per_decay)
    joined = [Lines(*(np.concatenate(part) for part in zip(*store, strict=True))) for store in (electrons, photons)]
    return Emissions(joined[0], joined[1], alpha)
