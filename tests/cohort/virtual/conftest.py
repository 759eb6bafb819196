"""A few virtual patients shared by the tests of the virtual cohort."""

from collections.abc import Callable

import pytest

from theradose.cohort.virtual.patient import VirtualPatient, virtual_patient


def make(seed: int, index: int, spacing_mm: float = 8.0) -> VirtualPatient:
    return virtual_patient(
        seed, index, centres=("north", "south"), spacing_mm=spacing_mm, difficulty="xue_like", texture_coupling=0.6
    )


@pytest.fixture(scope="session")
def patient_of() -> Callable[..., VirtualPatient]:
    return make


@pytest.fixture(scope="session")
def patients() -> list[VirtualPatient]:
    return [make(5, index) for index in range(8)]


@pytest.fixture(scope="session")
def patient(patients: list[VirtualPatient]) -> VirtualPatient:
    return patients[0]
