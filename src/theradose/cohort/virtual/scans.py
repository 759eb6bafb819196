"""The images of a virtual patient: CT, PET before therapy, SPECT at every time point of a cycle."""

from dataclasses import dataclass

import numpy as np

from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.latents import stream
from theradose.cohort.virtual.patient import VirtualPatient
from theradose.cohort.virtual.scanner import SPECT_CALIBRATION_SD, centre, ct_image, emission_image
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide
from theradose.physics.units import BQ_PER_MBQ

FIRST_PET_H = 50.0 / 60.0


@dataclass(frozen=True)
class PetProtocol:
    """Which radionuclide is injected for PET, and when scans start, h after the injection."""

    radionuclide: str
    times_h: tuple[float, ...]


# A PET with Ga-68 after 24 h cannot exist (4e-7 of the activity is left); Cu-64 has 12.7 h.
PET_PROTOCOLS: dict[str, PetProtocol] = {
    "ga68_50min": PetProtocol("Ga-68", (FIRST_PET_H,)),
    "cu64_50min_4h_24h": PetProtocol("Cu-64", (FIRST_PET_H, 4.0, 24.0)),
}


def ct_scan(patient: VirtualPatient) -> Volume:
    """Return the CT in HU, float32."""
    rng = stream(patient.seed, patient.index, "ct")
    values = ct_image(patient.anatomy.labels, patient.anatomy.hu, centre(patient.centre).ct_noise_hu, rng)
    return Volume(values.astype(np.float32), patient.anatomy.grid, "HU")


def pet_scan(patient: VirtualPatient, difficulty: str, radionuclide: str, time_h: float) -> Volume:
    """Return the PET at `time_h` in Bq/mL, decay-corrected to the injection, float32."""
    camera = centre(patient.centre).pet
    calibration = float(np.exp(camera.log_bias * DIFFICULTY[difficulty].pet_bias_factor))
    decay_per_h = nuclide(radionuclide).lambda_per_h
    grid = patient.anatomy.grid
    true = BQ_PER_MBQ * patient.activity_map_mbq_per_ml(time_h, decay_per_h, cycle=0)
    rng = stream(patient.seed, patient.index, "pet" if time_h == FIRST_PET_H else f"pet {time_h!r}")
    image = emission_image(true, camera, grid.spacing_mm[0], calibration, rng)
    return Volume((image * np.exp(decay_per_h * time_h)).astype(np.float32), grid, "Bq/mL")


def _scan_name(time_h: float, cycle: int) -> str:
    """Return the name of a scan among the streams of a patient; later cycles have streams of their own."""
    return f"{time_h!r}" if cycle == 1 else f"{time_h!r} cycle {cycle}"


def spect_calibration(patient: VirtualPatient, time_h: float, cycle: int = 1) -> float:
    """Return the calibration factor of the SPECT at `time_h`: log-normal, 3 %, a draw of its own for each scan."""
    rng = stream(patient.seed, patient.index, f"spect calibration {_scan_name(time_h, cycle)}")
    return float(np.exp(SPECT_CALIBRATION_SD * rng.standard_normal()))


def spect_scan(patient: VirtualPatient, time_h: float, radionuclide: str, cycle: int = 1) -> Volume:
    """Return the SPECT at `time_h` after a therapy cycle in Bq/mL at the start of the scan, float32."""
    grid = patient.anatomy.grid
    decay_per_h = nuclide(radionuclide).lambda_per_h
    true = BQ_PER_MBQ * patient.activity_map_mbq_per_ml(time_h, decay_per_h, cycle=cycle)
    rng = stream(patient.seed, patient.index, f"spect {_scan_name(time_h, cycle)}")
    camera = centre(patient.centre).spect
    image = emission_image(true, camera, grid.spacing_mm[0], spect_calibration(patient, time_h, cycle), rng)
    return Volume(image.astype(np.float32), grid, "Bq/mL")
