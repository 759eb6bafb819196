"""The exported OpenGATE simulation: what it says is what the images hold, and its script is sound."""

import json
import runpy
import sys
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import SimpleITK as sitk

from theradose.errors import DataError, GeometryError, SettingsError, UnitError
from theradose.imaging import opengate
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_volume
from theradose.imaging.opengate import HIGHEST_HU, ct_on_grid, export_opengate, ion_of, right_handed
from theradose.imaging.volume import Volume
from theradose.physics.density import G_PER_ML_POINTS, HU_POINTS, density_from_hu
from theradose.physics.nuclides import nuclide_table
from theradose.provenance import sha256_file

SHAPE = (4, 5, 6)
LEFT_HANDED = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0))
GRID = Grid(SHAPE, (4.0, 4.5, 5.0), (-7.0, 11.0, 13.0))
TURNED = Grid(SHAPE, (4.0, 4.5, 5.0), (-7.0, 11.0, 13.0), LEFT_HANDED)


def tia_map(grid: Grid = GRID) -> Volume:
    values = np.zeros(SHAPE, np.float32)
    values[1:3, 1:4, 1:5] = np.random.default_rng(0).gamma(4.0, 2.0, (2, 3, 4))
    return Volume(values, grid, "MBq.h")


def ct_of(hu: float = 40.0, grid: Grid = GRID) -> Volume:
    return Volume(np.full(grid.shape_zyx, hu, np.int16), grid, "HU")


def export(folder, tia=None, ct=None, *, radionuclide="Lu-177", histories=1000, seed=3):
    tia, ct = tia or tia_map(), ct or ct_of()
    return export_opengate(tia, ct, radionuclide, folder, histories=histories, seed=seed, inputs={"ct": "0" * 64})


@pytest.mark.parametrize(
    ("name", "z", "a"),
    [("Lu-177", 71, 177), ("Y-90", 39, 90), ("I-131", 53, 131), ("F-18", 9, 18), ("Ac-225", 89, 225)],
)  # fmt: skip
def test_ions_have_their_numbers(name, z, a):
    assert ion_of(name) == (z, a)


def test_every_radionuclide_of_the_table_is_an_ion_or_a_refused_isomer():
    for name in nuclide_table():
        if name.endswith("m"):
            with pytest.raises(SettingsError, match="isomer"):
                ion_of(name)
        else:
            z, a = ion_of(name)
            assert 2 * z <= a <= 2.7 * z or name == "F-18"


def test_turning_an_axis_moves_no_voxel():
    image = tia_map(TURNED)
    turned = right_handed(image)
    assert np.linalg.det(np.asarray(turned.grid.direction)) == pytest.approx(1)
    for z, y, x in np.ndindex(SHAPE):
        place = image.grid.affine_lps() @ (x, y, z, 1)
        index = np.rint(np.linalg.inv(turned.grid.affine_lps()) @ place)[:3].astype(int)
        assert turned.values[tuple(index[::-1])] == image.values[z, y, x]
    assert right_handed(tia_map()).grid is GRID


def test_the_images_are_written_as_they_are(tmp_path):
    export(tmp_path / "gate", tia_map(TURNED), ct_of(grid=TURNED))
    activity, ct = (sitk.ReadImage(str(tmp_path / "gate" / name)) for name in ("activity.mhd", "ct.mhd"))
    assert np.array_equal(sitk.GetArrayFromImage(activity), tia_map().values[::-1])
    assert ct.GetPixelID() == sitk.sitkInt16
    assert (sitk.GetArrayFromImage(ct) == 40).all()
    assert ct.GetDirection() == activity.GetDirection()
    last = TURNED.affine_lps() @ (0, 0, SHAPE[0] - 1, 1)
    assert activity.TransformIndexToPhysicalPoint((0, 0, 0)) == pytest.approx(tuple(last[:3]))


def test_the_manifest_holds_totals_hashes_and_the_factor_to_gy(tmp_path):
    found = export(tmp_path / "gate")
    total = float(tia_map().values.sum(dtype=np.float64))
    assert found["tia_mbq_h"] == pytest.approx(total)
    assert found["decays"] == pytest.approx(total * 1e6 * 3600)
    assert found["gy_per_gy_simulated"] == pytest.approx(total * 3.6e9 / 1000)
    assert json.loads((tmp_path / "gate" / "manifest.json").read_text()) == found
    assert found["files"] == {
        f.name: sha256_file(f) for f in (tmp_path / "gate").iterdir() if f.name != "manifest.json"
    }
    assert len(found["files"]) == 7


def test_same_arguments_same_bytes(tmp_path):
    first, second = export(tmp_path / "one"), export(tmp_path / "two")
    assert first == second
    assert export(tmp_path / "three", seed=4)["files"] != first["files"]


def test_densities_are_those_of_the_curve(tmp_path):
    """OpenGATE interpolates the file linearly: that must give the project's density at every CT number."""
    export(tmp_path / "gate")
    hu, density = np.loadtxt(tmp_path / "gate" / "densities.txt", unpack=True)
    assert hu.size == HU_POINTS.size == G_PER_ML_POINTS.size
    grid = np.arange(-1000, 3001)
    assert np.interp(grid, hu, density) == pytest.approx(density_from_hu(grid), rel=1e-5)


def test_ct_is_resampled_in_place_and_metal_is_cut_off():
    fine = Grid((8, 10, 12), (2.0, 2.25, 2.5), (-8.0, 9.875, 11.75))
    hu = np.repeat(np.repeat(np.repeat(np.arange(120).reshape(SHAPE), 2, 0), 2, 1), 2, 2).astype(np.int16)
    hu[:2, :2, :2] = 3000
    ct, outside = ct_on_grid(Volume(hu, fine, "HU"), tia_map())
    expected = np.arange(120).reshape(SHAPE)
    expected[0, 0, 0] = HIGHEST_HU
    assert np.array_equal(ct.values, expected)
    assert outside == 0


def test_a_density_image_does_as_well():
    density = Volume(density_from_hu(np.linspace(-900, 900, 120).reshape(SHAPE)), GRID, "g/mL")
    ct, _ = ct_on_grid(density, tia_map())
    assert density_from_hu(ct.values) == pytest.approx(density.values, abs=1e-3)


def test_activity_in_air_and_outside_the_ct_is_counted(tmp_path):
    values = np.zeros(SHAPE, np.float32)
    values[1, 1, 1], values[1, 2, 2], values[3, 4, 5] = 800, 195, 5
    short = Grid((3, 5, 6), GRID.spacing_mm, GRID.origin_mm)
    hu = np.full(short.shape_zyx, 40, np.int16)
    hu[1, 2, 2] = -1000
    found = export(tmp_path / "gate", Volume(values, GRID, "MBq.h"), Volume(hu, short, "HU"))
    assert found["tia_outside_ct_fraction"] == pytest.approx(0.005)
    assert found["tia_in_air_fraction"] == pytest.approx(0.2)
    ct = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "gate" / "ct.mhd")))
    assert (ct[3] == -1000).all()
    assert (ct == -1000).sum() == 31
    assert (
        "20 % of the time-integrated activity lies in voxels of air" in (tmp_path / "gate" / "README.txt").read_text()
    )


def refused(values: float) -> Volume:
    bad = tia_map().values.copy()
    bad[0, 0, 0] = values
    return Volume(bad, GRID, "MBq.h")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"tia": refused(-1e-3)}, DataError, "can be no source"),
        ({"tia": refused(np.nan)}, DataError, "can be no source"),
        ({"tia": Volume(np.zeros(SHAPE), GRID, "MBq.h")}, DataError, "can be no source"),
        ({"tia": Volume(tia_map().values, GRID, "Bq/mL")}, UnitError, "MBq.h"),
        ({"ct": Volume(np.zeros(SHAPE), GRID, "Bq/mL")}, UnitError, "HU"),
        ({"ct": Volume(np.full(SHAPE, np.nan), GRID, "HU")}, DataError, "no numbers"),
        ({"ct": ct_of(grid=Grid(SHAPE, GRID.spacing_mm, (8.0, 11.0, 13.0)))}, GeometryError, "does not cover"),
        ({"radionuclide": "Tc-99m"}, SettingsError, "isomer"),
        ({"radionuclide": "Lu-178"}, SettingsError, "unknown"),
        ({"histories": 0}, SettingsError, "out of range"),
        ({"histories": 10**12 + 1}, SettingsError, "out of range"),
        ({"seed": -1}, SettingsError, "out of range"),
        ({"seed": 2**31}, SettingsError, "out of range"),
    ],
)
def test_what_cannot_be_simulated_is_refused_and_leaves_nothing(tmp_path, change, error, words):
    with pytest.raises(error, match=words):
        export(tmp_path / "gate", **change)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(tmp_path):
    with pytest.raises(SettingsError, match="exists"):
        export(tmp_path)


def test_a_broken_export_leaves_no_half_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(opengate, "_write_texts", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(tmp_path / "gate")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The exported script, loaded with stand-ins for opengate and itk, which the project does not need."""
    gate = MagicMock(g4_units=SimpleNamespace(m=1000.0, mm=1.0, g_cm3=1.0), __file__="/somewhere/opengate/__init__.py")
    materials = ModuleType("opengate.geometry.materials")
    materials.HounsfieldUnit_to_material = MagicMock(return_value=([[-1050, 3000, "x"]], ["x"]))
    itk = ModuleType("itk")
    itk.imread, itk.imwrite = sitk.ReadImage, sitk.WriteImage
    itk.array_from_image, itk.image_from_array = sitk.GetArrayFromImage, sitk.GetImageFromArray
    for name, module in {
        "opengate": gate,
        "opengate.geometry": MagicMock(),
        materials.__name__: materials,
        "itk": itk,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    export(tmp_path / "gate", tia_map(TURNED), ct_of(grid=TURNED))
    return SimpleNamespace(
        **runpy.run_path(str(tmp_path / "gate" / "simulation.py")), folder=tmp_path / "gate", materials=materials
    )


def test_the_script_holds_the_numbers_of_the_images(script):
    assert (script.HISTORIES, script.SEED, script.ION_Z, script.ION_A) == (1000, 3, 71, 177)
    assert script.SIZE == [6, 5, 4]
    assert script.SPACING_MM == [4.0, 4.5, 5.0]
    assert script.CUT_MM == 0.4
    decays = float(tia_map().values.sum(dtype=np.float64)) * 3.6e9
    assert abs(script.DECAYS / decays - 1) < 1e-9


def test_the_script_builds_the_simulation_from_its_own_folder(script):
    sim, dose, _ = script.build()
    volume, source = sim.add_volume.return_value, sim.add_source.return_value
    assert volume.image == str(script.folder / "ct.mhd")
    assert source.image == str(script.folder / "activity.mhd")
    assert source.particle == "ion 71 177"
    assert source.n == 1000
    assert sim.add_source.call_args.args == ("VoxelSource", "activity")
    _, step, composition, densities = script.materials.HounsfieldUnit_to_material.call_args.args
    assert (step, densities) == (0.01, str(script.folder / "densities.txt"))
    assert composition == "/somewhere/opengate/data/Schneider2000MaterialsTable.txt"
    assert sim.world.size == [2000.0] * 3
    assert sim.physics_manager.enable_decay is True
    assert (dose.size, dose.spacing) == ([6, 5, 4], [4.0, 4.5, 5.0])


def test_the_script_turns_the_dose_of_the_actor_into_gy_on_the_grid_of_the_activity(script):
    (script.folder / "output").mkdir()
    image = sitk.ReadImage(str(script.folder / "activity.mhd")) * 1e-9
    sitk.WriteImage(image, str(script.folder / "output" / "dose_dose.mhd"))
    script.write_dose_gy(script.folder / "output" / "dose_dose.mhd", 500)
    dose = read_volume(script.folder / "output" / "dose_gy.nii.gz")
    tia = right_handed(tia_map(TURNED))
    assert dose.unit == "Gy"
    assert dose.grid.same_as(tia.grid)
    assert dose.values == pytest.approx(tia.values * 1e-9 * script.DECAYS / 500, rel=1e-5)
