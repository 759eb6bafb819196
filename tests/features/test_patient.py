from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.errors import DataError, UnitError
from theradose.features.patient import in_preset_unit, missing_vois, patient_features, resolution_of
from theradose.features.presets import Preset, preset_from
from theradose.features.vois import OK
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.tables import FEATURES, checked

PET_GRID = Grid((12, 14, 16), (8.0, 8.0, 8.0), (-60.0, -50.0, 0.0))
CT_GRID = Grid((24, 28, 32), (4.0, 4.0, 4.0), (-62.0, -52.0, -2.0))
ORGANS = ("kidneys", "liver", "lesions")
SIDECAR = {
    "TracerRadionuclide": "Ga-68",
    "InjectedRadioactivity": 150.0,
    "InjectedRadioactivityUnits": "MBq",
    "InjectionStart": 0,
    "FrameTimesStart": [3600.0],
    "FrameDuration": [180.0],
    "ImageDecayCorrected": True,
    "DecayReference": "administration",
}


def presets() -> dict[str, Preset]:
    def one(modality: str, width: float) -> Preset:
        content = {
            "featureClass": {"firstorder": ["Mean"], "glcm": ["Contrast"], "shape": ["VoxelVolume"]},
            "setting": {"binWidth": width},
        }
        return preset_from(content, modality, modality)

    return {"pet": one("pet", 0.5), "ct": one("ct", 25.0)}


def labels() -> np.ndarray:
    values = np.zeros(PET_GRID.shape_zyx, np.int16)
    values[2:6, 3:7, 2:5] = 5
    values[2:6, 3:7, 10:13] = 6
    values[7:11, 4:10, 4:9] = 7
    return values


def dataset(root: Path, *, ct: bool = True, mask: bool = True, ct_grid: Grid = CT_GRID) -> Dataset:
    """One patient with a PET in Bq/mL, SUV 4 on average, a finer CT, and a mask on the PET's grid."""
    rng = np.random.default_rng(3)
    # SUV = C W / A: 70 kg and 150 MBq make 4 g/mL of 8571.4 Bq/mL.
    pet = Volume((rng.normal(4.0, 0.8, PET_GRID.shape_zyx) * 150e6 / 70e3).astype(np.float32), PET_GRID, "Bq/mL")
    data = Dataset(root)
    images = {"pet": (pet, SIDECAR)}
    if ct:
        images["ct"] = (Volume(rng.normal(40, 30, ct_grid.shape_zyx).astype(np.float32), ct_grid, "HU"), {})
    if mask:
        images["mask"] = (Volume(labels(), PET_GRID, "label"), {})
    rows = []
    for modality, (volume, extra) in images.items():
        file = write_volume(volume, data.image_file("v001", modality), extra)
        time_h = 1.0 if modality == "pet" else np.nan
        row = {"patient": "v001", "session": "ses-pre", "modality": modality, "time_h": time_h}
        rows.append({**row, "file": file.relative_to(root).as_posix()})
    data.write_manifest(pd.DataFrame(rows))
    return data


def take(data: Dataset) -> pd.DataFrame:
    found = patient_features(data, "v001", weight_kg=70.0, presets=presets(), organs=ORGANS, min_voxels=3)
    return checked(found, FEATURES)


def test_pet_is_taken_in_suv_and_ct_on_its_own_grid(tmp_path):
    found = take(dataset(tmp_path))
    assert (found["status"] == OK).all()
    value = found.set_index(["modality", "voi", "feature_class", "feature"])["value"]
    assert value["pet", "liver", "firstorder", "Mean"] == pytest.approx(4.0, abs=0.3)
    assert value["ct", "liver", "firstorder", "Mean"] == pytest.approx(40.0, abs=5)
    assert value["pet", "liver", "shape", "VoxelVolume"] == pytest.approx(120 * 512)
    # Eight CT voxels of 4 mm fill one PET voxel of 8 mm; at the eight corners of the box the mask, seen linearly, is
    # 0.75 to the third, below one half.
    assert value["ct", "liver", "shape", "VoxelVolume"] == pytest.approx((8 * 120 - 8) * 64)


def test_measured_rows_agree_with_the_radiomic_ones(tmp_path):
    found = take(dataset(tmp_path))
    value = found[found["modality"] == "pet"].set_index(["voi", "feature_class", "feature"])["value"]
    for organ in ("kidneys", "liver"):
        assert value[organ, "voi", "mean"] == pytest.approx(value[organ, "firstorder", "Mean"], rel=1e-9)
        volume_ml = value[organ, "shape", "VoxelVolume"] / 1000
        assert value[organ, "voi", "volume_ml"] == pytest.approx(volume_ml, rel=1e-9)


def test_organs_are_merged_and_absent_ones_have_no_row(tmp_path):
    found = take(dataset(tmp_path))
    assert set(found["voi"]) == {"kidneys", "liver"}
    assert missing_vois(found, ["v001", "v002"], ["liver", "lesions"]) == ["v001 lesions", "v002 liver", "v002 lesions"]


def test_a_patient_without_ct_has_pet_rows_and_one_without_mask_none(tmp_path):
    assert set(take(dataset(tmp_path / "a", ct=False))["modality"]) == {"pet"}
    assert take(dataset(tmp_path / "b", mask=False)).empty


def test_an_organ_that_the_grid_of_an_image_does_not_hold_keeps_its_rows_with_the_reason(tmp_path):
    elsewhere = Grid(CT_GRID.shape_zyx, CT_GRID.spacing_mm, (1000.0, 0.0, 0.0))
    found = take(dataset(tmp_path, ct_grid=elsewhere))
    assert set(found.loc[found["modality"] == "ct", "voi"]) == {"kidneys", "liver"}
    assert (found.loc[found["modality"] == "ct", "status"] == "no voxel").all()
    assert (found.loc[found["modality"] == "pet", "status"] == OK).all()


def test_a_pet_in_suv_is_used_as_it_is():
    pet = Volume(np.ones(PET_GRID.shape_zyx, np.float32), PET_GRID, "SUV")
    suv = in_preset_unit(pet, "pet", {}, None)
    assert suv.unit == "g/mL"
    assert suv.values is pet.values


@pytest.mark.parametrize(("unit", "modality"), [("Bq/mL", "pet"), ("HU", "pet"), ("g/mL", "ct")])
def test_an_image_that_cannot_be_brought_to_its_unit_is_refused(unit, modality):
    image = Volume(np.ones(PET_GRID.shape_zyx, np.float32), PET_GRID, unit)
    with pytest.raises(UnitError):
        in_preset_unit(image, modality, {}, None)


def test_a_changed_image_is_refused(tmp_path):
    data = dataset(tmp_path)
    file = data.image_file("v001", "pet")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="changed since intake"):
        take(data)


def test_local_features_stand_beside_the_others_when_the_preset_asks(tmp_path):
    content = {"featureClass": {"firstorder": ["Mean"], "local": ["peak", "tlu"]}, "setting": {"binWidth": 0.5}}
    chosen = {"pet": preset_from(content, "pet", "local")}
    data = dataset(tmp_path)
    found = patient_features(data, "v001", weight_kg=70.0, presets=chosen, organs=ORGANS, min_voxels=3)
    value = checked(found, FEATURES).set_index(["voi", "feature_class", "feature"])["value"]
    mean, volume_ml = value["liver", "voi", "mean"], value["liver", "voi", "volume_ml"]
    assert value["liver", "local", "tlu"] == pytest.approx(mean * volume_ml, rel=1e-6)
    # A sphere of 1 cm3 holds one voxel of 8 mm alone.
    assert value["liver", "local", "peak"] > mean
    assert set(found["filter"]) == {"original"}


def test_a_spect_of_a_cycle_is_taken_in_suv_on_the_mask_it_has_or_on_that_before_therapy(tmp_path):
    data = dataset(tmp_path, ct=False)
    spect = Volume(np.random.default_rng(1).normal(3.0, 0.5, PET_GRID.shape_zyx) * 150e6 / 70e3, PET_GRID, "Bq/mL")
    file = write_volume(spect, data.image_file("v001", "spect", "ses-tx1", 1.0), SIDECAR)
    row = {"patient": "v001", "session": "ses-tx1", "modality": "spect", "time_h": 1.0}
    rows = pd.DataFrame([{**row, "file": file.relative_to(tmp_path).as_posix()}])
    data.write_manifest(pd.concat([data.manifest()[list(rows)], rows], ignore_index=True))
    asked = {"weight_kg": 70.0, "presets": {"spect": presets()["pet"]}, "organs": ORGANS, "min_voxels": 3}
    found = checked(patient_features(data, "v001", session="ses-tx1", **asked), FEATURES)
    assert set(found["session"]) == {"ses-tx1"}
    assert set(found["voi"]) == {"kidneys", "liver"}
    value = found.set_index(["voi", "feature_class", "feature"])["value"]
    assert value["liver", "firstorder", "Mean"] == pytest.approx(3.0, abs=0.2)
    assert patient_features(data, "v001", **asked).empty


def test_a_sharper_pet_is_brought_to_the_resolution_of_the_worst_centre(tmp_path):
    data = dataset(tmp_path)
    asked = {"weight_kg": 70.0, "presets": presets(), "organs": ORGANS, "min_voxels": 3}
    sharp, blurred = (patient_features(data, "v001", fwhm_mm=f, **asked) for f in ((6.0, 6.0), (6.0, 14.0)))
    pd.testing.assert_frame_equal(sharp, patient_features(data, "v001", **asked))
    texture = ((sharp["modality"] == "pet") & (sharp["feature"] == "Contrast")).to_numpy()
    assert texture.any()
    assert (blurred["value"][texture] < sharp["value"][texture]).all()
    same = (sharp["modality"] == "ct").to_numpy()
    pd.testing.assert_frame_equal(sharp[same], blurred[same])


def test_every_centre_or_none_has_its_resolution_stated():
    assert resolution_of("north", {}) is None
    assert resolution_of("north", {"north": 6.0, "south": 7.5}) == (6.0, 7.5)
    with pytest.raises(DataError, match=r"THR-440 .*east.*north, south"):
        resolution_of("east", {"north": 6.0, "south": 7.5})
