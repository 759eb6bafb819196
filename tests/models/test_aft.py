import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm

from theradose.errors import DataError
from theradose.models.aft import fit_aft, hazard, negative_log_likelihood, spread, survival
from theradose.models.aft_network import AFT_LOSSES, AftNetwork, aft


def sample(seed=1, n=200, k=3, censored=True):
    """Return x, log time and whether observed of a log-normal model that is cut at random times."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k))
    y = 2.5 + x @ np.array([0.5, -0.3, 0.0][:k]) + 0.4 * rng.normal(size=n)
    end = rng.normal(2.9, 0.7, n) if censored else np.full(n, np.inf)
    return x, np.minimum(y, end), y <= end


def by_scipy(x, y, observed, alpha):
    """Minimise the same likelihood in (b0, b, ln s) without its derivatives."""

    def loss(p):
        z = (y - p[0] - x @ p[1:-1]) / np.exp(p[-1])
        terms = np.where(observed, norm.logpdf(z) - p[-1], norm.logsf(z))
        return -terms.sum() + 0.5 * alpha * (p[1:-1] ** 2).sum() / np.exp(2 * p[-1])

    return minimize(loss, np.zeros(x.shape[1] + 2), method="BFGS", options={"gtol": 1e-7, "maxiter": 2000}).x


@pytest.mark.parametrize("alpha", [0.0, 20.0])
def test_newton_finds_what_scipy_finds(alpha):
    x, y, observed = sample()
    assert 30 < (~observed).sum() < 100
    found, other = fit_aft(x, y, observed, alpha), by_scipy(x, y, observed, alpha)
    assert [found.intercept, *found.slope] == pytest.approx(other[:-1], abs=2e-4)
    assert found.log_sd == pytest.approx(np.exp(other[-1]), rel=1e-3)


def test_without_censoring_it_is_least_squares():
    x, y, observed = sample(censored=False)
    found = fit_aft(x, y, observed)
    design = np.column_stack([np.ones(len(y)), x])
    b = np.linalg.lstsq(design, y, rcond=None)[0]
    assert [found.intercept, *found.slope] == pytest.approx(b, abs=1e-8)
    assert found.log_sd == pytest.approx(np.sqrt(np.mean((y - design @ b) ** 2)), rel=1e-4)


def test_ridge_without_censoring_is_ridge_regression():
    x, y, observed = sample(censored=False)
    x -= x.mean(axis=0)
    found = fit_aft(x, y, observed, 50.0)
    b = np.linalg.solve(x.T @ x + 50.0 * np.eye(3), x.T @ (y - y.mean()))
    assert found.slope == pytest.approx(b, abs=1e-8)


def test_censoring_moves_the_median_up():
    """A third cut in half: who takes them for events sees the median too early, the fit does not."""
    rng = np.random.default_rng(3)
    y, observed = 2.0 + 0.5 * rng.normal(size=4000), rng.random(4000) > 0.33
    cut = np.where(observed, y, y - rng.exponential(0.3, 4000))
    no_x = np.zeros((4000, 0))
    assert fit_aft(no_x, cut, np.ones(4000)).intercept < 1.95
    assert fit_aft(no_x, cut, observed).intercept > fit_aft(no_x, cut, np.ones(4000)).intercept + 0.05


def test_planted_median_and_spread_are_found_under_censoring():
    x, y, observed = sample(seed=5, n=20000)
    found = fit_aft(x, y, observed)
    assert found.intercept == pytest.approx(2.5, abs=0.01)
    assert found.slope == pytest.approx([0.5, -0.3, 0.0], abs=0.012)
    assert found.log_sd == pytest.approx(0.4, abs=0.01)


def test_spread_by_hand():
    assert spread(np.array([0.3, -0.4]), np.array([True, True])) == pytest.approx(np.sqrt(0.125), rel=1e-3)
    assert spread(np.array([0.3, -0.4, 0.5]), np.array([1, 1, 0])) > np.sqrt(0.125)


def test_the_same_time_for_all_gives_a_small_spread_and_no_fault():
    found = fit_aft(np.zeros((5, 0)), np.full(5, 2.0), np.ones(5))
    assert found.intercept == pytest.approx(2.0)
    assert 0 < found.log_sd < 0.02


def test_nobody_observed_is_refused():
    with pytest.raises(DataError, match="THR-422 nobody has an observed latency"):
        fit_aft(np.zeros((3, 0)), np.ones(3), np.zeros(3))


def test_more_columns_than_patients_have_one_answer():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(20, 60)), rng.normal(size=20)
    found = fit_aft(x, y, rng.random(20) < 0.7, 10.0)
    assert np.isfinite([found.intercept, *found.slope, found.log_sd]).all()


def test_likelihood_by_hand():
    """One event half a spread late, one censored at the median: (0.125 + ln 0.4 + ln sqrt(2 pi) + ln 2) / 2."""
    hand = (0.125 + np.log(0.4) + 0.5 * np.log(2 * np.pi) + np.log(2)) / 2
    assert negative_log_likelihood(np.array([0.2, 0.0]), np.array([1, 0]), 0.4) == pytest.approx(hand)


def test_survival_by_hand():
    assert survival(np.log([10.0, 20.0]), 0.5, 10.0) == pytest.approx([0.5, norm.cdf(np.log(2) / 0.5)])
    assert survival(np.log([10.0]), 0.5, 0.0) == pytest.approx([1.0])


@given(st.floats(-30, 300))
def test_hazard_of_any_size(u):
    h = float(hazard(np.array(u)))
    assert h >= max(u, 0.0) - 1e-9 * abs(u)
    assert h == pytest.approx(np.exp(norm.logpdf(u) - norm.logsf(u)), rel=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 3), st.booleans()), min_size=1, max_size=20), st.floats(-1.5, 1.0))
def test_torch_loss_is_the_likelihood(cases, log_sd):
    residual, observed = np.array([r for r, _ in cases]), np.array([seen for _, seen in cases])
    output = torch.tensor([[0.0, log_sd]] * len(cases), dtype=torch.float64)
    target = torch.tensor(np.column_stack([residual, observed]), dtype=torch.float64)
    assert float(aft(output, target)) == pytest.approx(
        negative_log_likelihood(residual, observed, float(np.exp(log_sd))), rel=1e-9
    )


def test_gradient_of_the_torch_loss():
    """d/dmu and d/dlog s of one event and one censored case, by differences."""
    target = torch.tensor([[1.2, 1.0], [0.9, 0.0]], dtype=torch.float64)
    output = torch.tensor([[1.0, -0.5], [1.1, -0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: aft(x, target), (output,))
    [slope] = torch.autograd.grad(aft(output, target), output)
    s = np.exp(-0.5)
    z = np.array([0.2, -0.2]) / s
    by_hand = np.array([-z[0] / s, -float(hazard(z[1:])[0]) / s]) / 2
    assert slope[:, 0].numpy() == pytest.approx(by_hand)


def test_literal_loss_ignores_the_censored():
    output = torch.tensor([[1.0, 9.0], [50.0, 9.0], [2.0, 9.0]])
    target = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    assert float(AFT_LOSSES["rmse_uncensored"](output, target)) == pytest.approx(np.sqrt(2.5))
    assert float(AFT_LOSSES["rmse_uncensored"](output[1:2], target[1:2])) == pytest.approx(0.0, abs=1e-5)


def test_network_gives_one_spread_to_all():
    found = AftNetwork(3, [4], 0.0)(torch.randn(5, 3))
    assert found.shape == (5, 2)
    assert (found[:, 1] == found[0, 1]).all()
