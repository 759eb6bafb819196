"""The report's last pages: methods text ready to paste, and where every number came from."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from theradose import __version__
from theradose.evaluation.card import facts
from theradose.evaluation.report_tables import Cell, Head, Sheet, count
from theradose.evaluation.results import StudyResults, read_json
from theradose.physics.engines import DOSE_ENGINES
from theradose.physics.nuclides import nuclide
from theradose.provenance import SRC, digest, sha256_file

LIBRARIES = (
    "numpy",
    "scipy",
    "pandas",
    "SimpleITK",
    "nibabel",
    "pyradiomics-bhklab",
    "torch",
    "optuna",
    "snakemake",
    "mlflow",
    "matplotlib",
)
LOCK = "constraints.txt"
RECOVERY_WORDS = {
    "none": "Activities were not corrected for the partial-volume effect.",
    "coefficient": "Activities were divided by the recovery coefficient of their volume of interest (VOI).",
    "geometric_transfer": "Spill-over between volumes of interest (VOIs) was corrected with the geometric transfer "
    "matrix "
    "of the camera's point-spread function (Rousset et al., J Nucl Med 1998;39:904-911).",
}
MODEL_WORDS = {
    "mono": "mono-exponential",
    "mono_uptake": "mono-exponential with a fixed uptake phase",
    "bi": "bi-exponential",
}

ENGINE_WORDS = {
    "local": "Electrons, alphas and recoils were deposited where they arise; photons were taken to leave the body.",
    "kernel": "A VOI's dose from itself is its time-integrated activity times the S value of a sphere of its mass "
    "(marrow: its absorbed fraction); the dose map is the convolution with voxel S values from dose-point kernels, "
    "scaled by density.",
}
CROSS_WORDS = (
    "Cross-dose, what a VOI gets from outside it, came from the same engine on the patient's own masks with activity "
    "even in every VOI and in the remainder of the body."
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that make numbers."""
    return {
        "theradose": __version__,
        "Python": ".".join(map(str, sys.version_info[:3])),
        **{name: version(name) for name in LIBRARIES},
    }


DENSITY_WORDS = {"labels": "", "ct": "Densities and masses were those of the CT numbers of each voxel. "}
MAP_WORDS = {
    "none": "the activity that the images show, without recovery correction",
    "region_based": "images corrected voxel by voxel for recovery, region by region",
}
FIT_WORDS = {"shares": "", "voxel_fit": ", with a mono-exponential fit in each voxel, scaled to the TIA of its VOI"}
SINGLE_WORDS = {
    "population": "population half-life and",
    "haenscheid": "population half-life, single scans Haenscheid's method, and",
    "madsen": "population half-life, single scans Madsen's method, and",
}


def _cohort_words(study: StudyResults) -> str:
    """Return who was studied."""
    people = study.table("patients")
    noun = "patient" if len(people) == 1 else "patients"
    kind = f"virtual {noun}, made by a computer with known doses," if study.virtual else noun
    quarantined = int((people["status"] == "quarantined").sum())
    was = "was" if quarantined == 1 else "were"
    tail = f" {quarantined} {was} quarantined for faulty data and kept out of all results." if quarantined else ""
    centres = count(people["centre"].nunique(), "centre")
    verb = "was" if len(people) == 1 else "were"
    return f"{len(people)} {kind} of {centres} {verb} studied; {len(study.usable)} of them usable.{tail}"


def _dosimetry_words(study: StudyResults) -> list[str]:
    """Return how doses were measured, nothing without dosimetry."""
    if study.table("tiac").empty:
        return []
    settings, half_life = study.settings, nuclide(study.settings.radionuclide).half_life_h
    times = sorted({round(float(t)) for t in study.table("tac")["time_h"]})
    models = ", ".join(MODEL_WORDS.get(name, name) for name in settings.kinetics.models)
    quantify = settings.quantify
    register = " Time points were registered rigidly." if quantify.register_time_points else ""
    found = [
        f"Activity was measured in SPECT images at {', '.join(f'{t:g}' for t in times)} h after administration of "
        f"{settings.radionuclide} "
        f"(half-life {half_life:.5g} h).{register} {RECOVERY_WORDS[quantify.recovery]} Uncorrected values are kept "
        "beside.",
        f"Time-activity curves were fitted by weighted least squares ({models}), with effective decay constants no "
        "smaller than the physical one; the model was chosen by "
        "the corrected Akaike criterion among those with sufficiently certain parameters. Refused fits took a declared "
        f"{SINGLE_WORDS[settings.kinetics.single_time_point]} are marked.",
    ]
    if not study.organs.empty:
        found += [_dose_words(study), _uncertainty_words(study)]
    return found


def _dose_words(study: StudyResults) -> str:
    """Return how doses of VOIs and voxels came from time-integrated activity, by the engine that made them."""
    names = sorted(set(study.organs["engine"]))
    crossfire = not set(names) <= {name for name, engine in DOSE_ENGINES.items() if not engine.crossfire}
    cross = CROSS_WORDS if crossfire else "Dose from outside a VOI was not counted."
    how = " ".join([*(ENGINE_WORDS[name] for name in names if name in ENGINE_WORDS), cross])
    return (
        f"Absorbed dose was computed with the engine “{', '.join(names)}” (soft tissue of "
        f"{study.settings.dose.density_g_per_ml:g} g/mL, nuclear data from ICRP 107). {how} "
        f"{DENSITY_WORDS[study.settings.dose.density]}The dose of an organ is the energy in its VOIs over their mass. "
        f"The dose map was made from {MAP_WORDS[study.settings.quantify.voxel_recovery]}"
        f"{FIT_WORDS[study.settings.dose.tia_map]}."
    )


def _uncertainty_words(study: StudyResults) -> str:
    """Return how uncertainty was carried to the dose, with the settings that it starts from."""
    quantify = study.settings.quantify
    return (
        "The standard uncertainty of each dose follows the EANM guidance (Gear et al., Eur J Nucl Med Mol Imaging "
        "2018;45:2456-2474), carried with its covariances through volume, recovery, calibration, counts, fit and S "
        "value. Assumed, as relative standard uncertainties: "
        f"{100 * quantify.calibration_uncertainty:g} % of the calibration, common to all scans "
        f"(calibration_uncertainty); {100 * quantify.scan_variation:g} % of each scan on its own (scan_variation); "
        f"{100 * quantify.fwhm_uncertainty:g} % of the camera's resolution (fwhm_uncertainty). VOIs were taken as "
        f"outlined on images of {quantify.outline_fwhm_mm:g} mm full width at half maximum (outline_fwhm_mm), which "
        "with the voxel gives the uncertainty of their volumes. Cross-dose was taken to be as uncertain as the rest."
    )


def _learning_words(study: StudyResults) -> list[str]:
    """Return how models were made and judged, nothing without experiments."""
    if not study.experiments:
        return []
    counts = study.table("splits")["partition"].value_counts()
    parts = ", ".join(f"{int(counts[name])} {name}" for name in ("train", "validation", "test") if name in counts)
    return [
        f"Patients were split by person, stratified ({study.settings.split.scheme}: {parts}). All scaling, selection "
        "and tuning were fitted on training patients; hyperparameters were found with "
        "Optuna on inner folds. Models stand beside baselines; the best was chosen by out-of-fold predictions of "
        "training patients and judged on the untouched test patients with "
        "bootstrap intervals over patients. Scores against the SPECT label and against the planted truth, where "
        "known, are reported apart."
    ]


def methods_text(study: StudyResults) -> str:
    """Return the methods as paragraphs ready to paste, with versions."""
    used = versions()
    tools = ", ".join(f"{name} {number}" for name, number in used.items() if name != "theradose")
    seed = study.settings.seed
    paragraphs = [
        _cohort_words(study), *_dosimetry_words(study), *_learning_words(study),
        f"All steps ran in theradose {used['theradose']} ({tools}); random seed {seed}. Research use only.",
    ]  # fmt: skip
    return "\n\n".join(paragraphs)


def _code_digests(root: Path) -> Sheet | None:
    """Return the code digest of every step whose results carry one, None when none does."""
    found: dict[str, set[str]] = {}
    for path in sorted(set(root.rglob("provenance.json")) - set((root / "report").rglob("*"))):
        record = read_json(path)
        found.setdefault(str(record.get("step", "")), set()).add(str(record.get("code", "")))
    rows = [[Cell(step), Cell(", ".join(sorted(codes)), "code")] for step, codes in sorted(found.items()) if step]
    return Sheet([Head("Step", number=False), Head("Digest of the code it ran", number=False)], rows) if rows else None


def provenance_section(study: StudyResults) -> dict[str, Any]:
    """Return what the page on provenance shows: data, settings, code, versions, lock."""
    lock = SRC.parent / LOCK
    settings = study.settings.model_dump(mode="json")
    hashes = {
        "Data manifest (SHA-256)": sha256_file(study.data.manifest_file),
        "Participants table (SHA-256)": sha256_file(study.data.participants_file),
        "Settings (digest)": digest(settings),
        "Random seed": str(study.settings.seed),
    }
    if lock.is_file():
        hashes[f"Lock file {LOCK} (SHA-256)"] = sha256_file(lock)
    return {
        "hashes": Sheet(
            [Head("What", number=False), Head("Value", number=False)],
            [[Cell(k), Cell(v, "code")] for k, v in hashes.items()],
        ),
        "versions": facts(versions(), "Software", "Version"),
        "code": _code_digests(study.root),
        "settings": study.settings.model_dump_json(indent=2),
    }
