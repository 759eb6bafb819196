"""The door to MLflow's model registry: register a model once, name the best, fetch a registered one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature

from theradose import __version__
from theradose.errors import DataError, Where
from theradose.models.new_patients import input_columns
from theradose.models.store import MODEL_FILE, WEIGHTS_FILE, load_model
from theradose.ops import served_model
from theradose.ops.served_model import MODEL_ARTIFACT, PARAMS, served
from theradose.ops.tracking import default_uri, open_run, read_record
from theradose.provenance import digest, sha256_file

CHAMPION = "champion"
DIGEST_TAG = "model_digest"
REGISTRY_PREFIX = "models:/"


@dataclass(frozen=True)
class Registered:
    """A version of a registered model."""

    name: str
    version: str
    digest: str
    is_new: bool

    @property
    def uri(self) -> str:
        """The address of exactly this version."""
        return f"{REGISTRY_PREFIX}{self.name}/{self.version}"


def model_digest(folder: Path) -> str:
    """Return 16 digits that stand for the bytes of a model folder."""
    return digest([sha256_file(folder / name) for name in (MODEL_FILE, WEIGHTS_FILE)])


def input_example(folder: Path, covariates: pd.DataFrame) -> pd.DataFrame:
    """Return rows as the model reads them, a VOI each: the medians of all patients, since no patient leaves with it."""
    columns = input_columns(load_model(folder))
    numbers = covariates.reindex(columns=["voi", *columns]).astype(dict.fromkeys(columns, "float64"))
    example: pd.DataFrame = numbers.groupby("voi", as_index=False).median()
    example.insert(0, "patient", "example")
    return example


def _known_version(client: MlflowClient, name: str, known: str) -> str | None:
    """Return the version of a registered model that holds these bytes, if there is one."""
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST_TAG}` = '{known}'")
    return str(found[0].version) if found else None


def _log(run_id: str, name: str, folder: Path, example: pd.DataFrame) -> str:
    """Log a model folder to a run, register it and return the version."""
    signature = infer_signature(example, served(load_model(folder), example), params=PARAMS)
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(served_model.__file__),
            artifacts={MODEL_ARTIFACT: str(folder)},
            signature=signature,
            input_example=example,
            pip_requirements=[f"theradose=={__version__}"],
            registered_model_name=name,
        )
    return str(logged.registered_model_version)


def register(tracking: Path, *, name: str, folder: Path, example: pd.DataFrame, tags: Mapping[str, str]) -> Registered:
    """Register a model folder under `name` and call it champion; bytes registered before get no new version."""
    uri = read_record(tracking)["uri"]
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    known = model_digest(folder)
    version = _known_version(client, name, known)
    is_new = version is None
    if version is None:
        with open_run(tracking, "register", {DIGEST_TAG: known}) as run:
            version = _log(run.run_id, name, folder, example)
            for key, value in {**tags, DIGEST_TAG: known}.items():
                client.set_model_version_tag(name, version, key, value)
    client.set_registered_model_alias(name, CHAMPION, version)
    return Registered(name, version, known, is_new)


def set_version_tags(tracking: Path, uri: str, tags: Mapping[str, str]) -> None:
    """Write tags on a version of a registered model, addressed as models:/name/version."""
    name, version = uri.removeprefix(REGISTRY_PREFIX).rsplit("/", 1)
    client = MlflowClient(read_record(tracking)["uri"])
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)


def fetch_model(uri: str, tracking_uri: str | None = None) -> Path:
    """Return the model folder behind an address such as models:/theradose-organ-dose@champion.

    DataError when the registry has no such model.
    """
    mlflow.set_tracking_uri(tracking_uri or default_uri())
    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except MlflowException as error:
        raise DataError(
            "the registry has no such model",
            where=Where(file=uri),
            got=error,
            remedy="see `make ui`, Models; or name a model folder, e.g. models/demo/organ_dose/ridge",
            code="THR-501",
        ) from error
    found = sorted(folder.rglob(f"artifacts/**/{MODEL_FILE}"))
    if not found:
        raise DataError("the registered model is not one of ours", where=Where(file=uri), code="THR-502")
    return found[0].parent
