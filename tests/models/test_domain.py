"""Laws of the applicability domain; on virtual patients of tier 1 what it is for: doubt where errors are larger."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from theradose.cohort.virtual.limits import World
from theradose.errors import DataError
from theradose.models.domain import KEY, Domain, held_together
from theradose.models.examples import SUV, VOLUME, WEIGHT, OrganExamples
from theradose.models.linear import RidgeDose
from theradose.models.predictors import TrainingPlan

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "learning.py"
spec = importlib.util.spec_from_file_location("benchmark_of_learning_for_domain", FILE)
benchmark = importlib.util.module_from_spec(spec)
# A dataclass looks its module up by name.
importlib.import_module("sys").modules[spec.name] = benchmark
spec.loader.exec_module(benchmark)

COUPLING, DRAWS, FRESH = benchmark.COUPLING, 20, 5000


def people(n, seed=1, **columns):
    """Return n log-normal patients with the key inputs and one more column, or with columns given."""
    rng = np.random.default_rng(seed)
    table = {name: np.exp(0.3 * rng.standard_normal(n)) for name in (*KEY, "pet.other")} | columns
    return OrganExamples("kidneys", [f"p{i}" for i in range(n)], ["train"] * n, pd.DataFrame(table), np.full(n, np.nan))


def with_values(examples, **values):
    """Return the examples with other values, `suv` for SUV and so on."""
    names = {"suv": SUV, "volume": VOLUME, "weight": WEIGHT, "egfr": KEY[3], "other": "pet.other"}
    table = examples.covariates.assign(**{names[key]: value for key, value in values.items()})
    return replace(examples, covariates=table)


def test_an_ordinary_patient_is_inside_and_a_foreign_one_is_not():
    domain = Domain.fit(people(60), ["pet.other"])
    assert domain.columns == (*KEY, "pet.other")
    middle = with_values(people(1), suv=1.0, volume=1.0, weight=1.0, egfr=1.0, other=1.0)
    assert domain.score(middle)[0] < domain.cut
    assert domain.abstain(middle) == [[]]
    far = with_values(middle, suv=1000.0)
    assert domain.score(far)[0] > 10 * domain.cut
    assert all(SUV in reason and "1e+03" in reason for reason in domain.abstain(far)[0])


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**6))
def test_reasons_are_given_exactly_above_the_cut(seed):
    domain, new = Domain.fit(people(40), ["pet.other"]), people(30, seed)
    new = with_values(new, suv=new.column(SUV) * np.where(np.arange(30) % 3, 1.0, 2.0))
    assert [bool(reasons) for reasons in domain.abstain(new)] == list(domain.score(new) > domain.cut)


@settings(deadline=None, max_examples=12)
@given(st.floats(0.01, 100.0), st.integers(0, 10**6))
def test_the_unit_of_a_positive_column_does_not_matter(factor, seed):
    training, new = people(40), people(20, seed)
    scaled = [with_values(some, suv=factor * some.column(SUV)) for some in (training, new)]
    expected = Domain.fit(training, []).score(new)
    np.testing.assert_allclose(Domain.fit(scaled[0], []).score(scaled[1]), expected, rtol=1e-8)


@settings(deadline=None, max_examples=12)
@given(st.floats(3.0, 50.0), st.floats(1.1, 10.0))
def test_farther_is_never_less_foreign(value, factor):
    domain, one = Domain.fit(people(40), []), people(1)
    near, far = (domain.score(with_values(one, suv=v))[0] for v in (value, value * factor))
    assert far >= near


def test_the_order_of_patients_does_not_matter_to_a_score_of_others():
    """Folds follow the order, so units and cut may differ a little; what is learned of the rows may not."""
    training = people(60)
    back = replace(training, covariates=training.covariates[::-1].reset_index(drop=True))
    first, second = Domain.fit(training, []), Domain.fit(back, [])
    np.testing.assert_allclose(first.arrays["rows"], second.arrays["rows"], atol=1e-12)
    np.testing.assert_allclose(first.arrays["inverse"], second.arrays["inverse"], atol=1e-12)


def test_restored_from_bytes_gives_equal_scores():
    domain, new = Domain.fit(people(40), ["pet.other"]), people(20, 3)
    again = Domain.restore(domain.notes(), load(save(domain.tensors())))
    assert again.score(new).tobytes() == domain.score(new).tobytes()
    assert again.abstain(new) == domain.abstain(new)


def test_training_patients_are_scored_beside_those_of_other_folds_as_the_cut_was_made():
    examples = people(60)
    domain = Domain.fit(examples, ["pet.other"])
    scores = domain.score_out_of_fold(examples)
    assert np.mean(scores <= domain.cut) == pytest.approx(0.95, abs=0.02)
    # Whoever is among those he is held beside finds himself near: only then a twin of nobody looks usual.
    far = with_values(examples, other=np.where(np.arange(60) == 7, 50.0, examples.column("pet.other")))
    alone = Domain.fit(far, ["pet.other"])
    assert alone.score_out_of_fold(far)[7] > 2 * alone.score(far)[7]
    gap = with_values(examples, suv=np.where(np.arange(60) == 3, np.nan, examples.column(SUV)))
    assert np.flatnonzero(np.isinf(domain.score_out_of_fold(gap))).tolist() == [3]


@pytest.mark.parametrize(("n", "low", "high"), [(24, 0.01, 0.12), (200, 0.02, 0.09)])
def test_organs_held_together_keep_the_patients_whom_each_alone_would_lose(n, low, high):
    """Six organs without anything in common: each doubts its 5 %, any of them a quarter of the patients or more."""
    parts = {f"o{i}": people(n, i) for i in range(6)}
    fresh = {organ: people(2000, 100 + i) for i, organ in enumerate(parts)}

    def any_doubt(domains):
        return np.mean(np.any([domain.score(fresh[organ]) > domain.cut for organ, domain in domains.items()], axis=0))

    alone = {organ: Domain.fit(examples, []) for organ, examples in parts.items()}
    together = held_together(alone, parts)
    assert any_doubt(alone) > 0.2
    assert low < any_doubt(together) < high
    far = {organ: with_values(examples, suv=100.0) for organ, examples in fresh.items()}
    assert all((domain.score(far[organ]) > domain.cut).all() for organ, domain in together.items())
    first = np.arange(n) == 0
    gap = {organ: with_values(own, egfr=np.where(first, np.nan, own.column(KEY[3]))) for organ, own in parts.items()}
    assert all(np.isfinite(domain.cut) for domain in held_together(alone, gap).values())


def test_a_missing_key_input_is_a_reason_and_another_gap_is_none():
    domain, one = (
        Domain.fit(people(40), ["pet.other"]),
        with_values(people(1), suv=1.0, volume=1.0, weight=1.0, egfr=1.0),
    )
    gap = with_values(one, weight=np.nan)
    assert domain.score(gap)[0] == np.inf
    assert domain.abstain(gap) == [[f"{WEIGHT} is missing"]]
    assert domain.abstain(with_values(one, other=np.nan)) == [[]]


def test_columns_that_never_vary_or_are_not_there_are_left_out():
    training = people(40, **{"pet.other": np.ones(40), "pet.empty": np.full(40, np.nan)})
    assert Domain.fit(training, ["pet.other", "pet.empty", "pet.unheard_of"]).columns == KEY
    assert Domain.fit(replace(training, covariates=training.covariates.drop(columns=KEY[3])), []).columns == KEY[:3]


def test_rare_and_negative_values_have_a_spread():
    rare = (np.arange(40) == 3).astype(float)
    domain = Domain.fit(people(40, **{"pet.rare": rare, "pet.sign": np.linspace(-1, 1, 40)}), ["pet.rare", "pet.sign"])
    assert np.isfinite(domain.score(people(5, 2, **{"pet.rare": np.ones(5), "pet.sign": np.zeros(5)}))).all()


def test_no_dose_is_looked_at():
    training = people(40)
    other = replace(training, dose=np.ones(40))
    assert save(Domain.fit(training, []).tensors()) == save(Domain.fit(other, []).tensors())


def test_too_few_patients_are_refused():
    with pytest.raises(DataError, match="9 patients"):
        Domain.fit(people(9), [])


def test_two_key_inputs_that_contradict_each_other_are_named_together():
    rng = np.random.default_rng(0)
    volume = np.exp(0.5 * rng.standard_normal(100))
    training = with_values(people(100), volume=volume, weight=volume * np.exp(0.02 * rng.standard_normal(100)))
    domain = Domain.fit(training, [])
    reasons = domain.abstain(with_values(people(1), suv=1.0, egfr=1.0, volume=1.7, weight=0.6))[0]
    together = [reason for reason in reasons if "together" in reason]
    assert len(together) == 1
    assert VOLUME in together[0]
    assert WEIGHT in together[0]


@pytest.fixture(scope="module")
def tier_one():
    """Return the training pool and fresh patients."""
    training, fresh = (benchmark.world_of(COUPLING, seed) for seed in (1, 2))
    return benchmark.examples_of(training, "kidneys", DRAWS * 165), benchmark.examples_of(fresh, "kidneys", FRESH)


def domains(tier_one, n):
    """Yield for each draw of n training patients a fitted ridge and the domain of its columns and all uptakes."""
    pool, fresh = tier_one
    uptakes = [name for name in fresh.covariates if name.startswith("pet.suv_mean_")]
    for draw in range(DRAWS):
        examples = benchmark.rows_of(pool, draw * 165, n)
        model = RidgeDose()
        model.fit(examples, seed=draw, training=TrainingPlan())
        yield model, Domain.fit(examples, [*model.state()["columns"], *uptakes])


@pytest.mark.slow
@pytest.mark.parametrize("n", [27, 165])
def test_errors_are_larger_outside(tier_one, n):
    """Of a model that learns from numbers alone: bootstrap over fresh patients, all draws of training patients."""
    fresh, rng = tier_one[1], np.random.default_rng(0)
    errors = {True: [], False: []}
    for model, domain in domains(tier_one, n):
        outside = domain.score(fresh) > domain.cut
        error = 100 * np.abs(np.exp(model.predict(fresh)) / fresh.dose - 1)
        for side, found in errors.items():
            found.append(np.where(outside == side, error, np.nan))
    means = []
    for _ in range(1000):
        drawn = rng.integers(0, len(fresh), len(fresh))
        out, inside = (np.nanmean([one[drawn] for one in errors[side]]) for side in (True, False))
        means.append(out - inside)
    assert np.quantile(means, 0.025) > 0


@pytest.mark.slow
@pytest.mark.parametrize("n", [27, 165])
def test_shifted_patients_are_flagged_and_ordinary_ones_are_not(tier_one, n):
    fresh = tier_one[1]
    many = benchmark.rows_of(fresh, 0, 1000)
    foreign = World("dotatate", "Lu-177", COUPLING, benchmark.CLINIC, 3).cohort(1000)
    seen = {name: benchmark.seen_suv(foreign, name, benchmark.CLINIC, 3) for name in foreign.mass_g}
    tracer = {SUV if name == "kidneys" else f"pet.suv_mean_{name}": values for name, values in seen.items()}
    shifts = {"unit": {SUV: 1000 * many.column(SUV)}, "tracer": tracer}
    flagged = {"ordinary": []} | {name: [] for name in shifts}
    for _, domain in domains(tier_one, n):
        flagged["ordinary"].append(np.mean(domain.score(fresh) > domain.cut))
        for name, shift in shifts.items():
            moved = replace(many, covariates=many.covariates.assign(**shift))
            flagged[name].append(np.mean(domain.score(moved) > domain.cut))
    assert np.mean(flagged["ordinary"]) <= 0.10
    assert np.mean(flagged["unit"]) >= 0.95
    assert np.mean(flagged["tracer"]) >= 0.95
