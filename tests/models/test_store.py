import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from theradose.errors import DataError
from theradose.models.linear import RidgeDose
from theradose.models.organ_dose import calibrate, card
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained, load_model, load_trained, save_model, save_out_of_fold


@pytest.fixture
def trained(organ_examples):
    training, _, _ = organ_examples()
    model = RidgeDose(k=4)
    model.fit(training, seed=1, training=TrainingPlan())
    guesses = model.predict(training) + 0.1
    cards = {"kind": "organ_dose", "predictor": "ridge", "interval": 0.9, "parts": {"kidneys": card(training)}}
    return Trained({"kidneys": model}, {"kidneys": calibrate(training, guesses)}, cards, {"kidneys": guesses}), training


def test_round_trip(tmp_path, trained):
    model, training = trained
    save_model(tmp_path / "model", model)
    save_out_of_fold(tmp_path, model.out_of_fold)
    again = load_trained(tmp_path / "model")
    assert (
        again.predictors["kidneys"].predict(training).tobytes()
        == model.predictors["kidneys"].predict(training).tobytes()
    )
    assert (again.calibration["kidneys"]["log_residuals"] == model.calibration["kidneys"]["log_residuals"]).all()
    assert (again.out_of_fold["kidneys"] == model.out_of_fold["kidneys"]).all()
    assert again.card == model.card


def test_same_model_same_bytes(tmp_path, trained):
    first = [path.read_bytes() for path in save_model(tmp_path / "a", trained[0])]
    assert first == [path.read_bytes() for path in save_model(tmp_path / "b", load_model(tmp_path / "a"))]


def test_model_folder_holds_no_patient(tmp_path, trained):
    model, training = trained
    for path in save_model(tmp_path, model):
        assert not any(patient.encode() in path.read_bytes() for patient in training.patients)
    residuals = load_model(tmp_path).calibration["kidneys"]["log_residuals"]
    assert (np.diff(residuals) >= 0).all()  # sorted: their order says nothing about who is who


def test_missing_file_and_other_format_are_refused(tmp_path, trained):
    save_model(tmp_path, trained[0])
    record = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**record, "format": 99}))
    with pytest.raises(DataError, match="another format"):
        load_model(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(DataError, match="not complete"):
        load_model(tmp_path)


def test_out_of_fold_predictions_must_be_there(tmp_path, trained):
    save_model(tmp_path / "model", trained[0])
    with pytest.raises(DataError, match="out-of-fold"):
        load_trained(tmp_path / "model")


def pickled(path):
    path.write_bytes(pickle.dumps({"slope": [1.0, 2.0]}))


def truncated(path):
    path.write_bytes(path.read_bytes()[:-9])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


def foreign(path):
    save_file({"kidneys/predictor/other": np.ones(3)}, path)


SPOILED = {"pickled": pickled, "truncated": truncated, "one bit": flipped, "foreign": foreign, "empty": Path.touch}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_weights_that_are_not_the_models_are_refused(tmp_path, trained, spoil):
    save_model(tmp_path / "model", trained[0])
    weights = tmp_path / "model" / "weights.safetensors"
    if spoil is Path.touch:
        weights.unlink()
    spoil(weights)
    with pytest.raises(DataError, match=r"^THR-430 weights are not those .* file model/weights.safetensors · got sha"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [(pickled, "weights cannot be read"), (truncated, "weights cannot be read"), (foreign, "cannot be built")],
)
def test_without_a_recorded_hash_weights_must_still_be_weights(tmp_path, trained, spoil, what):
    save_model(tmp_path, trained[0])
    record = json.loads((tmp_path / "model.json").read_text())
    del record["weights_sha256"]
    (tmp_path / "model.json").write_text(json.dumps(record))
    load_model(tmp_path)  # a model of an earlier version
    spoil(tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=rf"^THR-430 .*{what}"):
        load_model(tmp_path)


def test_every_cut_of_a_model_file_is_refused(tmp_path, trained):
    save_model(tmp_path, trained[0])
    whole = (tmp_path / "model.json").read_bytes()
    for length in range(0, len(whole) - 2, max(len(whole) // 40, 1)):
        (tmp_path / "model.json").write_bytes(whole[:length])
        with pytest.raises(DataError, match="THR-430"):
            load_model(tmp_path)


def test_a_model_of_an_unknown_predictor_is_refused(tmp_path, trained):
    save_model(tmp_path, trained[0])
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"predictor": "ridge"', '"predictor": "oracle"'))
    with pytest.raises(DataError, match=r"THR-430 model cannot be built.*oracle"):
        load_model(tmp_path)


def test_damaged_out_of_fold_predictions_are_refused(tmp_path, trained):
    save_model(tmp_path / "model", trained[0])
    truncated(save_out_of_fold(tmp_path, trained[0].out_of_fold))
    with pytest.raises(DataError, match=r"THR-430.*out_of_fold.safetensors"):
        load_trained(tmp_path / "model")
