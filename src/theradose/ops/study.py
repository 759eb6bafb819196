"""What the workflow knows about a study while it runs: settings, places, and which parts there are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from theradose.errors import storage_error
from theradose.experiment_sections import ExperimentSettings
from theradose.provenance import write_atomically, write_json
from theradose.sections import CohortSettings, RadiomicsSettings, StabilitySettings, StudySettings
from theradose.settings import organs_learned

PRESETS = Path("config/radiomics")
MODEL_FILES = ("model.json", "weights.safetensors")
WRITE_TEST = ".write-test"


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
    def learned(self) -> str:
        """The settings of all experiments as one line of JSON, none when nothing is learned."""
        return json.dumps([one.model_dump(mode="json") for one in self.experiments.values()], sort_keys=True)

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
