"""One word per thing: quantities with their units and ranges, VOIs with their labels, modalities, flags."""

from dataclasses import dataclass

RESEARCH_USE_ONLY = "Research use only. Not a medical device; not for treatment decisions."
VIRTUAL = "virtual"
VIRTUAL_MARKS = {"Virtual": True, "Notice": RESEARCH_USE_ONLY}  # in the sidecars of virtual patients

MODALITIES = ("pet", "ct", "spect", "mask")
UNITS = {"pet": "Bq/mL", "spect": "Bq/mL", "ct": "HU", "mask": "label"}
PATIENT_STATUS = ("ok", "flagged", "quarantined", "excluded")
PARTITIONS = ("train", "validation", "test")
SEVERITIES = ("ERROR", "WARN", "NOTE")
# Steps of the uncertainty budget of a dose, in the order in which they follow from each other, and what the budget
# needs of a VOI beside its curve.
BUDGET_STEPS = ("volume", "recovery", "calibration", "counts", "activity", "fit", "tia", "s", "dose")
CHAIN_COLUMNS = (
    "volume_relative_std", "recovery_slope", "recovery_relative_std", "counts_slope", "calibration_relative_std",
)  # fmt: skip
# What may happen after therapy, 0 or 1 for each patient.
OUTCOME_EVENTS = ("kidney_toxicity", "xerostomia", "marrow_toxicity", "response")
# What is worked out from numbers of the follow-up: eGFR after 12 months below 0.8 of that before therapy.
RENAL_IMPAIRMENT = "renal_impairment"
LEARNED_OUTCOMES = (*OUTCOME_EVENTS, RENAL_IMPAIRMENT)
# The change of eGFR in the year after therapy: that after 12 months less that before.
EGFR_SLOPE = "egfr_slope"
# Kinds of covariates, the last four those of the manifest of the latency, and when they are known; `out_of_fold` ones
# are made by models, and hold only what these said of patients they had not seen.
BLOCKS = ("radiomic", "clinical", "biological", "physics", "pet", "ct_shape", "dose", "surrogate")
LEAKS = ("pre_therapy", "post_therapy", "out_of_fold")
PATIENT_ID = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"


@dataclass(frozen=True)
class Quantity:
    """A named number: its unit and the range outside which it cannot be right."""

    unit: str
    low: float | None = None
    high: float | None = None
    meaning: str = ""


QUANTITIES: dict[str, Quantity] = {
    "activity_mbq": Quantity("MBq", None, None, "activity in the VOI at the time of the scan, recovery-corrected"),
    "activity_std_mbq": Quantity("MBq", 0, None, "standard uncertainty of activity_mbq that is this scan's alone"),
    "activity_uncorrected_mbq": Quantity("MBq", None, None, "activity in the VOI as the image shows it"),
    "administered_mbq": Quantity("MBq", 1, 20000, "activity administered for the therapy cycle"),
    "administered_pet_mbq": Quantity("MBq", 1, 1000, "activity administered for the PET"),
    "age_y": Quantity("y", 0, 120, "age at therapy"),
    "alpha_beta_gy": Quantity("Gy", 0, None, "dose at which linear and quadratic cell kill are equal"),
    "bed_gy": Quantity("Gy", 0, None, "biologically effective dose, the sum over cycles"),
    "calibration_relative_std": Quantity("1", 0, None, "standard uncertainty of the calibration, common to all scans"),
    "counts_slope": Quantity("1", 0, None, "relative change of counts per relative change of the volume"),
    "dose_cross_gy": Quantity("Gy", 0, None, "part of dose_gy that comes from outside the VOI"),
    "dose_gy": Quantity("Gy", 0, None, "mean absorbed dose, from recovery-corrected activity"),
    "dose_gy_per_gbq": Quantity("Gy/GBq", 0, None, "mean absorbed dose per administered activity"),
    "dose_rbe_gy": Quantity("Gy", 0, None, "RBE-weighted dose: alphas and recoils times 5"),
    "dose_std_gy": Quantity("Gy", 0, None, "standard uncertainty of dose_gy"),
    "dose_uncorrected_gy": Quantity("Gy", 0, None, "mean absorbed dose without recovery correction"),
    "dose_voxel_gy": Quantity("Gy", 0, None, "mean of the dose map inside the VOI"),
    "eqd2_gy": Quantity("Gy", 0, None, "dose in fractions of 2 Gy with the same BED"),
    "egfr_ml_min": Quantity("mL/min/1.73 m2", 1, 200, "estimated glomerular filtration rate"),
    "height_cm": Quantity("cm", 100, 230, "body height"),
    "mass_g": Quantity("g", 0, None, "mass of the VOI"),
    "planned_cycles": Quantity("1", 1, 12, "cycles of the therapy that is planned, this one included"),
    "recovery_relative_std": Quantity("1", 0, None, "standard uncertainty of the recovery, without that of the volume"),
    "recovery_slope": Quantity("1", None, None, "relative change of recovery per relative change of the volume"),
    "relative_std": Quantity("1", 0, None, "standard uncertainty over value"),
    "recovery_coefficient": Quantity("1", 0, None, "part of the VOI's own activity that the image shows inside it"),
    "spill_in_mbq": Quantity("MBq", None, None, "activity seen in the VOI that lies outside it"),
    "suv_bw": Quantity("g/mL", 0, None, "standardised uptake value, body weight"),
    "t_repair_h": Quantity("h", 0, None, "half-time of the repair of sublethal damage"),
    "t_eff_h": Quantity("h", 0, None, "effective half-life of the slowest phase"),
    "tail_fraction": Quantity("1", 0, 1, "part of the TIA after the last scan"),
    "tia_in_air_fraction": Quantity("1", 0, 1, "part of the TIA in voxels whose CT number is that of air"),
    "tia_mbq_h": Quantity("MBq.h", 0, None, "time-integrated activity"),
    "tia_outside_ct_fraction": Quantity("1", 0, 1, "part of the TIA that the CT does not cover"),
    "tia_std_mbq_h": Quantity("MBq.h", 0, None, "standard uncertainty of tia_mbq_h, by noise of scans and fit"),
    "tia_uncorrected_mbq_h": Quantity("MBq.h", 0, None, "time-integrated activity without recovery correction"),
    "tiac_h": Quantity("h", 0, None, "time-integrated activity coefficient: TIA / administered activity"),
    "tiac_std_h": Quantity("h", 0, None, "standard uncertainty of tiac_h"),
    "time_h": Quantity("h", -1000, 1000, "time after administration"),
    "volume_fraction": Quantity("1", 0, 1, "part of the VOI that gets at least the dose"),
    "volume_ml": Quantity("mL", 0, None, "volume of the VOI"),
    "volume_relative_std": Quantity("1", 0, None, "standard uncertainty of the volume of the VOI, over it"),
    "weight_kg": Quantity("kg", 20, 250, "body weight"),
}


@dataclass(frozen=True)
class Voi:
    """A volume of interest: its label in the mask file, the organ it belongs to, and whether it has a side."""

    label: int
    organ: str
    sided: bool = False
    region: bool = False


# Names as TotalSegmentator writes them, where it has the structure. Regions take part in the spill-over
# correction and carry activity, but are no target of dosimetry.
VOIS: dict[str, Voi] = {
    "remainder": Voi(1, "remainder", region=True),
    "lung_left": Voi(2, "lungs", sided=True, region=True),
    "lung_right": Voi(3, "lungs", sided=True, region=True),
    "red_marrow": Voi(4, "marrow"),
    "kidney_left": Voi(5, "kidneys", sided=True),
    "kidney_right": Voi(6, "kidneys", sided=True),
    "liver": Voi(7, "liver"),
    "spleen": Voi(8, "spleen"),
    "parotid_gland_left": Voi(9, "parotids", sided=True),
    "parotid_gland_right": Voi(10, "parotids", sided=True),
    "submandibular_gland_left": Voi(11, "submandibulars", sided=True),
    "submandibular_gland_right": Voi(12, "submandibulars", sided=True),
    "lacrimal_gland_left": Voi(13, "lacrimals", sided=True),
    "lacrimal_gland_right": Voi(14, "lacrimals", sided=True),
    "urinary_bladder": Voi(15, "bladder", region=True),
}
LESION_LABEL_FROM = 101
LESION_PREFIX = "lesion_"
LESIONS = "lesions"
ORGANS = (*dict.fromkeys(voi.organ for voi in VOIS.values() if not voi.region), LESIONS)

# What physics does not allow. A number with one of these is shown with it, and nothing learns from it.
IMPOSSIBLE_TIA, IMPOSSIBLE_HALF_LIFE = "impossible_tia", "impossible_half_life"
IMPOSSIBLE_ACTIVITY, IMPOSSIBLE_SUM = "impossible_activity", "impossible_sum"
IMPOSSIBLE = (IMPOSSIBLE_TIA, IMPOSSIBLE_HALF_LIFE, IMPOSSIBLE_ACTIVITY, IMPOSSIBLE_SUM)
IMPOSSIBLE_MARK = "ImpossibleCurves"  # in the sidecar of a map that was made from such curves

FLAGS: dict[str, str] = {
    IMPOSSIBLE_TIA: "the TIA is more than if all activity stayed for ever: not used",
    IMPOSSIBLE_HALF_LIFE: "the effective half-life is longer than the physical one: not used",
    IMPOSSIBLE_ACTIVITY: "more activity in the VOI than was administered: not used",
    IMPOSSIBLE_SUM: "more activity in all VOIs together than was administered: not used",
    "tail_over_40_percent": "more than 40 % of the TIA lies after the last scan",
    "population_half_life": "the fit was refused; a population half-life (177Lu-PSMA's unless declared) took its place",
    "poor_fit": "the points miss the curve: chi^2 per degree of freedom above 4, or p below 0.001",
    "single_time_point": "one scan only: the half-life, or the method that replaces it, is the population's",
    "outside_validity_window": "outside 0.75 to 2.5 effective half-lives, where Haenscheid's method holds",
    "physical_tail": "activity behind the last scan is taken to decay physically, without washout",
    "implausible_dose": "dose per activity above what is seen in patients",
    "kernel_in_lung": "most of what surrounds the VOI is lung, where the kernel engine is not valid",
    "negative_activity": "a corrected activity was negative and set to zero",
    "small_voi": "fewer than 8 voxels: recovery correction is unreliable",
    "rc_unstable": "the recovery correction changes the activity more than threefold",
}


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "patient"), counted(0, "mask")
    ('1 patient', '0 masks')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lesion_name(label: int) -> str:
    """Return the VOI name of a lesion label, `lesion_01` for 101."""
    return f"{LESION_PREFIX}{label - LESION_LABEL_FROM + 1:02d}"


def organ_of(voi: str) -> str:
    """Return the organ a VOI belongs to; every lesion belongs to `lesions`."""
    return LESIONS if voi.startswith(LESION_PREFIX) else VOIS[voi].organ


def is_target(voi: str) -> bool:
    """Tell whether a VOI gets a dose of its own (regions of the spill-over correction do not)."""
    return voi.startswith(LESION_PREFIX) or not VOIS[voi].region


def voi_of_label(label: int) -> str:
    """Return the VOI name of a label in a mask file; KeyError when the label means nothing."""
    if label >= LESION_LABEL_FROM:
        return lesion_name(label)
    return {voi.label: name for name, voi in VOIS.items()}[label]
