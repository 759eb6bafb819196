"""Registering and fetching models, and the model that MLflow serves."""

import json
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from theradose.errors import DataError
from theradose.models.new_patients import COLUMNS, predict_new
from theradose.models.patient_plan import PlanRequest, plan_patient
from theradose.models.store import load_model
from theradose.ops import registry, tracking
from theradose.ops.served_model import served

ACCOUNT = "qxz-account"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a prepared tracking store, the working directory of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("registry")
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"{tracking.SQLITE}{folder / tracking.DATABASE}")
        patch.setenv("LOGNAME", ACCOUNT)
        out = folder / "tracking.json"
        tracking.initialise(tracking.default_uri(), study="demo", title="", settings={}, watched={}, out=out)
        yield out


@pytest.fixture(scope="module")
def registered(store, model_folder, table):
    example = registry.input_example(model_folder, table)
    return registry.register(store, name="organ-dose", folder=model_folder, example=example, tags={"study": "demo"})


def test_the_served_table_is_that_of_new_patients_with_reasons_as_text(model_folder, table):
    trained = load_model(model_folder)
    rows = table.head(2).copy()
    rows.loc[0, "physics.pet_suv_mean"] = 1e4
    found, ours = served(trained, rows), predict_new(trained, rows)
    assert found.drop(columns="reasons").equals(ours.drop(columns="reasons"))
    assert "outside the training range" in found["reasons"][0]
    assert found["reasons"][1] == ""


def test_a_model_asks_only_for_the_columns_it_uses(other_folder, table):
    example = registry.input_example(other_folder, table)
    assert list(example.columns) == [
        "patient", "voi", "physics.pet_suv_mean", "physics.volume_ml", "physics.weight_kg",
    ]  # fmt: skip
    assert list(example["voi"]) == ["kidneys", "liver"]
    assert set(example.dtypes[2:].astype(str)) == {"float64"}


def test_the_example_is_no_patient_but_the_middle_of_all(model_folder, table):
    example = registry.input_example(model_folder, table)
    assert not set(example["patient"]) & set(table["patient"])
    for _, row in example.iterrows():
        suvs = table.loc[table["voi"] == row["voi"], "physics.pet_suv_mean"]
        assert row["physics.pet_suv_mean"] == pytest.approx(suvs.median())
        assert row["physics.pet_suv_mean"] not in set(suvs)  # 16 patients: between two


def test_neither_database_nor_artefacts_name_the_account_or_the_program(registered, store):
    assert registered.uri
    files = [file for file in store.parent.rglob("*") if file.is_file()]
    assert {"MLmodel", tracking.DATABASE} <= {file.name for file in files}
    assert [file.name for file in files if ACCOUNT.encode() in file.read_bytes()] == []
    (model,) = MlflowClient(tracking.default_uri()).search_logged_models(["1"])
    assert {model.tags[f"mlflow.{name}"] for name in ("user", "source.name")} == {"theradose"}


def test_a_registered_model_is_champion_with_signature_example_and_tags(registered, model_folder):
    client = MlflowClient(tracking.default_uri())
    version = client.get_model_version_by_alias("organ-dose", "champion")
    assert str(version.version) == registered.version == "1"
    assert version.tags["study"] == "demo"
    assert version.tags["model_digest"] == registry.model_digest(model_folder) == registered.digest
    info = mlflow.models.get_model_info(registered.uri)
    names = [column.name for column in info.signature.inputs]
    assert names[:2] == ["patient", "voi"]
    assert "physics.pet_suv_mean" in names
    assert [column.name for column in info.signature.outputs] == list(COLUMNS)
    assert info.saved_input_example_info is not None


def test_the_version_of_its_data_can_be_written_on_a_model_afterwards(store, registered):
    registry.set_version_tags(store, registered.uri, {"dvc_data": "abc.dir"})
    tags = MlflowClient(tracking.default_uri()).get_model_version("organ-dose", registered.version).tags
    assert tags["dvc_data"] == "abc.dir"


def test_a_registered_model_predicts_the_same_numbers_and_holds_no_pickle(registered, model_folder, table):
    trained = load_model(model_folder)
    rows = registry.input_example(model_folder, table)
    found = mlflow.pyfunc.load_model(registered.uri).predict(rows)
    assert found.equals(served(trained, rows))
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=registered.uri))
    assert not [f for f in folder.rglob("*") if f.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".pth"}]


def test_the_served_model_plans_when_it_is_asked_for_cycles(registered, model_folder, table):
    trained, rows = load_model(model_folder), registry.input_example(model_folder, table)
    loaded = mlflow.pyfunc.load_model(registered.uri)
    found = loaded.predict(rows, params={"cycles": 4, "probability": 0.1})
    expected = plan_patient(trained, predict_new(trained, rows), PlanRequest(4, 0.1), radionuclide="Lu-177").plan
    assert found["activity_gbq"].tolist() == [expected.activity_gbq]
    assert found["binding_organ"].tolist() == [expected.binding_organ]
    assert "research" in found["research_use_only"][0].lower()
    strict = loaded.predict(rows, params={"cycles": 4, "probability": 0.01})
    assert strict["activity_gbq"][0] < found["activity_gbq"][0]


def test_a_refused_plan_has_a_reason_and_no_number(registered, model_folder, table):
    rows = registry.input_example(model_folder, table)
    rows["physics.pet_suv_mean"] *= 1e4
    found = mlflow.pyfunc.load_model(registered.uri).predict(rows, params={"cycles": 4})
    assert found["activity_gbq"].tolist() == [None]
    assert "in doubt" in found["refused"][0]
    answer = json.loads(json.dumps(found.to_dict(orient="records"), allow_nan=False))
    assert answer[0]["total_gbq"] is None


def test_the_same_bytes_get_no_new_version_and_other_bytes_do(store, registered, model_folder, other_folder, table):
    example = registry.input_example(other_folder, table)
    other = registry.register(store, name="organ-dose", folder=other_folder, example=example, tags={})
    assert (other.version, other.is_new) == ("2", True)
    back = registry.register(store, name="organ-dose", folder=model_folder, example=example, tags={})
    assert (back.version, back.is_new) == ("1", False)
    client = MlflowClient(tracking.default_uri())
    assert str(client.get_model_version_by_alias("organ-dose", "champion").version) == "1"
    assert len(client.search_model_versions("name = 'organ-dose'")) == 2


def test_a_fetched_model_is_the_folder_that_was_registered(registered, model_folder):
    for uri in ("models:/organ-dose@champion", registered.uri):
        folder = registry.fetch_model(uri)
        assert registry.model_digest(folder) == registry.model_digest(model_folder)


def test_an_unknown_model_is_named_with_its_remedy(store):
    with pytest.raises(DataError, match=r"models:/nobody@champion.*make ui"):
        registry.fetch_model("models:/nobody@champion")
