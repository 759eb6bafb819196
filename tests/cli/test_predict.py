"""The `theradose predict` command: a model trained on made patients, a folder of a new one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from theradose.cli.main import app as planner
from theradose.cli.predict import predict
from theradose.cohort.layout import Dataset
from theradose.errors import EXIT_QUARANTINED, EXIT_REFUSED, DataError
from theradose.features.covariates import assemble
from theradose.features.patient import patient_features
from theradose.features.presets import preset_from
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import sidecar, write_volume
from theradose.imaging.volume import Volume
from theradose.models.examples import examples_of
from theradose.models.linear import HybridDose
from theradose.models.organ_dose import calibrate, card
from theradose.models.predictors import TrainingPlan
from theradose.models.seen_images import seen
from theradose.models.store import Trained, save_model
from theradose.models.tiac import calibrate as calibrate_tiac
from theradose.models.tiac import card as tiac_card
from theradose.models.tiac_examples import nuclides_for, tiac_examples
from theradose.models.tiac_predictors import TiacHybrid
from theradose.physics.nuclides import nuclide
from theradose.physics.translation import one_term_tiac_h
from theradose.tables import PARTICIPANTS, write_table
from theradose.vocabulary import RESEARCH_USE_ONLY

ORGANS = ("kidneys", "liver")
GRID = Grid((8, 9, 10), (8.0, 8.0, 8.0))
# Brought to other voxels than the images have, so that a model which forgets them would be seen.
PRESET = {
    "featureClass": {"firstorder": ["Mean", "Variance"], "shape": ["VoxelVolume"]},
    "setting": {"binWidth": 0.5, "resampledPixelSpacing": [6.0, 6.0, 6.0], "interpolator": "sitkLinear"},
}
WEIGHT_KG, INJECTED_MBQ = 80.0, 150.0
SIDECAR = {
    "TracerRadionuclide": "Ga-68", "InjectedRadioactivity": INJECTED_MBQ, "InjectedRadioactivityUnits": "MBq",
    "InjectionStart": 0, "FrameTimesStart": [3600.0], "FrameDuration": [180.0], "ImageDecayCorrected": True,
    "DecayReference": "administration", "Virtual": True,
}  # fmt: skip
app = typer.Typer()
app.command()(predict)


def cohort(root: Path, suvs: dict[str, float], *, administered_mbq: float = 7400.0) -> Dataset:
    """Write a data set of patients with kidneys of the given SUV and a liver of a third of it."""
    rng = np.random.default_rng(4)
    labels = np.zeros(GRID.shape_zyx, np.int16)
    labels[1:4, 1:4, 1:4], labels[1:4, 5:8, 1:4], labels[4:7, 2:7, 4:9] = 5, 6, 7
    data, rows = Dataset(root), []
    for patient, suv in suvs.items():
        level = np.select([np.isin(labels, (5, 6)), labels == 7], [suv, suv / 3.0], 0.5)
        pet = level * rng.normal(1.0, 0.05, GRID.shape_zyx) * INJECTED_MBQ * 1e6 / (WEIGHT_KG * 1e3)
        images = {
            "pet": (Volume(pet.astype(np.float32), GRID, "Bq/mL"), SIDECAR),
            "ct": (Volume(rng.normal(40, 20, GRID.shape_zyx).astype(np.float32), GRID, "HU"), {}),
            "mask": (Volume(labels, GRID, "label"), {}),
        }
        for modality, (volume, extra) in images.items():
            file = write_volume(volume, data.image_file(patient, modality), extra)
            row = {"patient": patient, "session": "ses-pre", "modality": modality}
            time_h = 1.0 if modality == "pet" else np.nan
            rows.append({**row, "time_h": time_h, "file": file.relative_to(root).as_posix()})
    data.write_manifest(pd.DataFrame(rows))
    people = pd.DataFrame({"patient": list(suvs), "centre": "north", "weight_kg": WEIGHT_KG, "height_cm": 175.0})
    people = people.assign(administered_mbq=administered_mbq, radionuclide="Lu-177")
    write_table(people, data.participants_file, PARTICIPANTS)
    return data


def train(root: Path) -> Path:
    """Train a model on made patients whose kidneys get 0.1 Gy/GBq for each SUV, and the liver 0.05."""
    rng = np.random.default_rng(5)
    suvs = {f"v{i:03d}": float(suv) for i, suv in enumerate(rng.uniform(5.0, 20.0, 12))}
    data = cohort(root / "data", suvs)
    presets = {modality: preset_from(PRESET, modality, modality) for modality in ("pet", "ct")}
    features = pd.concat(
        patient_features(data, p, weight_kg=WEIGHT_KG, presets=presets, organs=ORGANS, min_voxels=3) for p in suvs
    )
    covariates, manifest = assemble(features, data.participants(), list(suvs), ORGANS)
    factor = {"kidneys": 0.1, "liver": 0.05}
    doses = pd.DataFrame(
        [
            {"patient": p, "voi": organ, "dose_gy_per_gbq": k * suv * np.exp(0.02 * rng.normal())}
            for p, suv in suvs.items()
            for organ, k in factor.items()
        ]
    )
    splits = pd.DataFrame({"patient": list(suvs), "partition": "train", "centre": "north"})
    models, calibration, cards = {}, {}, {}
    for organ in ORGANS:
        examples = examples_of(organ, covariates, doses, splits, list(manifest["column"]))
        models[organ] = HybridDose(k=3)
        models[organ].fit(examples, seed=1, training=TrainingPlan())
        calibration[organ] = calibrate(examples, models[organ].predict(examples))
        cards[organ] = card(examples)
    about = {"kind": "organ_dose", "experiment": "organs", "predictor": "hybrid", "interval": 0.9, "parts": cards}
    resolved = {modality: preset.recipe for modality, preset in presets.items()}
    about["images"] = seen(data, list(suvs))
    about["radiomics"] = {"settings": {"min_voxels": 3}, "presets": resolved}
    save_model(root / "model", Trained(models, calibration, about))
    return root / "model"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("trained"))


def train_tiac(root: Path) -> Path:
    """Train a model on patients whose kidneys take up 0.1 % of the activity for each SUV, with T_bio 50 h."""
    rng = np.random.default_rng(5)
    suvs = {f"v{i:03d}": float(suv) for i, suv in enumerate(rng.uniform(5.0, 20.0, 12))}
    data = cohort(root / "data", suvs)
    presets = {modality: preset_from(PRESET, modality, modality) for modality in ("pet", "ct")}
    features = pd.concat(
        patient_features(data, p, weight_kg=WEIGHT_KG, presets=presets, organs=ORGANS[:1], min_voxels=3) for p in suvs
    )
    covariates, manifest = assemble(features, data.participants(), list(suvs), ORGANS[:1])
    found = pd.DataFrame(
        {"patient": list(suvs), "voi": "kidneys", "t_bio_h": 50.0 * np.exp(0.02 * rng.normal(size=12))}
    )
    fraction = 0.001 * np.array(list(suvs.values())) * np.exp(0.02 * rng.normal(size=12))
    for name in nuclides_for("Lu-177"):
        found[name] = one_term_tiac_h(fraction, found["t_bio_h"], nuclide(name).half_life_h)
    splits = pd.DataFrame({"patient": list(suvs), "partition": "train", "centre": "north"})
    columns = list(manifest["column"])
    examples = tiac_examples("kidneys", covariates, found=found, splits=splits, columns=columns, radionuclide="Lu-177")
    model = TiacHybrid(uptake_k=3, t_bio_k=3)
    model.fit(examples, seed=1, training=TrainingPlan())
    calibration = calibrate_tiac(examples, model.predict(examples))
    about = {"kind": "tiac", "experiment": "tiac", "predictor": "tiac_hybrid", "interval": 0.9}
    about |= {"parts": {"kidneys": tiac_card(examples)}, "images": seen(data, list(suvs))}
    resolved = {modality: preset.recipe for modality, preset in presets.items()}
    about["radiomics"] = {"settings": {"min_voxels": 3}, "presets": resolved}
    save_model(root / "model", Trained({"kidneys": model}, {"kidneys": calibration}, about))
    return root / "model"


@pytest.fixture(scope="module")
def tiac_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiac(tmp_path_factory.mktemp("trained_tiac"))


def call(folder: Path, model: Path, *options: str):
    return CliRunner().invoke(app, [str(folder), "--model", str(model), *options], catch_exceptions=False)


def test_new_patient_gets_dose_interval_and_gray_for_the_activity(tmp_path, model):
    cohort(tmp_path, {"new": 12.0}, administered_mbq=5000.0)
    report = json.loads(call(tmp_path, model, "--json").stdout)
    assert report["notice"] == RESEARCH_USE_ONLY
    (patient,) = report["patients"]
    assert patient["patient"] == "new"
    assert patient["virtual"] is True
    organs = {entry["organ"]: entry for entry in patient["organs"]}
    assert organs["kidneys"]["dose_gy_per_gbq"]["point"] == pytest.approx(1.2, rel=0.1)
    assert organs["liver"]["dose_gy_per_gbq"]["point"] == pytest.approx(0.6, rel=0.1)
    for entry in organs.values():
        per_gbq, gy = entry["dose_gy_per_gbq"], entry["dose_gy"]
        assert per_gbq["low"] < per_gbq["point"] <= per_gbq["median"] < per_gbq["high"]
        assert gy == pytest.approx({name: 5.0 * value for name, value in per_gbq.items()})
        assert entry["in_doubt"] is False


def test_uptake_never_seen_is_in_doubt_with_its_reason(tmp_path, model):
    cohort(tmp_path, {"hot": 90.0, "usual": 12.0})
    report = json.loads(call(tmp_path, model, "--json").stdout)
    doubt = {(p["patient"], o["organ"]): o["reasons"] for p in report["patients"] for o in p["organs"]}
    assert "physics.pet_suv_mean" in doubt["hot", "kidneys"][0]
    assert "outside the training range" in doubt["hot", "kidneys"][0]
    assert doubt["usual", "kidneys"] == []


def test_a_pet_of_another_tracer_or_centre_is_in_doubt(tmp_path, model, monkeypatch):
    data = cohort(tmp_path, {"n001": 12.0})
    people = data.participants().assign(centre="east")
    write_table(people, data.participants_file, PARTICIPANTS)
    file = sidecar(data.image_file("n001", "pet"))
    file.write_text(file.read_text().replace("Ga-68", "F-18"))
    found = json.loads(call(tmp_path, model, "--json").stdout)
    reasons = " ".join(str(one) for one in found["patients"])
    assert "PET tracer F-18, the model learned from Ga-68" in reasons
    assert "centre east was not among those learned from (north)" in reasons


def test_page_for_people_says_what_it_is(tmp_path, model):
    cohort(tmp_path, {"new": 12.0}, administered_mbq=np.nan)
    page = call(tmp_path, model).stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    assert "Patient new (virtual), unknown activity" in page
    assert "Gy/GBq" in page
    assert "- (- to -)" in page  # no activity, no gray


def test_model_that_does_not_carry_its_presets_is_refused(tmp_path, model):
    cohort(tmp_path / "data", {"new": 12.0})
    record = json.loads((model / "model.json").read_text())
    del record["card"]["radiomics"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").write_text(json.dumps(record))
    (tmp_path / "model/weights.safetensors").write_bytes((model / "weights.safetensors").read_bytes())
    with pytest.raises(DataError, match="how its features are extracted"):
        call(tmp_path / "data", tmp_path / "model")


def test_one_bad_patient_does_not_stop_the_others(tmp_path, model):
    data = cohort(tmp_path, {"bad": 12.0, "good": 12.0})
    data.image_file("bad", "pet").unlink()
    result = call(tmp_path, model, "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == EXIT_QUARANTINED
    assert [patient["patient"] for patient in report["patients"]] == ["good"]
    (refused,) = report["refused"]
    assert refused["patient"] == "bad"
    assert "missing" in refused["reason"]
    data.image_file("good", "pet").unlink()
    result = call(tmp_path, model)
    assert result.exit_code == EXIT_REFUSED
    assert "Patient good: refused" in result.stdout


def plans(folder: Path, model: Path, *options: str):
    command = [str(folder), "--model", str(model), "--t-eff-h", "kidneys=50", *options]
    return CliRunner().invoke(planner, ["plan", *command], catch_exceptions=False)


def test_a_plan_for_each_patient_with_a_page_and_the_reason_why_there_is_none(tmp_path, model):
    cohort(tmp_path / "data", {"hot": 90.0, "usual": 12.0})
    result = plans(tmp_path / "data", model, "--cycles", "4", "--joint", "--json", "--report", str(tmp_path / "out"))
    assert result.exit_code == EXIT_QUARANTINED
    report = json.loads(result.stdout)
    assert report["notice"] == RESEARCH_USE_ONLY
    found = {patient["patient"]: patient for patient in report["patients"]}
    assert found["hot"]["plan"] is None
    assert "outside the training range" in found["hot"]["reason"]
    plan = found["usual"]["plan"]
    assert (plan["binding_organ"], plan["total_gbq"]) == ("kidneys", pytest.approx(4 * plan["activity_gbq"]))
    assert "any limit" in plan["probability_of"]
    assert plan["any_probability"] == pytest.approx(0.05)
    [median] = [o["dose_gy_per_gbq"]["median"] for o in found["usual"]["organs"] if o["organ"] == "kidneys"]
    # Errors of 2 %: a little below the activity that gives the kidneys a BED of 40 Gy.
    dose = plan["activity_gbq"] * median
    assert 36.0 < 4 * (dose + dose**2 * (2.8 / 52.8) / 2.6) < 40.0
    assert report["pages"] == ["plan-hot.html", "plan-usual.html"]
    page = (tmp_path / "out/plan-usual.html").read_text(encoding="utf-8")
    for words in (
        RESEARCH_USE_ONLY,
        "VIRTUAL",
        f"{plan['activity_gbq']:.2f} GBq",
        "BED 40",
        "Bodei",
        "any limit is exceeded",
    ):
        assert words in page
    assert str(tmp_path) not in page
    refused = (tmp_path / "out/plan-hot.html").read_text(encoding="utf-8")
    assert "No plan." in refused
    assert "GBq in" not in refused
    text = plans(tmp_path / "data", model, "--cycles", "4").stdout
    assert "held by the BED limit of kidneys" in text
    assert "not predicted, so not held: marrow" in text


def test_earlier_cycles_belong_to_one_patient(tmp_path, model):
    cohort(tmp_path, {"a": 12.0, "b": 12.0})
    done = plans(tmp_path, model, "--given-gy", "kidneys=5", "--json")
    assert json.loads(done.stdout)["refused"] == "wrong_given"
    assert json.loads(plans(tmp_path, model, "--given-gy", "spleen=5", "--json").stdout)["refused"] == "wrong_organ"


def test_a_model_of_tiacs_says_them_for_every_radionuclide(tmp_path, tiac_model):
    cohort(tmp_path, {"new": 12.0})
    report = json.loads(call(tmp_path, tiac_model, "--json").stdout)
    assert (report["notice"], report["model"]["kind"]) == (RESEARCH_USE_ONLY, "tiac")
    ((organ,),) = [patient["organs"] for patient in report["patients"]]
    assert (organ["organ"], organ["in_doubt"]) == ("kidneys", False)
    for name in ("Lu-177", "Y-90", "I-131"):
        own, half_life_h = organ["radionuclides"][name], nuclide(name).half_life_h
        assert own["tiac_h"]["point"] == pytest.approx(float(one_term_tiac_h(0.012, 50.0, half_life_h)), rel=0.1)
        assert own["tiac_h"]["low"] < own["tiac_h"]["median"] < own["tiac_h"]["high"]
        assert own["t_eff_h"] == pytest.approx(1.0 / (1.0 / 50.0 + 1.0 / half_life_h), rel=0.05)


def test_page_of_tiacs_is_for_people(tmp_path, tiac_model):
    cohort(tmp_path, {"hot": 90.0})
    page = call(tmp_path, tiac_model).stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    assert "TIAC (interval), h" in page
    assert [line.split()[0] for line in page.splitlines() if "Y-90" in line] == ["Y-90"]
    assert "outside the training range" in page
