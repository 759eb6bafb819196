"""How hard the cohort is to predict: presets of the drift between diagnostic and therapeutic injection."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difficulty:
    """A preset: least sd of the log drift of receptor uptake, and factor on the centres' PET calibration bias."""

    least_drift_sd: float = 0.0
    pet_bias_factor: float = 1.0


# The literature disagrees (r about 0.6 between PET uptake and dose, or 15.8 % error): all presets are reported.
DIFFICULTY: dict[str, Difficulty] = {
    "xue_like": Difficulty(),  # the drift of the kinetics table: 0.12 for kidneys, 0.15 for glands
    "hagmarker_like": Difficulty(least_drift_sd=0.30),
    "hard": Difficulty(least_drift_sd=0.30, pet_bias_factor=2.0),  # +0.10 of centre `south` becomes +0.20
}
