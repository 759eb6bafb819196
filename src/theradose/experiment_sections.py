"""Typed settings of one experiment: what is learned, from what, by which predictors, with which budget."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from theradose.sections import POPULATION_T_EFF_H, Fraction, Name, Positive, Section
from theradose.vocabulary import EGFR_SLOPE, LEARNED_OUTCOMES, ORGANS


class TuningSettings(Section):
    """The budget of the search, the inner folds it is judged on, and how many processes share it.

    With several workers there are as many trials, but not the same ones each time. With `pruning` a trial of a network
    ends after a fold when it is worse than the median of the trials before it there; five must have come to their end.
    """

    trials: Annotated[int, Field(ge=1, le=10000)] = 10
    folds: Annotated[int, Field(ge=2, le=20)] = 4
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    pruning: bool = False


class TrainingSettings(Section):
    """How networks are trained, and who watches for the end: training patients held back, or the partition validation.

    Validation patients can watch over a dose_map only. Their scores are then no longer those of untouched patients.
    """

    epochs: Annotated[int, Field(ge=1, le=100000)] = 200
    patience: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 32
    watch: Literal["held_back", "validation"] = "held_back"


class HarmoniseSettings(Section):
    """How image features of several centres get one scale, inside every fold; `combat` alone names the method.

    `columns` are harmonised, the others (clinical values) stay. With `reference` all centres are brought to that one.
    Patients of a centre without training patients are refused, or left as they are.
    """

    method: Literal["none", "combat", "centre_means"] = "none"
    columns: tuple[str, ...] = ("pet*", "ct*", "delta.*", "physics.pet_*")
    reference: str | None = None
    new_centre: Literal["error", "leave"] = "leave"

    @model_validator(mode="before")
    @classmethod
    def _a_word_is_the_method(cls, given: Any) -> Any:
        return {"method": given} if isinstance(given, str) else given


class SelectionSettings(Section):
    """Which columns a model may see, chosen inside every fold.

    At most `redundancy` of |rho| between two, at most `relevance` of them, those that rank patients like the target.
    With `stability` image features leave whose ICC under small changes has its lower bound below this in some organ;
    it comes from images alone, and features that were not studied stay.
    """

    stability: Fraction | None = None
    redundancy: Fraction = 0.9
    relevance: Annotated[int, Field(ge=1, le=1000)] = 20


class NestedSettings(Section):
    """Cross-validation around all that is fitted, tuning included: `repeated` by patient, or one `centre` left out.

    `trials` and `inner_folds` are the search inside each outer fold. Networks get one repeat and one inner hold-out.
    """

    scheme: Literal["none", "repeated", "centre"] = "none"
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 5
    trials: Annotated[int, Field(ge=1, le=10000)] = 5
    inner_folds: Annotated[int, Field(ge=2, le=20)] = 4


class PlanningSettings(Section):
    """For which therapy activities are planned from predicted organ doses: cycles, and P of exceeding a limit, at most.

    P is of each organ's limit by itself, or, `joint`, of any. `case` of the table of limits.
    """

    cycles: Annotated[int, Field(ge=1, le=20)] = 4
    probability: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    joint: bool = False
    case: Name = "standard"


class LearningCurveSettings(Section):
    """Numbers of training patients to learn from, beside all of them, and how often each is drawn.

    Numbers that are not below those of all are passed over.
    """

    sizes: Annotated[tuple[Annotated[int, Field(ge=5)], ...], Field(min_length=1)]
    repeats: Annotated[int, Field(ge=1, le=100)] = 3


class ExperimentSettings(Section):
    """One experiment: its kind, its targets and the predictors compared in it; the first ones are baselines.

    `system` is the system of docs/experiments.md that it is; the report shows it. `parameters` fixes hyperparameters of
    a predictor, then not searched: {unet2d: {loss: r_s_dvh}}. `t_eff_h` is the effective half-life in h of organs
    behind a predicted BED; a study fills in its `kinetics.population_t_eff_h`. With `cycle` 2 or later organ doses are
    those of that cycle, and what earlier ones showed is among the covariates; with `planning` the activity of every
    patient is planned from them. `outcomes` are learned by kinds multitask, outcome and renal_slope. Kinds outcome,
    renal_slope and latency read doses that `dose_predictor` of the experiment `doses` predicted for patients it was not
    trained on, latency also what experiment `surrogates` did.
    """

    name: Name
    kind: Literal["organ_dose", "dose_map", "multitask", "outcome", "latency", "tiac", "renal_slope"]
    title: str
    system: str = ""
    organs: tuple[str, ...] = ("kidneys",)
    cycle: Annotated[int, Field(ge=1, le=20)] = 1
    baselines: tuple[str, ...]
    predictors: tuple[str, ...]
    parameters: dict[str, dict[str, str | bool | int | float]] = Field(default_factory=dict)
    features: tuple[str, ...] = ()
    harmonise: HarmoniseSettings = HarmoniseSettings()
    selection: SelectionSettings | None = None
    audit_permutations: Annotated[int, Field(ge=0, le=10000)] = 0
    learning_curve: LearningCurveSettings | None = None
    planning: PlanningSettings | None = None
    outcomes: tuple[str, ...] = ()
    doses: Name = "organ_dose"
    dose_predictor: Name = "hybrid"
    surrogates: Name = "multitask"
    t_eff_h: dict[str, Positive] = Field(default_factory=dict)
    interval: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    tuning: TuningSettings = TuningSettings()
    training: TrainingSettings = TrainingSettings()
    nested: NestedSettings = NestedSettings()

    @model_validator(mode="after")
    def _a_model_is_never_alone(self) -> "ExperimentSettings":
        if not self.baselines:
            raise ValueError("baselines: a model is never shown without a baseline")
        strange = sorted(set(self.parameters) - set(self.all_predictors))
        if strange:
            raise ValueError(f"parameters: {strange} are no predictors of this experiment: {list(self.all_predictors)}")
        return self

    @model_validator(mode="after")
    def _what_is_named_exists(self) -> "ExperimentSettings":
        known = {"organs": ORGANS, "t_eff_h": tuple(POPULATION_T_EFF_H), "outcomes": (*LEARNED_OUTCOMES, EGFR_SLOPE)}
        for field, names in known.items():
            if unknown := sorted(set(getattr(self, field)) - set(names)):
                raise ValueError(f"{field}: {unknown} unknown; known are {list(names)}")
        if not self.organs:
            raise ValueError(f"organs: name one or more of {list(ORGANS)}")
        if self.outcomes and self.kind not in ("multitask", "outcome", "renal_slope"):
            raise ValueError("outcomes: only for experiments of kinds multitask, outcome and renal_slope")
        return self

    @model_validator(mode="after")
    def _images_have_no_columns(self) -> "ExperimentSettings":
        asked = self.harmonise.method != "none" or self.selection is not None
        if asked and self.kind != "organ_dose":
            raise ValueError("harmonise, selection: only for experiments of kind organ_dose")
        if 0 < self.audit_permutations < 5:
            raise ValueError("audit_permutations: 0 for no audit, or at least 5")
        if self.training.watch == "validation" and (self.kind != "dose_map" or self.audit_permutations):
            raise ValueError("training.watch validation: only for experiments of kind dose_map, without an audit")
        return self

    @model_validator(mode="after")
    def _curves_of_numbers(self) -> "ExperimentSettings":
        if self.learning_curve and len(set(self.learning_curve.sizes)) < len(self.learning_curve.sizes):
            raise ValueError(f"learning_curve.sizes: each number once, not {list(self.learning_curve.sizes)}")
        if self.learning_curve and self.kind in ("outcome", "latency"):
            raise ValueError("learning_curve: not where few patients may hold no event, kinds outcome and latency")
        return self

    @model_validator(mode="after")
    def _cycles_of_doses(self) -> "ExperimentSettings":
        if self.cycle > 1 and self.kind != "organ_dose":
            raise ValueError("cycle: only for experiments of kind organ_dose")
        if self.planning and (self.cycle > 1 or self.kind != "organ_dose"):
            raise ValueError("planning: only for experiments of kind organ_dose, of the first cycle")
        return self

    @model_validator(mode="after")
    def _nested_kinds(self) -> "ExperimentSettings":
        if self.nested.scheme != "none" and self.kind not in ("organ_dose", "outcome"):
            raise ValueError("nested: only for experiments of kinds organ_dose and outcome")
        return self

    @property
    def learned(self) -> "ExperimentSettings":
        """The settings that models depend on; those of what is judged or planned afterwards are the default ones."""
        kept = self.model_dump(exclude={"audit_permutations", "learning_curve", "planning", "nested"})
        return ExperimentSettings(**kept)

    @property
    def later_cycle(self) -> dict[str, int]:
        """What records say of a later cycle, `{"cycle": 2}`; nothing of the first."""
        return {"cycle": self.cycle} if self.cycle > 1 else {}

    @property
    def all_predictors(self) -> tuple[str, ...]:
        """Baselines and predictors, each once, in order."""
        return tuple(dict.fromkeys((*self.baselines, *self.predictors)))
