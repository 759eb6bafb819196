"""The sections of a study's settings: typed and frozen, with their defaults; `settings.py` reads them from YAML."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

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
    ligand: Literal["psma", "dotatate"] = "psma"
    pet: Literal["ga68_50min", "cu64_50min_4h_24h"] = "ga68_50min"
    kinetics: Literal["closed_form", "ode"] = "closed_form"
    planned_cycles: Annotated[int, Field(ge=1, le=6)] = 4
    imaged_cycles: Annotated[int, Field(ge=1, le=6)] = 1
    spacing_mm: Annotated[float, Field(ge=2, le=10)] = 8.0
    centres: tuple[Name, ...] = ("north", "south")
    spect_times_h: Annotated[tuple[Positive, ...], Field(min_length=1)] = (4.0, 24.0, 72.0, 168.0)
    difficulty: Literal["xue_like", "hagmarker_like", "hard"] = "xue_like"
    texture_coupling: Fraction = 0.6

    @model_validator(mode="after")
    def _only_planned_cycles_are_imaged(self) -> "VirtualSettings":
        if self.imaged_cycles > self.planned_cycles:
            raise ValueError(f"imaged_cycles: {self.imaged_cycles} of {self.planned_cycles} planned cycles")
        return self


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
    sensitivity_cps_per_mbq: Positive | None = None  # what images in counts are divided by; without it they are refused
    dead_time_us: Annotated[float, Field(ge=0)] = 0.0
    dead_time_model: Literal["paralysable", "non_paralysable"] = "paralysable"
    voxel_recovery: Literal["none", "region_based"] = "none"  # of the images that the dose map is made of

    @model_validator(mode="after")
    def _voxels_follow_their_regions(self) -> "QuantifySettings":
        if self.voxel_recovery != "none" and self.recovery != "geometric_transfer":
            raise ValueError("voxel_recovery: region_based needs recovery: geometric_transfer")
        return self


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
    single_time_point: Literal["population", "haenscheid", "madsen"] = "population"

    @field_validator("uptake_half_time_h", "population_t_eff_h", mode="before")
    @classmethod
    def _organs_left_out_keep_their_default(cls, given: Any, info: ValidationInfo) -> Any:
        defaults = {"uptake_half_time_h": UPTAKE_HALF_TIME_H, "population_t_eff_h": POPULATION_T_EFF_H}
        return {**defaults[str(info.field_name)], **given} if isinstance(given, Mapping) else given


class DoseSettings(Section):
    """The dose engine, the density that turns volume into mass, and how a VOI's TIA is spread over its voxels."""

    engine: str = "kernel"
    density_g_per_ml: Annotated[float, Field(gt=0.2, lt=3)] = 1.04
    density: Literal["labels", "ct"] = "labels"
    tia_map: Literal["shares", "voxel_fit"] = "shares"
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


class PairNumbers(Section):
    """How many pairs of slices each partition has, originals and copies together."""

    train: Annotated[int, Field(ge=1, le=1000000)]
    validation: Annotated[int, Field(ge=1, le=1000000)]
    test: Annotated[int, Field(ge=1, le=1000000)]


class AugmentSettings(Section):
    """Random copies of training images; every draw is recorded. With `slices` 0 every slice that has doses is cut.

    Flips are off where labels have a side, unless `exchange_sides` calls the left kidney right and so on.
    `pairs` asks for exact numbers, as a published study printed them, dealt evenly over the patients of each partition;
    held-out patients then have copies too. That is not sound: copies of one slice are no independent cases, so scores
    over them look more certain than they are. Scores of this project stay with originals.
    """

    copies: Annotated[int, Field(ge=0, le=100)] = 4
    rotation_deg: Annotated[float, Field(ge=0, le=45)] = 8.0
    translation_mm: Annotated[float, Field(ge=0, le=60)] = 16.0
    scaling: Annotated[float, Field(ge=0, le=0.3)] = 0.05
    intensity: Annotated[float, Field(ge=0, le=0.5)] = 0.10
    noise_sd: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    flip_left_right: bool = False
    exchange_sides: bool = False
    slices: Annotated[int, Field(ge=0, le=512)] = 12
    pairs: PairNumbers | None = None


class StabilitySettings(Section):
    """Small changes of the first patients' PETs, to see which features stay: how many patients (0: none), which organs.

    A feature is stable when the lower bound of its ICC reaches `icc_low`.
    """

    patients: Annotated[int, Field(ge=0, le=1000)] = 10
    organs: tuple[str, ...] = ("kidneys", "lesions")
    icc_low: Fraction = 0.9


class RadiomicsSettings(Section):
    """Which preset of config/radiomics/ is extracted from which images and organs.

    With `pet_fwhm_mm`, the resolution of each centre's PET, all are smoothed to that of the worst.
    """

    presets: dict[Literal["pet", "ct"], Name] = {"pet": "pet_8mm", "ct": "ct_8mm"}
    organs: tuple[str, ...] = ("kidneys", "parotids", "liver", "spleen", "marrow", "lesions")
    min_voxels: Annotated[int, Field(ge=1)] = 3
    allow_missing: bool = True
    pet_fwhm_mm: dict[Name, Positive] = {}
    stability: StabilitySettings = StabilitySettings()


class WorkflowSettings(Section):
    """How the work is cut: patients of a cohort are shared out over `chunks` jobs, no search has more than `trials`.

    `trials` is for a quick look at experiments whose own budgets are longer; without it they are as experiments say.
    """

    chunks: Annotated[int, Field(ge=1, le=1000)] = 2
    trials: Annotated[int, Field(ge=1, le=10000)] | None = None


class TrackingSettings(Section):
    """MLflow: the experiment's name prefix and where artefacts go when no server is given."""

    registered_model: Name = "theradose-organ-dose"


class StudySettings(Section):
    """Everything a study needs to know."""

    study: Name = "demo"
    title: str = "A theradose study"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 20260115
    radionuclide: str = "Lu-177"
    limit_patients: Annotated[int, Field(ge=600, le=1000000)] = 60000
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
