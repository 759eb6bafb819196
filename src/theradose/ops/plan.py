"""What the workflow knows about a study before it draws its graph: settings, places, and which parts there are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theradose.errors import SettingsError, Where, storage_error
from theradose.experiment_sections import ExperimentSettings
from theradose.provenance import SRC, code_digest, write_atomically, write_json
from theradose.sections import CohortSettings, RadiomicsSettings, StabilitySettings, StudySettings
from theradose.settings import EXPERIMENTS, load_experiment, organs_learned, parse_settings

PRESETS = Path("config/radiomics")
MODEL_FILES = ("model.json", "weights.safetensors")
WRITE_TEST = ".write-test"
READS_DOSES = ("outcome", "renal_slope", "latency")


@dataclass(frozen=True)
class Plan:
    """A study and its experiments, with the places of their files relative to the working directory."""

    study: StudySettings
    experiments: Mapping[str, ExperimentSettings]

    @property
    def data(self) -> str:
        """The data set's folder."""
        return f"data/{self.study.cohort.name}"

    @property
    def truth(self) -> str:
        """The folder of the planted truth of a virtual cohort."""
        return f"truth/{self.study.cohort.name}"

    @property
    def truth_files(self) -> list[str]:
        """The tables of the planted truth, none when the patients are real."""
        names = (
            ("manifest.tsv", "truth_voi.parquet", "latents.parquet", "truth_outcome.parquet") if self.virtual else ()
        )
        return [f"{self.truth}/{name}" for name in names]

    @property
    def results(self) -> str:
        """The folder of everything this study makes except data set, truth and released models."""
        return f"results/{self.study.study}"

    @property
    def models(self) -> str:
        """The folder of the released models."""
        return f"models/{self.study.study}"

    @property
    def metrics(self) -> str:
        """The file of the study's numbers, kept in git."""
        return f"metrics/{self.study.study}.json"

    @property
    def virtual(self) -> bool:
        """Whether the data set is simulated, and so has a planted truth."""
        return self.study.cohort.source == "virtual"

    @property
    def dosimetry(self) -> bool:
        """Whether there are SPECT images to compute doses from."""
        return "spect" in self.study.check.require

    @property
    def radiomics(self) -> bool:
        """Whether features are extracted."""
        return bool(self.study.radiomics.presets)

    @property
    def cohort_made(self) -> CohortSettings:
        """The settings that make a virtual data set; leaving a patient out of a study makes nothing anew."""
        return self.study.cohort.model_copy(update={"exclude": ()})

    @property
    def organs(self) -> tuple[str, ...]:
        """The organs whose doses the experiments learn, each once."""
        return organs_learned(self.experiments.values())

    @property
    def features_made(self) -> RadiomicsSettings:
        """The settings that make features; asking how stable they are makes none anew."""
        return self.study.radiomics.model_copy(update={"stability": StabilitySettings()})

    @property
    def stability(self) -> list[str]:
        """The table of the stability of features, none when the study does not ask for it or has no PET."""
        asked = self.study.radiomics.stability.patients > 0 and "pet" in self.study.radiomics.presets
        return [f"{self.results}/features/stability.tsv"] if asked else []

    @property
    def chunks(self) -> list[int]:
        """The numbers of the jobs that share the patients."""
        return list(range(self.study.workflow.chunks))

    @property
    def trained(self) -> list[tuple[str, str]]:
        """Every (experiment, predictor), in the order of the settings."""
        return [(name, predictor) for name, one in self.experiments.items() for predictor in one.all_predictors]

    @property
    def model_files(self) -> list[str]:
        """The files of every model below `experiments/` and, after release, below the models folder."""
        return [f"{name}/{file}" for name in self.model_names for file in MODEL_FILES]

    @property
    def model_names(self) -> list[str]:
        """Every model as <experiment>/<predictor>."""
        return [f"{name}/{predictor}" for name, predictor in self.trained]

    def needs_stability(self, settings: ExperimentSettings) -> bool:
        """Whether an experiment leaves out features that a study of stability found to change."""
        return settings.selection is not None and settings.selection.stability is not None and bool(self.stability)

    def require_writable(self) -> None:
        """Write a megabyte wherever this study writes and remove it; StorageError when the system refuses."""
        own = (self.data, self.truth) if self.virtual else ()
        for folder in (*own, self.results, self.models, Path(self.metrics).parent):
            probe = Path(folder) / WRITE_TEST
            try:
                write_atomically(probe, bytes(2**20))
                probe.unlink()
            except OSError as error:
                raise storage_error(error) from error

    def record(self) -> None:
        """Write the settings with all defaults filled in to `study.json`, where other studies find them."""
        write_json(Path(self.results) / "study.json", self.study.model_dump(mode="json"))

    def summary(self) -> str:
        """Return the summary that ends a run, or nothing when the run made only a part of the study."""
        file = Path(self.results) / "summary.txt"
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    @property
    def presets(self) -> list[str]:
        """The preset files of the radiomics that are extracted, each once."""
        return sorted({str(PRESETS / f"{name}.yaml") for name in self.study.radiomics.presets.values()})


def _refuse(what: str, field: str, got: object, remedy: str) -> SettingsError:
    """Return the error for settings that are valid one by one but do not go together."""
    return SettingsError(what, where=Where(field=field), got=got, remedy=remedy, code="THR-101")


def _check_parts(plan: Plan) -> None:
    """Raise SettingsError when an experiment lacks a part of the study it learns from."""
    if plan.experiments and not plan.dosimetry:
        raise _refuse(
            "experiments learn from doses, but no SPECT is required",
            "check.require",
            list(plan.study.check.require),
            "add spect to check.require or set experiments: []",
        )
    if any(one.kind != "dose_map" for one in plan.experiments.values()) and not plan.radiomics:
        raise _refuse(
            "experiments learn from features, but none are extracted",
            "radiomics.presets",
            dict(plan.study.radiomics.presets),
            "name a preset or leave the experiment out",
        )


def _check_doses(plan: Plan) -> None:
    """Raise SettingsError when an experiment reads doses that no experiment of the study predicts."""
    reading = {name: one for name, one in plan.experiments.items() if one.kind in READS_DOSES}
    for name, one in reading.items():
        source = plan.experiments.get(one.doses)
        known = source is not None and source.kind == "organ_dose" and source.cycle == 1
        if source is None or not known or one.dose_predictor not in source.all_predictors:
            raise _refuse(
                f"experiment {name} reads predicted doses of the first cycle that nothing in this study predicts",
                "experiments",
                f"doses: {one.doses}, dose_predictor: {one.dose_predictor}",
                "add that experiment of kind organ_dose to the study, with that predictor, or name another",
            )


def _check_cycles(plan: Plan) -> None:
    """Raise SettingsError when an experiment learns doses of a cycle that nobody of a virtual cohort is imaged in."""
    imaged = plan.study.cohort.virtual.imaged_cycles
    late = [name for name, one in plan.experiments.items() if one.cycle > imaged]
    if late and plan.virtual:
        what, remedy = "experiments learn doses of a cycle without images", "raise it, or leave these experiments out"
        raise _refuse(what, "cohort.virtual.imaged_cycles", f"{imaged}, with {', '.join(late)}", remedy)


def _check_outcomes(plan: Plan, data: Path) -> None:
    """Raise SettingsError when an experiment learns what happened after therapy and nobody has written it down."""
    learning = [name for name, one in plan.experiments.items() if one.outcomes or one.kind == "latency"]
    if learning and not plan.virtual and not (data / "outcomes.tsv").is_file():
        raise _refuse(
            "experiments learn outcomes, but the data set has none",
            "experiments",
            learning,
            f"write {plan.data}/outcomes.tsv (columns in docs/your-own-data.md) or leave these experiments out",
        )


def _cohort_identity(study: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what a virtual data set is made from; who is excluded later does not count."""
    return study["cohort"]["virtual"], study["seed"], study["radionuclide"]


def _check_owner(plan: Plan, results: Path) -> None:
    """Raise SettingsError when another study made a virtual cohort of this name from other settings."""
    if not plan.virtual:
        return
    mine = plan.study.model_dump(mode="json")
    for file in sorted(results.glob("*/study.json")):
        other = json.loads(file.read_text(encoding="utf-8"))
        if other["study"] == mine["study"] or other["cohort"]["name"] != mine["cohort"]["name"]:
            continue
        if _cohort_identity(other) != _cohort_identity(mine):
            raise _refuse(
                f"study {other['study']} has made this cohort from other settings",
                "cohort.name",
                mine["cohort"]["name"],
                "give this study a cohort name of its own, or the same cohort, seed and radionuclide",
            )


def _of_the_study(one: ExperimentSettings, study: StudySettings) -> ExperimentSettings:
    """Return an experiment with what only its study knows: half-lives behind BEDs it does not give, most trials."""
    changed: dict[str, Any] = {}
    if one.kind in READS_DOSES:
        changed["t_eff_h"] = {**study.kinetics.population_t_eff_h, **one.t_eff_h}
    if study.workflow.trials is not None:
        for search in ("tuning", "nested"):
            own = getattr(one, search)
            changed[search] = own.model_copy(update={"trials": min(own.trials, study.workflow.trials)})
    return one.model_copy(update=changed)


def load_plan(config: Mapping[str, Any], root: Path = Path(), sources: Sequence[Path] = ()) -> Plan:
    """Return the plan of a study; SettingsError when settings are wrong or would collide with another study's.

    `sources` are the YAML files that made `config`, for the lines of faults.
    """
    name = f"configuration of study {config.get('study', '(unnamed)')}"
    study = parse_settings(StudySettings, config, name, sources)
    experiments = {name: _of_the_study(load_experiment(root / EXPERIMENTS, name), study) for name in study.experiments}
    plan = Plan(study, experiments)
    _check_parts(plan)
    _check_doses(plan)
    _check_cycles(plan)
    _check_outcomes(plan, root / plan.data)
    _check_owner(plan, root / "results")
    if not plan.virtual and not (root / plan.data / "manifest.tsv").is_file():
        raise SettingsError(
            "the data set of this study is not there",
            where=Where(file=f"{plan.data}/manifest.tsv"),
            remedy=f"make it with `theradose import <folder> --to {plan.data}` or set cohort.source: virtual",
            code="THR-103",
        )
    missing = [file for file in plan.presets if not (root / file).is_file()]
    if missing:
        raise _refuse(
            "radiomics preset is missing", "radiomics.presets", missing, f"write it or choose one of {PRESETS}"
        )
    return plan


def step_code(step: str) -> str:
    """Return the digest of the code of a step; SettingsError when there is no such step."""
    if not (SRC / "theradose" / "steps" / f"{step}.py").is_file():
        raise SettingsError("the workflow names a step that does not exist", got=step, code="THR-102")
    return code_digest(f"theradose.steps.{step}")
