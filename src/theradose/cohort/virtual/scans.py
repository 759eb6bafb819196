"""The images of a virtual patient: CT, Ga-68 PET before therapy, SPECT at every time point."""

import numpy as np

from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.latents import stream
from theradose.cohort.virtual.patient import VirtualPatient
from theradose.cohort.virtual.scanner import SPECT_CALIBRATION_SD, centre, ct_image, emission_image
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide
from theradose.physics.units import BQ_PER_MBQ

PET_RADIONUCLIDE = "Ga-68"
PET_TIME_H = 50.0 / 60.0


def ct_scan(patient: VirtualPatient) -> Volume:
    """Return the CT in HU, float32."""
    rng = stream(patient.seed, patient.index, "ct")
    values = ct_image(patient.anatomy.labels, patient.anatomy.hu, centre(patient.centre).ct_noise_hu, rng)
    return Volume(values.astype(np.float32), patient.anatomy.grid, "HU")


def pet_scan(patient: VirtualPatient, difficulty: str) -> Volume:
    """Return the PET at 50 min in Bq/mL, decay-corrected to the injection, float32."""
    camera = centre(patient.centre).pet
    calibration = float(np.exp(camera.log_bias * DIFFICULTY[difficulty].pet_bias_factor))
    decay_per_h = nuclide(PET_RADIONUCLIDE).lambda_per_h
    grid = patient.anatomy.grid
    true = BQ_PER_MBQ * patient.activity_map_mbq_per_ml(PET_TIME_H, decay_per_h, therapeutic=False)
    rng = stream(patient.seed, patient.index, "pet")
    image = emission_image(true, camera, grid.spacing_mm[0], calibration, rng)
    return Volume((image * np.exp(decay_per_h * PET_TIME_H)).astype(np.float32), grid, "Bq/mL")


def spect_calibration(patient: VirtualPatient, time_h: float) -> float:
    """Return the calibration factor of the SPECT at `time_h`: log-normal, 3 %, a draw of its own for each scan."""
    rng = stream(patient.seed, patient.index, f"spect calibration {time_h!r}")
    return float(np.exp(SPECT_CALIBRATION_SD * rng.standard_normal()))


def spect_scan(patient: VirtualPatient, time_h: float, radionuclide: str) -> Volume:
    """Return the SPECT at `time_h` after the therapy in Bq/mL at the start of the scan, float32."""
    grid = patient.anatomy.grid
    decay_per_h = nuclide(radionuclide).lambda_per_h
    true = BQ_PER_MBQ * patient.activity_map_mbq_per_ml(time_h, decay_per_h, therapeutic=True)
    rng = stream(patient.seed, patient.index, f"spect {time_h!r}")
    camera = centre(patient.centre).spect
    image = emission_image(true, camera, grid.spacing_mm[0], spect_calibration(patient, time_h), rng)
    return Volume(image.astype(np.float32), grid, "Bq/mL")
