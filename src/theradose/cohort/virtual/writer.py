"""Write virtual patients as a data set, and what was planted in them into a folder apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from theradose import __version__
from theradose.cohort.layout import CYCLE_PREFIX, PRE, Dataset
from theradose.cohort.virtual.covariates import covariates_of
from theradose.cohort.virtual.patient import VirtualPatient
from theradose.cohort.virtual.scanner import Camera, centre
from theradose.cohort.virtual.scans import PET_RADIONUCLIDE, PET_TIME_H, ct_scan, pet_scan, spect_scan
from theradose.cohort.virtual.truth import CYCLE, dose_map, truth_of_latents, truth_of_vois
from theradose.errors import SettingsError, Where
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file, write_json
from theradose.tables import IMAGES, LATENTS, PARTICIPANTS, TRUTH_VOI, write_table
from theradose.vocabulary import RESEARCH_USE_ONLY, UNITS, VIRTUAL, voi_of_label

SECONDS_PER_HOUR = 3600.0
THERAPY = f"{CYCLE_PREFIX}{CYCLE}"
MARKS: dict[str, Any] = {"Virtual": True, "Notice": RESEARCH_USE_ONLY}
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
        **MARKS,
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


@dataclass
class CohortWriter:
    """Collects the tables of a cohort while its images are written one patient after the other."""

    data: Dataset
    truth: Path
    spect_times_h: tuple[float, ...]
    radionuclide: str
    difficulty: str
    images: list[dict[str, Any]] = field(default_factory=list)
    participants: list[dict[str, Any]] = field(default_factory=list)
    vois: list[pd.DataFrame] = field(default_factory=list)
    latents: list[pd.DataFrame] = field(default_factory=list)
    doses: list[dict[str, Any]] = field(default_factory=list)

    def add(self, patient: VirtualPatient) -> None:
        """Write a patient's images and dose map, and keep the rows of the tables for `close`."""
        self._pre(patient)
        self._therapy(patient)
        self._truth(patient)
        self.participants.append(
            {
                "patient": patient.name,
                "centre": patient.centre,
                "administered_mbq": patient.administered_mbq,
                "radionuclide": self.radionuclide,
                "administered_pet_mbq": patient.administered_pet_mbq,
                "sex": "male",
                **covariates_of(patient.latents, patient.body, patient.lesions),
            }
        )

    def close(self, description: dict[str, Any]) -> None:
        """Write participants, manifest, description and the tables of the truth."""
        write_table(pd.DataFrame(self.participants), self.data.participants_file, PARTICIPANTS)
        self.data.write_manifest(pd.DataFrame(self.images))
        write_json(self.data.root / "dataset_description.json", description)
        write_table(pd.concat(self.vois, ignore_index=True), self.truth / "truth_voi.parquet", TRUTH_VOI)
        write_table(pd.concat(self.latents, ignore_index=True), self.truth / "latents.parquet", LATENTS)
        write_table(pd.DataFrame(self.doses), self.truth / "manifest.tsv", IMAGES)

    def _save(
        self, patient: str, modality: str, volume: Volume, extra: dict[str, Any], time_h: float | None = None
    ) -> None:
        """Write one image and note it for the manifest; only SPECT carries its time in the file's name."""
        session, name_h = (THERAPY, time_h) if modality == "spect" else (PRE, None)
        path = self.data.image_file(patient, modality, session, name_h)
        write_volume(volume, path, extra)
        row = {"patient": patient, "session": session, "modality": modality, "time_h": time_h}
        self.images.append(row | {"file": path.relative_to(self.data.root).as_posix()})

    def _pre(self, patient: VirtualPatient) -> None:
        """Write CT, PET and the label mask."""
        camera = centre(patient.centre).pet
        time_h = round(PET_TIME_H, DECIMALS_H)
        extra = emission_sidecar(
            modality="PT", radionuclide=PET_RADIONUCLIDE, injected_mbq=patient.administered_pet_mbq, time_h=PET_TIME_H,
            camera=camera, decay_reference="administration",
        )  # fmt: skip
        self._save(patient.name, "pet", pet_scan(patient, self.difficulty), extra, time_h)
        self._save(patient.name, "ct", ct_scan(patient), {"Modality": "CT", **MARKS})
        anatomy = patient.anatomy
        names = {str(label): voi_of_label(label) for label in anatomy.volumes_ml()}
        mask = Volume(anatomy.labels, anatomy.grid, UNITS["mask"])
        self._save(patient.name, "mask", mask, {"Labels": names, **MARKS})

    def _therapy(self, patient: VirtualPatient) -> None:
        """Write the SPECT of every time point."""
        for time_h in self.spect_times_h:
            extra = emission_sidecar(
                modality="NM", radionuclide=self.radionuclide, injected_mbq=patient.administered_mbq, time_h=time_h,
                camera=centre(patient.centre).spect, decay_reference="scan_start",
            )  # fmt: skip
            volume = spect_scan(patient, time_h, self.radionuclide)
            self._save(patient.name, "spect", volume, extra, time_h)

    def _truth(self, patient: VirtualPatient) -> None:
        """Write the planted dose map and keep the planted numbers."""
        path = self.truth / f"sub-{patient.name}_dose.nii.gz"
        write_volume(dose_map(patient, self.radionuclide), path, MARKS)
        row = {"patient": patient.name, "cycle": CYCLE, "role": "dose", "time_h": None, "file": path.name}
        self.doses.append(row | {"sha256": sha256_file(path)})
        self.vois.append(truth_of_vois(patient, self.radionuclide))
        self.latents.append(truth_of_latents(patient, self.spect_times_h, self.difficulty))


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
        **MARKS,
    }
