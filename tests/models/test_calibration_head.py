import numpy as np
import pytest

from theradose.errors import SettingsError
from theradose.models.calibration_head import Head, fit_head, nelder_mead

BODY = np.ones((6, 12, 12), bool)
PATIENTS = ["a", "a", "b", "b", "c", "c"]


def maps(seed=0):
    return np.random.default_rng(seed).lognormal(-1.0, 1.2, BODY.shape).astype(np.float32)


def test_a_planted_scale_is_recovered():
    predicted = maps()
    head = fit_head(predicted, np.float32(1.3) * predicted, BODY, PATIENTS)
    assert len(head.gains) == 4
    assert np.exp(head.gains) == pytest.approx(1.3, rel=1e-3)
    assert head.apply(maps(1)) == pytest.approx(1.3 * maps(1), rel=1e-3)


def test_a_planted_power_is_followed():
    # Exact between the knots only: beyond the outermost the head is a scale, so the hottest 0.1 % lag behind.
    predicted = maps()
    wanted = 0.8 * predicted**1.2
    head = fit_head(predicted, wanted, BODY, PATIENTS)
    before, after = (float(np.sqrt(((x - wanted) ** 2).mean())) for x in (predicted, head.apply(predicted)))
    assert after < 0.1 * before
    slope = (head.gains[2] - head.gains[1]) / (head.knots[2] - head.knots[1])
    assert slope == pytest.approx(0.2, abs=0.02)


def test_a_planted_head_is_found_again():
    predicted = maps()
    planted = Head(
        np.log(np.quantile(predicted.astype(float), (0.5, 0.9, 0.99, 0.999))), np.array([0.0, 0.0, 0.4, 0.7])
    )
    head = fit_head(predicted, planted.apply(predicted), BODY, PATIENTS)
    assert head.gains == pytest.approx(planted.gains, abs=0.01)


def test_what_lies_outside_the_body_or_gets_no_dose_plays_no_part():
    predicted, half = maps(), BODY.copy()
    half[:, :6] = False
    predicted[:, 11] = 0.0
    wanted = np.where(half, 1.5 * predicted, 99.0)
    head = fit_head(predicted, wanted, half, PATIENTS)
    assert np.exp(head.gains) == pytest.approx(1.5, rel=1e-3)
    assert head.apply(predicted)[:, 11].max() == 0.0
    assert head.apply(predicted).dtype == np.float32


def test_an_empty_prediction_is_left_as_it_is():
    head = fit_head(np.zeros_like(maps()), maps(), BODY, PATIENTS)
    assert head.apply(maps()) == pytest.approx(maps(), rel=1e-6)


def test_by_hand():
    head = Head(np.log([1.0, 4.0]), np.array([0.0, np.log(2.0)]))
    assert head.apply(np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0])).tolist() == pytest.approx(
        [0.0, 0.5, 1.0, 2.0 * np.sqrt(2.0), 8.0, 16.0]
    )


def test_the_search_finds_a_minimum_and_refuses_more_than_twenty_numbers():
    target = np.linspace(-1.0, 1.0, 10)
    found = nelder_mead(lambda x: float(((x - target) ** 2).sum()), np.zeros(10))
    assert found == pytest.approx(target, abs=1e-3)
    with pytest.raises(SettingsError, match="does not train networks"):
        nelder_mead(lambda x: 0.0, np.zeros(21))
