"""Whether patients of another kind are told from ordinary ones: `python benchmarks/shifted.py results/STUDY ...`.

Fresh virtual patients of a study's own settings are imaged as they are, by other cameras, with a quarter of the counts,
in other units, with the other ligand; the study's model gets each folder as `theradose predict` would. A patient is
flagged when an organ has a reason for doubt, or when he is refused. tests/evaluation/test_shifted_benchmark.py runs the
same functions on few patients. Research use only.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from theradose.cli.predict import covariates_of
from theradose.cohort.layout import Dataset
from theradose.cohort.virtual.covariates import covariates_of as clinical_of
from theradose.cohort.virtual.patient import virtual_patient
from theradose.cohort.virtual.scanner import CENTRES, Camera
from theradose.cohort.virtual.writer import PatientWriter, Protocol
from theradose.experiment_sections import ExperimentSettings
from theradose.imaging.nifti import read_sidecar, read_volume, write_volume
from theradose.models import organ_dose
from theradose.models.fitting import Fitted
from theradose.models.folds import training_patients
from theradose.models.new_patients import predict_new
from theradose.models.seen_images import seen
from theradose.models.store import Trained, load_model
from theradose.tables import PARTICIPANTS, SPLITS, read_table, write_table

FRESH = 1_000_003  # added to the seed of the study: patients it has never seen
CAUGHT, ALARMS = 0.95, 0.10
ORDINARY, NEW_CENTRE = "ordinary", "elsewhere"
OTHER_LIGAND = {"psma": "dotatate", "dotatate": "psma"}
OWN_PET = {"psma": "ga68_50min", "dotatate": "cu64_50min_4h_24h"}
# What a reason for doubt begins with, by what it is called here.
REASONS = {
    "beyond": "range", "no training patient": "neighbours", "values that": "together", "PET quality": "quality",
    "PET tracer": "tracer", "PET voxels": "voxels", "centre": "centre",
}  # fmt: skip


def same(camera: Camera) -> Camera:
    """Return the camera of the patient's centre."""
    return camera


def quarter(camera: Camera) -> Camera:
    """Return a camera that counts a quarter."""
    return replace(camera, counts_per_mbq_s=camera.counts_per_mbq_s / 4.0)


def older(camera: Camera) -> Camera:
    """Return a camera of an earlier generation: coarser, fewer counts, a wider filter (made up, right on average)."""
    return replace(camera, fwhm_mm=9.0, filter_fwhm_mm=6.5, counts_per_mbq_s=1000.0, log_bias=0.0)


def digital(camera: Camera) -> Camera:
    """Return a camera with time of flight: sharper, many counts, hardly a filter (made up, right on average)."""
    return replace(camera, fwhm_mm=4.0, filter_fwhm_mm=3.0, counts_per_mbq_s=9000.0, log_bias=0.0)


@dataclass(frozen=True)
class Shift:
    """How images differ from those of the study; `own_pet`: the other ligand comes with its own tracer and scans."""

    camera: Callable[[Camera], Camera] = same
    factor: float = 1.0
    other_ligand: bool = False
    own_pet: bool = False
    centre: str | None = None


SHIFTS = {
    ORDINARY: Shift(),
    "older scanner": Shift(older),
    "digital scanner": Shift(digital),
    "older scanner, told": Shift(older, centre=NEW_CENTRE),
    "counts / 4": Shift(quarter),
    "units x 1000": Shift(factor=1000.0),
    "other ligand": Shift(other_ligand=True),
    "other ligand, told": Shift(other_ligand=True, own_pet=True),
}


class BeforeTherapy(PatientWriter):
    """Writes what is known of a patient before therapy, and nothing else."""

    def known(self, centre: str) -> dict[str, Any]:
        """Write PET, CT and mask; return the row of the clinical table."""
        self._pre()
        patient = self.patient
        return {
            "patient": patient.name, "centre": centre, "administered_mbq": patient.administered_mbq,
            "radionuclide": self.protocol.radionuclide, "administered_pet_mbq": patient.administered_pet_mbq,
            "sex": "female" if patient.body.female else "male",
            **clinical_of(patient.latents, patient.body, patient.lesions, patient.ligand),
        }  # fmt: skip


def scaled(file: Path, factor: float) -> None:
    """Multiply the numbers of an image, its sidecar left as it is."""
    image, about = read_volume(file), read_sidecar(file)
    write_volume(image.with_values(factor * image.values), file, about)


def made(study: dict[str, Any], shift: Shift, patients: Sequence[int], root: Path, draw: int = 0) -> Dataset:
    """Write a data set of fresh patients (numbers from 0) of a study, shifted, as someone else would bring it.

    Patients of another `draw` are others.
    """
    virtual = study["cohort"]["virtual"]
    ligand = OTHER_LIGAND[virtual["ligand"]] if shift.other_ligand else virtual["ligand"]
    names = ("centres", "spacing_mm", "difficulty", "texture_coupling", "kinetics")
    drawn = {name: virtual[name] for name in names} | {"ligand": ligand, "cycles": virtual["planned_cycles"]}
    pet = OWN_PET[ligand] if shift.own_pet else virtual["pet"]
    protocol = Protocol(study["radionuclide"], pet, (), 1, virtual["difficulty"])
    data, people, images = Dataset(root), [], []
    for index in patients:
        patient = virtual_patient(study["seed"] + FRESH + draw, index, **drawn)
        place = CENTRES[patient.centre]
        # The simulator finds cameras by the name of a centre; the patient's table keeps the name he came with.
        CENTRES[NEW_CENTRE] = replace(place, pet=shift.camera(place.pet))
        writer = BeforeTherapy(replace(patient, centre=NEW_CENTRE), protocol, data, root)
        people.append(writer.known(shift.centre or patient.centre))
        images += writer.images
        del CENTRES[NEW_CENTRE]
    for row in images:
        if row["modality"] == "pet" and shift.factor != 1.0:
            scaled(root / row["file"], shift.factor)
    data.write_manifest(pd.DataFrame(images))
    write_table(pd.DataFrame(people), data.participants_file, PARTICIPANTS)
    return data


def kind_of(reason: str) -> str:
    """Return what a reason for doubt is called here; one that is not known is `missing`."""
    return next((name for start, name in REASONS.items() if reason.startswith(start)), "missing")


def judged(trained: Trained, data: Dataset, shift: str) -> pd.DataFrame:
    """Return a row for each patient and organ with the kinds of reasons: columns shift, patient, voi, kinds."""
    covariates, refused = covariates_of(data, trained)
    rows = [] if covariates is None else predict_new(trained, covariates).to_dict("records")
    found = [(row["patient"], row["voi"], sorted({kind_of(reason) for reason in row["reasons"]})) for row in rows]
    found += [(patient, organ, ["refused"]) for patient in refused for organ in trained.predictors]
    return pd.DataFrame(found, columns=["patient", "voi", "kinds"]).assign(shift=shift)


def measured(trained: Trained, study: dict[str, Any], ordinary: int, patients: int, draw: int) -> pd.DataFrame:
    """Return `judged` of every shift, each on the same `patients`; the ordinary ones are more."""
    tables = []
    for name, shift in SHIFTS.items():
        with tempfile.TemporaryDirectory() as folder:
            data = made(study, shift, range(ordinary if name == ORDINARY else patients), Path(folder), draw)
            tables.append(judged(trained, data, name))
        say(f"{name}: done")
    return pd.concat(tables, ignore_index=True)


def any_organ(table: pd.DataFrame) -> pd.Series:
    """Return whether a patient is flagged for any organ, by shift and patient."""
    return table["kinds"].map(bool).groupby([table["shift"], table["patient"]]).any()


def bars(table: pd.DataFrame) -> list[tuple[str, float, bool]]:
    """Return what was promised, what was found and whether it holds, for every shift."""
    share = any_organ(table).groupby("shift").mean()
    verdicts = []
    for name in SHIFTS:
        ok = share[name] <= ALARMS if name == ORDINARY else share[name] >= CAUGHT
        promised = f"<= {ALARMS:.0%}" if name == ORDINARY else f">= {CAUGHT:.0%}"
        verdicts.append((f"{name}: patients flagged {promised}", float(share[name]), bool(ok)))
    return verdicts


def interval(flags: pd.Series) -> str:
    """Return `k of n [low, high]`, Wilson's interval of 95 %."""
    found = binomtest(int(flags.sum()), len(flags)).proportion_ci(method="wilson")
    return f"{int(flags.sum())} of {len(flags)} [{found.low:.2f}, {found.high:.2f}]"


def told(table: pd.DataFrame) -> None:
    """Print for every shift the patients and organs flagged and what flagged them, in patients."""
    flags = any_organ(table)
    for name in SHIFTS:
        own = table[table["shift"] == name]
        kinds = own.explode("kinds").groupby("kinds")["patient"].nunique().sort_values(ascending=False)
        organs = own["kinds"].map(bool).groupby(own["voi"], sort=False).mean()
        say(f"{name:<22}{interval(flags[name]):<26}" + ", ".join(f"{kind} {n}" for kind, n in kinds.items()))
        say(f"{'':<22}" + ", ".join(f"{organ} {share:.2f}" for organ, share in organs.items()))


def of_today(trained: Trained, results: Path, study: dict[str, Any], folder: Path) -> Trained:
    """Return a model with what is usual learned again from its study's tables and images; predictors stay as they are.

    For a model that an earlier version trained, which knew less of its training patients.
    """
    settings = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["settings"]
    training = training_patients(read_table(results / "split" / "splits.tsv", SPLITS))
    names = ("covariates", "covariate_manifest")
    tables = {name: results / "covariates" / f"{name}.tsv" for name in names} | {
        "splits": results / "split" / "splits.tsv", "labels": results / "dose" / "organ_dose.tsv",
        "stability": results / "features" / "stability.tsv",
    }  # fmt: skip
    everyone = organ_dose.load(settings=ExperimentSettings.model_validate(settings), **tables)
    parts = {organ: organ_dose.subset(examples, training) for organ, examples in everyone.items()}
    cards = {organ: dict(card) for organ, card in trained.card["parts"].items()}
    calibration = {organ: dict(own) for organ, own in trained.calibration.items()}
    found = Fitted(dict(trained.predictors), calibration, cards=cards)
    organ_dose.finish(parts, found)
    images = seen(Dataset(results.resolve().parents[1] / "data" / study["cohort"]["name"]), training)
    return Trained(found.predictors, found.calibration, trained.card | {"parts": found.cards, "images": images})


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Print every share beside its bar; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="results folder of a study, its data folder beside it")
    parser.add_argument("--experiment", default="organ_dose")
    parser.add_argument("--predictor", default="ridge")
    parser.add_argument("--patients", type=int, default=20, help="fresh patients that are shifted")
    parser.add_argument("--ordinary", type=int, default=60, help="fresh patients as they are")
    parser.add_argument("--draw", type=int, default=0, help="another number draws other patients")
    parser.add_argument("--today", action="store_true", help="learn what is usual again, for earlier models")
    chosen = parser.parse_args()
    kept = True
    for results in chosen.results:
        study = json.loads((results / "study.json").read_text(encoding="utf-8"))
        folder = results / "experiments" / chosen.experiment / chosen.predictor
        trained = load_model(folder / "model")
        trained = of_today(trained, results, study, folder) if chosen.today else trained
        table = measured(trained, study, chosen.ordinary, chosen.patients, chosen.draw)
        say(f"{study['study']}: {chosen.experiment}/{chosen.predictor}, virtual patients")
        told(table)
        verdicts = bars(table)
        for name, value, ok in verdicts:
            say(f"{'ok    ' if ok else 'MISSED'} {name}: {value:.3f}")
        kept &= all(ok for _, _, ok in verdicts)
    say("research use only")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
