"""The random field: sd, correlation length on any grid, and means that stay."""

import numpy as np
import pytest

from theradose.cohort.virtual.texture import FIELD_LOG_SD, correlation_length_mm, random_field, textured


@pytest.mark.parametrize(("length_mm", "spacing_mm"), [(9.6, 4.0), (9.6, 2.0), (14.0, 4.0)])
def test_correlation_falls_to_exp_minus_half_at_its_length(length_mm: float, spacing_mm: float) -> None:
    field = random_field(np.random.default_rng(2).standard_normal((64, 64, 64)), length_mm, spacing_mm)
    assert field.std() == pytest.approx(1.0, abs=0.05)
    steps = np.arange(1, 6)
    measured = [float((field * np.roll(field, step, axis=0)).mean()) for step in steps]
    expected = np.exp(-((steps * spacing_mm) ** 2) / (2 * length_mm**2))
    assert measured == pytest.approx(expected, abs=0.07)


def test_correlation_length_by_hand() -> None:
    assert correlation_length_mm(0.0) == 9.6
    assert correlation_length_mm(1.0) == pytest.approx(9.6 * 1.41907, abs=1e-3)


def test_every_label_keeps_its_mean() -> None:
    labels = np.zeros((30, 20, 20), dtype=np.int16)
    labels[2:14, 3:15, 3:15], labels[16:28, 3:15, 3:15], labels[16:18, 16:18, 16:18] = 5, 7, 101
    relative = np.ones(labels.shape)
    relative[5:8, 6:9, 6:9] = 0.2
    pattern = textured(labels, relative, {5: 0.3, 7: -0.4}, 8.0, np.random.default_rng(1))
    for label in (0, 5, 7, 101):
        assert pattern[labels == label].mean() == pytest.approx(1.0)
    assert np.all(pattern[labels == 0] == 1.0)
    assert np.all(pattern[labels == 101] == 1.0)
    assert np.log(pattern[labels == 7]).std() == pytest.approx(FIELD_LOG_SD, rel=0.25)
    assert pattern[5:8, 6:9, 6:9].mean() < 0.35


def test_texture_of_one_organ_does_not_depend_on_another() -> None:
    labels = np.zeros((30, 20, 20), dtype=np.int16)
    labels[2:14, 3:15, 3:15], labels[16:28, 3:15, 3:15] = 5, 7
    ones = np.ones(labels.shape)
    both = textured(labels, ones, {5: 0.3, 7: -0.4}, 8.0, np.random.default_rng(1))
    changed = textured(labels, ones, {5: 0.3, 7: 1.4}, 8.0, np.random.default_rng(1))
    assert np.array_equal(both[labels == 5], changed[labels == 5])
    assert not np.allclose(both[labels == 7], changed[labels == 7])
