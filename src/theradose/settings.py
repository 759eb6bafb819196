"""Typed, frozen settings of a study; the only module that reads YAML. Schema and defaults are generated from it."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from theradose.errors import SettingsError, Where
from theradose.vocabulary import ORGANS

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the settings: unknown keys are refused and values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VirtualSettings(Section):
    """The virtual cohort: how many patients, on which grid, seen by which centres."""

    patients: Annotated[int, Field(ge=1, le=100000)] = 30
    ligand: Literal["psma"] = "psma"
    spacing_mm: Annotated[float, Field(ge=2, le=10)] = 8.0
    centres: tuple[Name, ...] = ("north", "south")
    spect_times_h: tuple[Positive, ...] = (4.0, 24.0, 72.0, 168.0)
    difficulty: Literal["xue_like", "hagmarker_like", "hard"] = "xue_like"
    texture_coupling: Fraction = 0.6


class CohortSettings(Section):
    """The data set: `virtual` makes it, `folder` finds it under data/ as `theradose import` left it."""

    name: Name = "demo"
    source: Literal["virtual", "folder"] = "virtual"
    virtual: VirtualSettings = VirtualSettings()
    exclude: tuple[str, ...] = ()


class CheckSettings(Section):
    """What happens to a patient whose data are faulty: quarantine, or stop the study when `strict`."""

    strict: bool = False
    require: tuple[Literal["pet", "ct", "spect", "mask"], ...] = ("pet", "ct", "spect", "mask")
    max_time_h: Positive = 336.0


class QuantifySettings(Section):
    """From SPECT images to activity in VOIs: registration, correction of spill-over, relative uncertainties."""

    register_time_points: bool = False
    max_shift_mm: Positive = 50.0
    min_overlap: Fraction = 0.5
    recovery: Literal["none", "coefficient", "geometric_transfer"] = "geometric_transfer"
    fwhm_mm: Positive | None = None
    calibration_uncertainty: Fraction = 0.03  # common to all scans
    scan_variation: Fraction = 0.03  # new in each scan
    fwhm_uncertainty: Fraction = 0.05
    outline_fwhm_mm: Positive = 2.0  # resolution of the image on which VOIs were outlined
    decay_reference: Literal["as_declared", "administration", "scan_start", "none"] = "as_declared"


# Half-times of uptake and effective half-lives of 177Lu-PSMA that stand in when a study says nothing else; the virtual
# patients use the same uptake. Remainder, lungs and bladder only touch the dose map.
UPTAKE_HALF_TIME_H = {
    "kidneys": 0.5, "parotids": 1.0, "submandibulars": 1.0, "lacrimals": 1.0,
    "liver": 0.75, "spleen": 0.75, "marrow": 0.5, "lesions": 2.0,
}  # fmt: skip
POPULATION_T_EFF_H = {
    "kidneys": 32.0, "parotids": 25.0, "submandibulars": 25.0, "lacrimals": 25.0,
    "liver": 31.0, "spleen": 35.0, "marrow": 25.0, "lesions": 52.0,
    "remainder": 11.0, "lungs": 11.0, "bladder": 11.0,
}  # fmt: skip


class KineticsSettings(Section):
    """Fits of time-activity curves; a refused fit takes the population's effective half-life, declared here."""

    models: tuple[str, ...] = ("mono", "mono_uptake", "bi")
    uptake_half_time_h: dict[str, Positive] = UPTAKE_HALF_TIME_H
    population_t_eff_h: dict[str, Positive] = POPULATION_T_EFF_H
    population_t_eff_cv: Fraction = 0.25
    tail_flag: Fraction = 0.40

    @field_validator("uptake_half_time_h", "population_t_eff_h", mode="before")
    @classmethod
    def _organs_left_out_keep_their_default(cls, given: Any, info: ValidationInfo) -> Any:
        defaults = {"uptake_half_time_h": UPTAKE_HALF_TIME_H, "population_t_eff_h": POPULATION_T_EFF_H}
        return {**defaults[str(info.field_name)], **given} if isinstance(given, Mapping) else given


class DoseSettings(Section):
    """The dose engine and the density that turns VOI volume into mass."""

    engine: str = "kernel"
    density_g_per_ml: Annotated[float, Field(gt=0.2, lt=3)] = 1.04
    dvh_bins: Annotated[int, Field(ge=10, le=1000)] = 100


class SplitSettings(Section):
    """Who is trained on and who is kept back; by patient, stratified."""

    scheme: Literal["holdout", "kfold", "thirds", "by_centre"] = "holdout"
    test_fraction: Fraction = 0.33
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    test_centre: str | None = None
    stratify_by: Literal["centre", "none"] = "centre"


class NormaliseSettings(Section):
    """How images are put on a common scale for networks."""

    spacing_mm: Annotated[float, Field(ge=2, le=16)] = 8.0
    pet_scale_suv: Positive = 10.0
    ct_window_hu: tuple[float, float] = (-160.0, 240.0)


class AugmentSettings(Section):
    """Random copies of training images; every draw is recorded. Flips are off where labels have a side."""

    copies: Annotated[int, Field(ge=0, le=100)] = 4
    rotation_deg: Annotated[float, Field(ge=0, le=45)] = 8.0
    translation_mm: Annotated[float, Field(ge=0, le=60)] = 16.0
    scaling: Annotated[float, Field(ge=0, le=0.3)] = 0.05
    intensity: Annotated[float, Field(ge=0, le=0.5)] = 0.10
    noise_sd: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    flip_left_right: bool = False
    slices: Annotated[int, Field(ge=1, le=512)] = 12


class RadiomicsSettings(Section):
    """Which preset of config/radiomics/ is extracted from which images and organs."""

    presets: dict[Literal["pet", "ct"], Name] = {"pet": "pet_8mm", "ct": "ct_8mm"}
    organs: tuple[str, ...] = ("kidneys", "parotids", "liver", "spleen", "marrow", "lesions")
    min_voxels: Annotated[int, Field(ge=1)] = 3
    allow_missing: bool = True


class WorkflowSettings(Section):
    """How the work is cut: patients of a cohort are shared out over this many jobs."""

    chunks: Annotated[int, Field(ge=1, le=1000)] = 2


class TrackingSettings(Section):
    """MLflow: the experiment's name prefix and where artefacts go when no server is given."""

    registered_model: Name = "theradose-organ-dose"


class StudySettings(Section):
    """Everything a study needs to know."""

    study: Name = "demo"
    title: str = "A theradose study"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 20260115
    radionuclide: str = "Lu-177"
    cohort: CohortSettings = CohortSettings()
    check: CheckSettings = CheckSettings()
    quantify: QuantifySettings = QuantifySettings()
    kinetics: KineticsSettings = KineticsSettings()
    dose: DoseSettings = DoseSettings()
    split: SplitSettings = SplitSettings()
    normalise: NormaliseSettings = NormaliseSettings()
    augment: AugmentSettings = AugmentSettings()
    radiomics: RadiomicsSettings = RadiomicsSettings()
    experiments: tuple[Name, ...] = ("organ_dose", "dose_map")
    workflow: WorkflowSettings = WorkflowSettings()
    tracking: TrackingSettings = TrackingSettings()

    @model_validator(mode="after")
    def _organs_are_known(self) -> "StudySettings":
        unknown = sorted(set(self.radiomics.organs) - set(ORGANS))
        if unknown:
            raise ValueError(f"radiomics.organs: {unknown} unknown; known are {list(ORGANS)}")
        return self


class TuningSettings(Section):
    """The budget of the search and the inner folds it is judged on."""

    trials: Annotated[int, Field(ge=1, le=10000)] = 10
    folds: Annotated[int, Field(ge=2, le=20)] = 4


class TrainingSettings(Section):
    """How networks are trained."""

    epochs: Annotated[int, Field(ge=1, le=100000)] = 200
    patience: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 32


class ExperimentSettings(Section):
    """One experiment: its kind, its targets and the predictors compared in it; the first ones are baselines."""

    name: Name
    kind: Literal["organ_dose", "dose_map"]
    title: str
    organs: tuple[str, ...] = ("kidneys",)
    baselines: tuple[str, ...]
    predictors: tuple[str, ...]
    features: tuple[str, ...] = ()
    interval: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    tuning: TuningSettings = TuningSettings()
    training: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _a_model_is_never_alone(self) -> "ExperimentSettings":
        if not self.baselines:
            raise ValueError("baselines: a model is never shown without a baseline")
        unknown = sorted(set(self.organs) - set(ORGANS))
        if unknown:
            raise ValueError(f"organs: {unknown} unknown; known are {list(ORGANS)}")
        return self

    @property
    def all_predictors(self) -> tuple[str, ...]:
        """Baselines and predictors, each once, in order."""
        return tuple(dict.fromkeys((*self.baselines, *self.predictors)))


SectionT = TypeVar("SectionT", bound=Section)


def _keys_at(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are allowed where a faulty key stands."""
    current: Any = kind
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        current = getattr(field, "annotation", None)
    return sorted(getattr(current, "model_fields", {}))


def _fault(kind: type[BaseModel], error: Mapping[str, Any]) -> str:
    """Put one fault of the validation into words, with a guess at what was meant."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg']} (got {error['input']!r})" if place else str(error["msg"])
    allowed = _keys_at(kind, tuple(error["loc"][:-1]))
    near = difflib.get_close_matches(str(error["loc"][-1]), allowed, n=1)
    hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(allowed)}"
    return f"{place}: unknown key; {hint}"


def parse_settings(kind: type[SectionT], values: Mapping[str, Any], file: str | None = None) -> SectionT:
    """Turn a mapping into typed settings; SettingsError lists every fault at once."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        faults = "; ".join(_fault(kind, item) for item in error.errors())
        raise SettingsError(
            "settings are not valid", where=Where(file=file), got=faults, remedy="edit the file"
        ) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; SettingsError names file and line when it cannot be read."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError("settings file cannot be read", where=Where(file=str(path)), got=error) from error
    if not isinstance(content, dict):
        raise SettingsError("settings file holds no mapping", where=Where(file=str(path)), got=type(content).__name__)
    return content


def load_study(path: Path) -> StudySettings:
    """Read a study's settings from YAML."""
    return parse_settings(StudySettings, read_yaml(path), str(path))


def load_experiment(folder: Path, name: str) -> ExperimentSettings:
    """Read `folder/name.yaml`, the settings of an experiment."""
    path = Path(folder) / f"{name}.yaml"
    return parse_settings(ExperimentSettings, read_yaml(path), str(path))


def from_json(kind: type[SectionT], text: str) -> SectionT:
    """Read the settings section that a rule hands to its step."""
    return parse_settings(kind, json.loads(text))


def to_json(section: Section) -> str:
    """Write a settings section as one line of JSON with sorted keys."""
    return json.dumps(section.model_dump(mode="json"), sort_keys=True)


def study_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a study's settings."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StudySettings.model_json_schema()}
