"""A ready OpenGATE (GATE 10) simulation of a map of time-integrated activity, for those who have the data of Geant4."""

import os
import re
import shutil
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import SimpleITK as sitk

from theradose import __version__
from theradose.errors import DataError, GeometryError, SettingsError, Where
from theradose.imaging.grid import Grid
from theradose.imaging.itk import to_itk
from theradose.imaging.resample import resample
from theradose.imaging.volume import Volume
from theradose.physics.density import AIR_HU, G_PER_ML_POINTS, HU_POINTS, MATERIAL_FROM_HU, hu_from_density
from theradose.physics.nuclides import nuclide
from theradose.physics.units import decays_from_mbq_h
from theradose.provenance import sha256_file, write_json

TEMPLATES = Path(__file__).parent / "templates"
SCRIPT, README = "opengate_simulation.py.txt", "opengate_readme.txt"
# OpenGATE's table of compositions turns into amalgam here; the density of bone would end up with the atoms of silver.
HIGHEST_HU = 1639.0
# Own choice: more activity than this beyond the CT means that the two images are not of one frame of reference.
LARGEST_PART_OUTSIDE_CT = 0.01
MOST_HISTORIES, HIGHEST_SEED = 10**12, 2**31 - 1  # own choice, far beyond years of computing; seeds of 31 bits
BEYOND_CT_HU = -1e6  # no CT number: marks what the CT does not cover, also where it is mixed with voxels that it covers
SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm"
)


def ion_of(name: str) -> tuple[int, int]:
    """Return atomic number and mass number of a radionuclide; SettingsError for unknown ones and isomers.

    Geant4 finds an isomer by its excitation energy to within 1 eV of its own table, which this package does not hold.

    >>> ion_of("Lu-177")
    (71, 177)
    """
    found = re.fullmatch(r"([A-Z][a-z]?)-(\d+)(m?)", nuclide(name).name)
    if found is None or found[3]:
        raise SettingsError(
            "OpenGATE can be given no isomer",
            where=Where(field="nuclide"),
            got=name,
            expected="a radionuclide in its ground state",
            code="isomer",
        )
    return SYMBOLS.split().index(found[1]) + 1, int(found[2])


def right_handed(image: Volume) -> Volume:
    """Return an image with right-handed axes, as OpenGATE needs it: the last one is turned round where they are not."""
    grid = image.grid
    if np.linalg.det(np.asarray(grid.direction)) > 0:
        return image
    x, y, z = (grid.affine_lps() @ (0, 0, grid.shape_zyx[0] - 1, 1))[:3]
    direction = tuple((row[0], row[1], 0.0 - row[2]) for row in grid.direction)
    turned = Grid(grid.shape_zyx, grid.spacing_mm, (float(x), float(y), float(z)), direction)
    return Volume(np.ascontiguousarray(image.values[::-1]), turned, image.unit)


def _require_source(tia: Volume) -> float:
    """Return the total in MBq.h of a map in MBq.h per voxel; DataError when it can be no source."""
    tia.require_unit("MBq.h", "time-integrated activity")
    total = float(tia.values.sum(dtype=np.float64))
    # A sum is finite only when all its terms are.
    if not np.isfinite(total) or tia.values.min() < 0 or total <= 0:
        raise DataError(
            "time-integrated activity can be no source",
            got=f"sum {total:g}, smallest {tia.values.min():g} MBq.h",
            expected="finite, nowhere negative, not zero everywhere",
            code="bad_tia",
        )
    return total


def ct_on_grid(ct: Volume, tia: Volume) -> tuple[Volume, float]:
    """Return CT numbers (whole HU, int16) on the grid of a TIA map, and which part of the TIA the CT does not cover.

    `ct` is in HU, or a density image in g/mL. What lies beyond it is air. GeometryError when that holds more than 1 %
    of the TIA.
    """
    if ct.unit == "g/mL":
        ct = ct.with_values(hu_from_density(ct.values), "HU")
    ct.require_unit("HU", "CT")
    if not np.isfinite(ct.values).all():
        raise DataError("CT holds values that are no numbers", code="bad_ct")
    hu = ct.values.clip(AIR_HU, HIGHEST_HU).astype(np.float32)
    moved = resample(ct.with_values(hu), tia.grid, outside=BEYOND_CT_HU)
    beyond = moved.values < AIR_HU - 1.0
    part = float(tia.values[beyond].sum(dtype=np.float64) / tia.values.sum(dtype=np.float64))
    if part > LARGEST_PART_OUTSIDE_CT:
        raise GeometryError(
            "CT does not cover the time-integrated activity",
            got=f"{100 * part:.3g} % of it outside",
            expected=f"at most {100 * LARGEST_PART_OUTSIDE_CT:g} %",
            remedy="check that both images have one frame of reference, or cut the activity to the CT",
            code="ct_too_small",
        )
    whole = np.rint(moved.values.clip(AIR_HU, HIGHEST_HU)).astype(np.int16)
    return Volume(whole, tia.grid, "HU"), part


def _write_images(tia: Volume, ct: Volume, folder: Path) -> None:
    """Write both images as MetaImage, which keeps grid and direction."""
    sitk.WriteImage(to_itk(tia.values, tia.grid), str(folder / "activity.mhd"))
    sitk.WriteImage(sitk.Cast(to_itk(ct.values, ct.grid), sitk.sitkInt16), str(folder / "ct.mhd"))


def _write_texts(folder: Path, facts: dict[str, Any], grid: Grid) -> None:
    """Write the script, the text that explains it, and the curve of density."""
    z, a = ion_of(facts["radionuclide"])
    nz, ny, nx = grid.shape_zyx
    words = {
        **facts, "nuclide": facts["radionuclide"], "z": z, "a": a, "size": f"{nx}, {ny}, {nz}",
        "spacing_mm": ", ".join(f"{side:.9g}" for side in grid.spacing_mm), "highest_hu": f"{HIGHEST_HU:g}",
        "tia_mbq_h": f"{facts['tia_mbq_h']:.6g}", "scale": f"{facts['gy_per_gy_simulated']:.6g}",
        "tia_in_air_percent": f"{100 * facts['tia_in_air_fraction']:.3g}", "lung_hu": f"{MATERIAL_FROM_HU[0]:g}",
        "tia_outside_ct_percent": f"{100 * facts['tia_outside_ct_fraction']:.3g}",
    }  # fmt: skip
    for template, name in ((SCRIPT, "simulation.py"), (README, "README.txt")):
        text = Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(words)
        (folder / name).write_text(text, encoding="utf-8")
    rows = [f"{hu:.6g}\t{density:.6g}" for hu, density in zip(HU_POINTS, G_PER_ML_POINTS, strict=True)]
    (folder / "densities.txt").write_text("\n".join(["# HU\tg/mL", *rows, ""]), encoding="utf-8")


def _require_counts(histories: int, seed: int) -> None:
    """Raise SettingsError for a number of decays or a seed out of range."""
    if not (1 <= histories <= MOST_HISTORIES and 0 <= seed <= HIGHEST_SEED):
        raise SettingsError(
            "histories or seed out of range",
            got=f"{histories}, {seed}",
            expected=f"1 to {MOST_HISTORIES:.0e}, 0 to {HIGHEST_SEED}",
            code="bad_histories",
        )


def _new_folder(folder: Path) -> Path:
    """Make and return the hidden folder beside `folder` that takes its name when done; SettingsError if it cannot."""
    where = Where(file=str(folder))
    try:
        if folder.exists():
            raise SettingsError("folder exists", where=where, remedy="name a new one or remove it", code="THR-375")
        unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise SettingsError(
            "folder cannot be made", where=where, got=error.strerror, remedy="name another place", code="no_folder"
        ) from error
    return unfinished


def export_opengate(
    tia: Volume, ct: Volume, radionuclide: str, folder: Path, *, histories: int, seed: int, inputs: dict[str, str]
) -> dict[str, Any]:
    """Write a folder with a complete OpenGATE simulation and return its manifest.

    `tia` is in MBq.h per voxel, `ct` in HU (or g/mL) on any grid; `inputs` (what -> SHA-256) go into the manifest. The
    folder appears whole or not at all, and the same arguments give the same bytes. SettingsError when it exists or
    cannot be made or the radionuclide cannot be simulated, DataError when the images cannot.
    """
    ion_of(radionuclide)
    _require_counts(histories, seed)
    tia = right_handed(tia)
    total = _require_source(tia)
    placed, outside = ct_on_grid(ct, tia)
    decays = decays_from_mbq_h(total)
    in_air = float(tia.values[placed.values < MATERIAL_FROM_HU[0]].sum(dtype=np.float64) / total)
    facts: dict[str, Any] = {
        "radionuclide": radionuclide, "tia_mbq_h": total, "decays": decays, "histories": histories, "seed": seed,
        "gy_per_gy_simulated": decays / histories, "tia_in_air_fraction": in_air, "tia_outside_ct_fraction": outside,
        "version": __version__,
    }  # fmt: skip
    unfinished = _new_folder(folder)
    try:
        _write_images(tia, placed, unfinished)
        _write_texts(unfinished, facts, tia.grid)
        files = {file.name: sha256_file(file) for file in sorted(unfinished.iterdir())}
        manifest = {**facts, "grid": tia.grid.describe(), "inputs": inputs, "files": files}
        write_json(unfinished / "manifest.json", manifest)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest
