"""Transport of electrons and photons that start anywhere in a voxel phantom, by ompMC (EGSnrc physics)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ompmc

ELECTRON, PHOTON = 2, 1
CUT_MEV = 0.010  # electrons and photons are followed down to here (AE, AP of the cross sections 521icru)
ELECTRON_MASS_MEV = 0.511
RECORD = np.dtype([("type", "<i1"), ("energy", "<f4"), ("x", "<f4"), ("y", "<f4"), ("z", "<f4"),
                   ("u", "<f4"), ("v", "<f4"), ("weight", "<f4")])  # fmt: skip
HEADER = """$FILE_TYPE:
0
$CHECKSUM:
{size}
$RECORD_CONTENTS:
    1     // X is stored ?
    1     // Y is stored ?
    1     // Z is stored ?
    1     // U is stored ?
    1     // V is stored ?
    1     // W is stored ?
    1     // Weight is stored ?
    0     // Extra floats stored ?
    0     // Extra longs stored ?
$RECORD_LENGTH:
{length}
$BYTE_ORDER:
1234
$ORIG_HISTORIES:
{n}
$PARTICLES:
{n}
"""
N_BATCHES = 10
WATER = "H2O521ICRU"


@dataclass(frozen=True)
class Phantom:
    """A rectilinear phantom, axes (z, y, x): edges in mm, density in g/mL, media by name and number from one."""

    edges_zyx_mm: tuple[np.ndarray, np.ndarray, np.ndarray]
    density_g_per_ml: np.ndarray
    media: tuple[str, ...] = (WATER,)
    medium: np.ndarray | None = None

    def geometry(self) -> ompmc.Geometry:
        """Return ompMC's own description: cm, axes (x, y, z), first axis fastest."""
        z, y, x = (np.asarray(edges, float) / 10.0 for edges in self.edges_zyx_mm)
        number = np.ones(self.density_g_per_ml.shape, np.int32) if self.medium is None else self.medium
        return ompmc.Geometry(
            x, y, z, list(self.media),
            np.asfortranarray(self.density_g_per_ml.transpose(2, 1, 0).astype(np.float64)),
            np.asfortranarray(number.transpose(2, 1, 0).astype(np.int32)),
        )  # fmt: skip


def isotropic(n: int, generator: np.random.Generator) -> np.ndarray:
    """Draw n directions, (n, 3)."""
    w, phi = generator.uniform(-1.0, 1.0, n), generator.uniform(0.0, 2.0 * np.pi, n)
    s = np.sqrt(1.0 - w**2)
    return np.stack([w, s * np.sin(phi), s * np.cos(phi)], axis=1)


def _write(base: Path, kind: int, energy_mev: np.ndarray, place_zyx_mm: np.ndarray, towards_zyx: np.ndarray) -> None:
    """Write an IAEA phase space of one particle per history."""
    rows = np.zeros(energy_mev.size, RECORD)
    rows["type"] = np.where(towards_zyx[:, 0] < 0, -kind, kind)
    rows["energy"] = -energy_mev  # negative: a new history
    for axis, name in enumerate("zyx"):
        rows[name] = place_zyx_mm[:, axis] / 10.0
    rows["u"], rows["v"], rows["weight"] = towards_zyx[:, 2], towards_zyx[:, 1], 1.0
    base.with_suffix(".IAEAphsp").write_bytes(rows.tobytes())
    text = HEADER.format(size=rows.nbytes, length=RECORD.itemsize, n=rows.size)
    base.with_suffix(".IAEAheader").write_text(text, encoding="ascii")


def deposited_mev(
    phantom: Phantom, kind: int, energy_mev: np.ndarray, place_zyx_mm: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean energy per history left in each voxel, MeV, (z, y, x), and its relative standard error.

    Every particle starts at its place in a direction drawn here. The seeds of ompMC come from the generator too.
    """
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "source"
        _write(base, kind, energy_mev, place_zyx_mm, isotropic(energy_mev.size, generator))
        seeds = tuple(int(s) for s in generator.integers(1, 30000, 2))
        physics = ompmc.Physics(
            pegs_file=ompmc.data_path() / "pegs4" / "521icru.pegs4dat", global_ecut=ELECTRON_MASS_MEV + CUT_MEV,
            global_pcut=CUT_MEV, n_split=1, seeds=seeds,
        )  # fmt: skip
        energy, error, summary = ompmc.calc_forward_phsp(
            phantom.geometry(), ompmc.PhaseSpaceSource(base), physics,
            n_histories=energy_mev.size, n_batches=N_BATCHES, output_dose=False,
        )  # fmt: skip
    if summary.n_started != energy_mev.size:
        raise RuntimeError(f"{energy_mev.size - summary.n_started} of {energy_mev.size} particles started nothing")
    return energy.transpose(2, 1, 0), error.transpose(2, 1, 0)
