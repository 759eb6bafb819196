"""Write virtual patients as a data set, and what was planted in them into a folder apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from theradose import __version__
from theradose.cohort.layout import CYCLE_PREFIX, PRE, Dataset
from theradose.cohort.virtual.covariates import covariates_of
from theradose.cohort.virtual.exposures import exposure_of
from theradose.cohort.virtual.outcomes import (
    OUTCOME_DRAWS,
    draw_outcomes,
    impairment_probability,
    kidney_bed_gy,
    log_latency,
    probabilities,
)
from theradose.cohort.virtual.patient import VirtualPatient, in_cycle, virtual_patient
from theradose.cohort.virtual.scanner import Camera, centre
from theradose.cohort.virtual.scans import PET_PROTOCOLS, ct_scan, pet_scan, spect_scan
from theradose.cohort.virtual.truth import dose_map, truth_of_latents, truth_of_vois
from theradose.errors import SettingsError, Where
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file, write_json
from theradose.tables import IMAGES, PARTICIPANTS, write_table
from theradose.truth_schemas import LATENTS, OUTCOMES, TRUTH_OUTCOME, TRUTH_VOI
from theradose.vocabulary import OUTCOME_EVENTS, UNITS, VIRTUAL, VIRTUAL_MARKS, voi_of_label

SECONDS_PER_HOUR = 3600.0
WHOLE_OUTCOMES = (*OUTCOME_EVENTS, "latency_observed")
DECIMALS_H = 6
"""Times are written to 1e-6 h (4 ms)."""


def emission_sidecar(
    *, modality: str, radionuclide: str, injected_mbq: float, time_h: float, camera: Camera, decay_reference: str
) -> dict[str, Any]:
    """Return the sidecar of a PET ("PT") or SPECT ("NM") image in the keys of PET-BIDS."""
    return {
        "Modality": modality,
        "TracerRadionuclide": radionuclide,
        "InjectedRadioactivity": injected_mbq,
        "InjectedRadioactivityUnits": "MBq",
        "InjectionStart": 0,
        "FrameTimesStart": [round(time_h * SECONDS_PER_HOUR, 3)],
        "FrameDuration": [camera.frame_s],
        "ImageDecayCorrected": True,
        "DecayReference": decay_reference,
        "EffectiveResolutionFWHM": camera.fwhm_mm,
        **VIRTUAL_MARKS,
    }


def require_times_apart(times_h: Sequence[float]) -> None:
    """Raise SettingsError when two time points round to the same hour, which names the file."""
    hours = [round(time) for time in times_h]
    if len(set(hours)) < len(hours):
        raise SettingsError(
            "two SPECT time points fall in the same hour",
            where=Where(field="cohort.virtual.spect_times_h"),
            got=list(times_h),
            expected="times that differ when rounded to 1 h",
        )


@dataclass(frozen=True)
class Protocol:
    """What is done to every patient of a cohort: radionuclides, PET, scan times, and how many cycles are imaged."""

    radionuclide: str
    pet: str
    spect_times_h: tuple[float, ...]
    imaged_cycles: int
    difficulty: str


@dataclass(frozen=True)
class PatientRows:
    """The rows of one patient in the tables of a data set and of its truth."""

    images: list[dict[str, Any]]
    participant: dict[str, Any]
    vois: pd.DataFrame
    latents: pd.DataFrame
    doses: list[dict[str, Any]]
    outcome: dict[str, Any]
    truth_outcome: dict[str, Any]


def outcome_rows(patient: VirtualPatient, planted: pd.DataFrame, radionuclide: str) -> tuple[dict[str, Any], ...]:
    """Return what happened to the patient after all planned cycles, and with which planted chances."""
    exposure = exposure_of(patient, planted, radionuclide)
    drawn = draw_outcomes({name: patient.latents.z(name) for name in OUTCOME_DRAWS}, exposure)
    happened = {name: int(value) if name in WHOLE_OUTCOMES else float(value) for name, value in drawn.items()}
    happened["latency_months"] = round(happened["latency_months"], 1)
    happened["egfr_12m_ml_min"] = round(happened["egfr_12m_ml_min"], 1)
    chances = {name: float(value) for name, value in probabilities(exposure).items()} | {
        "bed_gy": float(kidney_bed_gy(exposure)),
        "log_latency": float(log_latency(exposure)),
        "impairment": float(impairment_probability(exposure, patient.body.egfr_ml_min)),
    }
    return {"patient": patient.name, **happened}, {"patient": patient.name, **chances}


class PatientWriter:
    """Writes the images of one patient and keeps their rows."""

    def __init__(self, patient: VirtualPatient, protocol: Protocol, data: Dataset, truth: Path) -> None:
        self.patient, self.now, self.protocol, self.data, self.truth = patient, patient, protocol, data, truth
        self.images: list[dict[str, Any]] = []
        self.doses: list[dict[str, Any]] = []

    def write(self) -> PatientRows:
        """Write everything of the patient: the images of the data set, then the planted dose maps."""
        patient, protocol = self.patient, self.protocol
        self._pre()
        vois = []
        for cycle in range(1, protocol.imaged_cycles + 1):
            self.now = in_cycle(patient, cycle)
            self._therapy(cycle)
            self._dose_map(cycle)
            vois.append(truth_of_vois(self.now, protocol.radionuclide, cycle))
        participant = {
            "patient": patient.name,
            "centre": patient.centre,
            "administered_mbq": patient.administered_mbq,
            "radionuclide": protocol.radionuclide,
            "administered_pet_mbq": patient.administered_pet_mbq,
            "planned_cycles": len(patient.administered_by_cycle_mbq),
            "sex": "female" if patient.body.female else "male",
            **covariates_of(patient.latents, patient.body, patient.lesions, patient.ligand),
        }
        planted = pd.concat(vois, ignore_index=True)
        latents = truth_of_latents(patient, protocol.spect_times_h, protocol.difficulty)
        outcomes = outcome_rows(patient, planted, protocol.radionuclide)
        return PatientRows(self.images, participant, planted, latents, self.doses, *outcomes)

    def _save(
        self, modality: str, volume: Volume, extra: dict[str, Any], session: str = PRE, *,
        time_h: float | None = None, named: bool = False,
    ) -> None:  # fmt: skip
        """Write one image and note it for the manifest; its time stands in the file's name where there are several."""
        path = self.data.image_file(self.patient.name, modality, session, time_h if named else None)
        write_volume(volume, path, extra)
        row = {"patient": self.patient.name, "session": session, "modality": modality, "time_h": time_h}
        self.images.append(row | {"file": path.relative_to(self.data.root).as_posix()})

    def _pre(self) -> None:
        """Write CT, PET of every time and the label mask."""
        patient, tracer = self.patient, PET_PROTOCOLS[self.protocol.pet]
        for time_h in tracer.times_h:
            extra = emission_sidecar(
                modality="PT", radionuclide=tracer.radionuclide, injected_mbq=patient.administered_pet_mbq,
                time_h=time_h, camera=centre(patient.centre).pet, decay_reference="administration",
            )  # fmt: skip
            image = pet_scan(patient, self.protocol.difficulty, tracer.radionuclide, time_h)
            self._save("pet", image, extra, time_h=round(time_h, DECIMALS_H), named=len(tracer.times_h) > 1)
        self._save("ct", ct_scan(patient), {"Modality": "CT", **VIRTUAL_MARKS})
        self._mask(PRE)

    def _mask(self, session: str) -> None:
        """Write the label mask of the anatomy as it is now."""
        anatomy = self.now.anatomy
        names = {str(label): voi_of_label(label) for label in anatomy.volumes_ml()}
        labels = Volume(anatomy.labels, anatomy.grid, UNITS["mask"])
        self._save("mask", labels, {"Labels": names, **VIRTUAL_MARKS}, session)

    def _therapy(self, cycle: int) -> None:
        """Write the SPECT of every time point of a cycle; later cycles, whose lesions are smaller, have a mask too."""
        patient, radionuclide = self.now, self.protocol.radionuclide
        if cycle > 1:
            self._mask(f"{CYCLE_PREFIX}{cycle}")
        for time_h in self.protocol.spect_times_h:
            extra = emission_sidecar(
                modality="NM", radionuclide=radionuclide, injected_mbq=patient.injected_mbq(cycle), time_h=time_h,
                camera=centre(patient.centre).spect, decay_reference="scan_start",
            )  # fmt: skip
            image = spect_scan(patient, time_h, radionuclide, cycle)
            self._save("spect", image, extra, f"{CYCLE_PREFIX}{cycle}", time_h=time_h, named=True)

    def _dose_map(self, cycle: int) -> None:
        """Write the planted dose map of a cycle."""
        later = "" if cycle == 1 else f"_cycle-{cycle}"
        path = self.truth / f"sub-{self.patient.name}{later}_dose.nii.gz"
        write_volume(dose_map(self.now, self.protocol.radionuclide, cycle), path, VIRTUAL_MARKS)
        row = {"patient": self.patient.name, "cycle": cycle, "role": "dose", "time_h": None, "file": path.name}
        self.doses.append(row | {"sha256": sha256_file(path)})


def make_patient(
    index: int, *, seed: int, drawn: Mapping[str, Any], protocol: Protocol, data: Path, truth: Path
) -> PatientRows:
    """Draw patient `index` with the arguments `drawn` of `virtual_patient`, write the images and return the rows.

    It depends on nothing but its arguments, so patients can be made in any order and by any number of processes.
    """
    return PatientWriter(virtual_patient(seed, index, **drawn), protocol, Dataset(data), truth).write()


def write_tables(rows: Sequence[PatientRows], data: Dataset, truth: Path, about: dict[str, Any]) -> None:
    """Write participants, manifest, description and the tables of the truth for all patients."""
    write_table(pd.DataFrame([own.participant for own in rows]), data.participants_file, PARTICIPANTS)
    data.write_manifest(pd.DataFrame([image for own in rows for image in own.images]))
    write_json(data.root / "dataset_description.json", about)
    write_table(pd.DataFrame([own.outcome for own in rows]), data.outcomes_file, OUTCOMES)
    write_table(pd.DataFrame([own.truth_outcome for own in rows]), truth / "truth_outcome.parquet", TRUTH_OUTCOME)
    for name, schema in (("vois", TRUTH_VOI), ("latents", LATENTS)):
        table = pd.concat([getattr(own, name) for own in rows], ignore_index=True)
        write_table(table, truth / f"{schema.name}.parquet", schema)
    write_table(pd.DataFrame([dose for own in rows for dose in own.doses]), truth / "manifest.tsv", IMAGES)


def description(name: str, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the `dataset_description.json` of a virtual data set, which says so."""
    return {
        "Name": f"{name}: {VIRTUAL.upper()} patients",
        "BIDSVersion": "1.9.0",
        "DatasetType": "raw",
        "Description": "VIRTUAL patients made by a computer. No person was imaged. Research use only.",
        "GeneratedBy": [{"Name": "theradose", "Version": __version__}],
        "Seed": seed,
        "Settings": settings,
        **VIRTUAL_MARKS,
    }
