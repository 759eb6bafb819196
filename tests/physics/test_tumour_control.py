"""Tumour control: by hand, against a slow average over patients, and habitats that differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from theradose.errors import DataError
from theradose.physics.limits import EXTERNAL_BEAM_WARNING
from theradose.physics.radiobiology import bed_over_cycles_gy, g_factor_single
from theradose.physics.tumour_control import (
    Habitat,
    equivalent_uniform_bed_gy,
    external_beam_tcp,
    habitat_responses,
    poisson_tcp,
)

BEDS = st.lists(st.floats(0, 150), min_size=1, max_size=20)


def test_control_by_hand() -> None:
    # 1e6 cells, alpha BED = ln 1e6: one survivor on average, TCP = 1/e.
    assert poisson_tcp([np.log(1e6) / 0.3], 1e6, 0.3) == pytest.approx(np.exp(-1.0))
    assert poisson_tcp([0.0], 1e6, 0.3) == 0.0
    assert poisson_tcp([0.0], 0.0, 0.3) == 1.0


@given(BEDS)
def test_voxels_multiply(beds: list[float]) -> None:
    whole = poisson_tcp(beds, 1e4, 0.2)
    assert whole == pytest.approx(np.prod([poisson_tcp([bed], 1e4, 0.2) for bed in beds]), abs=1e-12)


@pytest.mark.parametrize("bed", [40.0, 60.0, 100.0, 160.0])
def test_patients_differ(bed: float) -> None:
    def density(z: float) -> float:
        control = np.exp(-1e7 * np.exp(-max(0.35 + 0.08 * z, 0.0) * bed))
        return float(control * np.exp(-z * z / 2.0) / np.sqrt(2.0 * np.pi))

    slow = quad(density, -8.0, 8.0, points=[-1.0, 0.0, 1.0], limit=400, epsabs=1e-12)[0]
    assert poisson_tcp([bed], 1e7, 0.35, 0.08) == pytest.approx(slow, abs=2e-6)


def test_external_beam_numbers_never_come_without_their_warning() -> None:
    value, note = external_beam_tcp(70.0, 10.0)
    assert value == pytest.approx(poisson_tcp([70.0] * 10, 1e7, 0.35, 0.08))
    assert EXTERNAL_BEAM_WARNING in note
    value, note = external_beam_tcp(np.nan, 10.0)
    assert np.isnan(value)
    assert note == ""


@given(BEDS, st.floats(0.05, 0.6))
def test_equivalent_uniform_bed_leaves_as_many_cells(beds: list[float], alpha: float) -> None:
    uniform = equivalent_uniform_bed_gy(beds, alpha)
    assert min(beds) - 1e-9 <= uniform <= np.mean(beds) + 1e-9
    assert np.exp(-alpha * uniform) == pytest.approx(np.mean(np.exp(-alpha * np.array(beds))), rel=1e-9)


STEADY, HYPOXIC, SLOW = Habitat(0.3, 10.0, 1.5, 1e6), Habitat(0.12, 10.0, 1.5, 1e6), Habitat(0.3, 10.0, 12.0, 1e6)


def test_each_habitat_has_its_own_radiobiology() -> None:
    rng = np.random.default_rng(5)
    dose = rng.gamma(20.0, 0.6, (4, 3, 4, 5))
    labels = np.zeros((3, 4, 5), int)
    labels[0], labels[1], labels[2, :2] = 1, 2, 3
    found = habitat_responses(dose, labels, {1: STEADY, 2: HYPOXIC, 3: SLOW}, t_eff_h=60.0, voxel_ml=0.1)
    for number, habitat in ((1, STEADY), (2, HYPOXIC), (3, SLOW)):
        part = dose[:, labels == number]
        bed = bed_over_cycles_gy(part, g_factor_single(60.0, habitat.t_repair_h), habitat.alpha_beta_gy)
        response = found[number]
        assert response.volume_ml == pytest.approx(0.1 * part.shape[1])
        assert response.dose_gy == pytest.approx(part.sum(axis=0).mean())
        assert response.bed_gy == pytest.approx(bed.mean())
        assert response.eubed_gy < response.bed_gy
        survivors = np.sum(1e5 * np.exp(-habitat.alpha_per_gy * bed))
        assert response.tcp == pytest.approx(np.exp(-survivors))


def test_slow_repair_raises_the_bed_and_resistance_lowers_control() -> None:
    dose, labels = np.full((4, 1, 1, 3), 15.0), np.array([[[1, 2, 3]]])
    found = habitat_responses(dose, labels, {1: STEADY, 2: HYPOXIC, 3: SLOW}, t_eff_h=60.0, voxel_ml=1.0)
    assert found[3].bed_gy > found[1].bed_gy == found[2].bed_gy
    assert found[2].tcp < 1e-6 < 0.9 < found[1].tcp < found[3].tcp


def test_what_cannot_be_is_refused() -> None:
    dose, labels = np.ones((1, 1, 1, 2)), np.array([[[1, 1]]])
    with pytest.raises(DataError, match="no label 2"):
        habitat_responses(dose, labels, {2: STEADY}, t_eff_h=60.0, voxel_ml=1.0)
    with pytest.raises(DataError):
        habitat_responses(dose, labels[..., :1], {1: STEADY}, t_eff_h=60.0, voxel_ml=1.0)
    for wrong in ((-1.0, 1e6, 0.3), (1.0, -1.0, 0.3), (1.0, 1e6, 0.0)):
        with pytest.raises(DataError):
            poisson_tcp([wrong[0]], *wrong[1:])
