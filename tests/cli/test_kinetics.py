"""The `theradose fit` and `theradose translate` commands."""

import json
import math

import pytest
from typer.testing import CliRunner

from theradose.cli.kinetics import _stds
from theradose.cli.main import app
from theradose.errors import FitError
from theradose.physics.kinetics import METHODS, fit_or_population, tia_by
from theradose.physics.single_time import SINGLE_TIME_METHODS
from theradose.vocabulary import FLAGS, RESEARCH_USE_ONLY

TIMES, ACTIVITIES = (4.0, 24.0, 72.0, 168.0), (46.0, 30.0, 10.5, 1.3)
FOUR = "fit --nuclide Lu-177 --time-h 4 24 72 168 --activity-mbq 46 30 10.5 1.3"
RISING = "fit --nuclide Lu-177 --time-h 24 96 --activity-mbq 10 9"
ONE = "fit --nuclide Lu-177 --time-h 72 --activity-mbq 10"
TRANSLATE = "translate --from Lu-177 --to Y-90"
KEYS = {"tia_mbq_h", "tia_std_mbq_h", "model", "parameters", "tail_fraction", "flags", "t_eff_h", "aicc"}


def call(words: str):
    return CliRunner().invoke(app, words.split())


def answer(words: str) -> dict:
    done = call(f"{words} --json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(words: str) -> dict:
    done = call(f"{words} --json")
    assert done.exit_code == 2, done.output
    found = json.loads(done.stdout)
    assert set(found) == {"refused", "reason"}
    return found


def test_the_answer_is_what_the_function_gives() -> None:
    found = answer(FOUR)
    fit = tia_by("auto", TIMES, ACTIVITIES, [0.05 * max(a, 0.1 * 46.0) for a in ACTIVITIES], half_life_h=159.528)
    assert set(found) >= KEYS
    assert (found["tia_mbq_h"], found["tia_std_mbq_h"]) == (fit.tia_mbq_h, fit.tia_std_mbq_h)
    assert (found["model"], found["parameters"], found["relative_std"]) == (fit.model, fit.parameters, 0.05)


def test_uncertainties_are_taken_as_given_or_as_a_part_of_the_activity() -> None:
    one = answer(f"{FOUR} --std-mbq 4.6 3.0 1.05 0.46")
    assert one["tia_std_mbq_h"] == pytest.approx(answer(f"{FOUR} --relative-std 0.1")["tia_std_mbq_h"])
    assert one["tia_std_mbq_h"] == pytest.approx(2 * answer(FOUR)["tia_std_mbq_h"], rel=1e-6)
    assert "relative_std" not in one


@pytest.mark.parametrize("model", [m for m in METHODS if m not in {"bi", "bi_uptake", "tri"}])
def test_every_model_answers(model: str) -> None:
    found = answer(f"{FOUR} --model {model} --uptake-half-time-h 0.5")
    assert found["model"] in {model, "mono", "mono_uptake"}
    assert found["tia_mbq_h"] == pytest.approx(2300, rel=0.15)
    assert set(found["flags"]) <= set(FLAGS)


@pytest.mark.parametrize("method", SINGLE_TIME_METHODS)
def test_one_scan(method: str) -> None:
    found = answer(f"{ONE} --model {method} --population-t-eff-h 48 --population-cv 0.2")
    assert found["tia_mbq_h"] == pytest.approx(10 * 2**1.5 * 48 / math.log(2), rel=0.1)
    assert "single_time_point" in found["flags"]
    assert found["aicc"] is None


def test_a_refused_fit_takes_the_declared_half_life_and_says_so() -> None:
    found = answer(f"{RISING} --population-t-eff-h 52")
    assert (found["model"], found["fit_refused"]) == ("population", "rising_activity")
    assert found["t_eff_h"] == pytest.approx(52.0)
    assert "population_half_life" in found["flags"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (RISING, "rising_activity"),
        (f"{RISING} --model trapezoid --population-t-eff-h 52", "rising_activity"),
        (ONE, "too_few_points"),
        ("fit --nuclide Lu-177 --time-h 4 24 72 --activity-mbq 46 30 10 --model bi", "too_few_points"),
        ("fit --nuclide Lu-177 --time-h 4 24 72 --activity-mbq 46 0 0", "not_positive"),
        (f"{FOUR} --relative-std 2", "uncertain_parameters"),
        (f"{FOUR} --model mono_uptake", "uptake_not_declared"),
        (f"{FOUR} --model madsen --population-t-eff-h 40", "one_scan_only"),
        (f"{TRANSLATE} --lambda-eff-per-h 0.004", "negative_lambda_bio"),
    ],
)
def test_refusals_have_reasons(words: str, reason: str) -> None:
    found = refused(words)
    assert found["refused"] == reason
    assert len(found["reason"]) > 20


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (FOUR.replace("Lu-177", "Lu-178x"), "unknown_nuclide"),
        (f"{FOUR} --model cubic", "unknown_model"),
        (f"{FOUR} --std-mbq 1 2", "unequal_lengths"),
        (FOUR.replace("24", "4"), "equal_times"),
        (FOUR.replace("24", "-24"), "negative_time"),
        (FOUR.replace("10.5", "nan"), "not_finite"),
        (FOUR.replace("4 24 72 168", "14400 86400 259200 604800"), "implausible_time"),
        (FOUR.replace("168", "400000"), "implausible_time"),
        *((f"{FOUR} --relative-std {bad}", "impossible_value") for bad in ("0", "nan", "-0.1", "inf")),
        *((f"{FOUR} --uptake-half-time-h {bad}", "impossible_value") for bad in ("0", "nan", "inf")),
        *((f"{RISING} --population-t-eff-h {bad}", "impossible_value") for bad in ("0", "nan", "inf")),
        *(
            (f"{RISING} --population-t-eff-h 48 --population-cv {bad}", "impossible_value")
            for bad in ("0", "2.1", "nan")
        ),
        *((f"{ONE} --model {m} --population-t-eff-h 159.6", "impossible_value") for m in SINGLE_TIME_METHODS),
        *((f"{TRANSLATE} --lambda-eff-per-h {bad}", "impossible_value") for bad in ("0", "nan", "inf", "-1")),
        (f"{TRANSLATE} --lambda-eff-per-h 0.02 --amplitude nan", "impossible_value"),
        (f"{TRANSLATE} --lambda-eff-per-h 0.02 --uptake-half-time-h 0", "impossible_value"),
        (f"{ONE} --model madsen", "population_missing"),
        (f"{FOUR} --uptake-half-time-h -1", "impossible_value"),
        (f"{FOUR} --model trapezoid --tail none", "unknown_tail"),
        (f"{TRANSLATE} --lambda-eff-per-h 0.02 0.2", "amplitudes_missing"),
        (f"{TRANSLATE} --lambda-eff-per-h 0.5 --uptake-half-time-h 2", "impossible_value"),
    ],
)
def test_bad_requests_are_sentences(words: str, code: str) -> None:
    found = refused(words)
    assert found["refused"] == code
    assert len(found["reason"]) > 20
    assert not any(odd in found["reason"] for odd in ("np.", "array", "("))


def test_a_zero_has_the_uncertainty_of_a_tenth_of_the_largest() -> None:
    assert _stds([30.0, 25.0, 12.0, 0.0], 0.05) == pytest.approx([1.5, 1.25, 0.6, 0.15])
    found = answer(FOUR.replace("46 30 10.5 1.3", "30 25 12 0"))
    assert found["tia_mbq_h"] > 20 * 27.5 + 48 * 18.5  # what lies between the first three scans alone
    assert "poor_fit" in found["flags"]


def test_a_declared_half_life_is_printed_as_declared() -> None:
    words = f"{ONE} --model madsen --population-t-eff-h 48 --population-cv 0.2"
    found = answer(words)
    assert (found["population_t_eff_h"], found["population_cv"]) == (48.0, 0.2)
    assert found["t_eff_h"] < 47.9  # of the mean constant
    assert "48 h, relative spread 0.2 (as declared)" in call(words).stdout
    assert "population_t_eff_h" not in answer(f"{FOUR} --population-t-eff-h 48")


def test_a_rise_is_replaced_as_the_library_does_it() -> None:
    activity = (3.0, 12.0, 25.0, 30.0)
    known = {"half_life_h": 159.528, "t_eff_h": 48.0, "t_eff_cv": 0.25}
    fit = fit_or_population(TIMES, activity, _stds(activity, 0.05), **known)
    found = answer(f"{FOUR.replace('46 30 10.5 1.3', '3 12 25 30')} --population-t-eff-h 48")
    assert (found["tia_mbq_h"], found["fit_refused"]) == (pytest.approx(fit.tia_mbq_h, rel=1e-6), "rising_activity")


def test_without_json_a_table_with_units_and_an_error_that_the_command_prints() -> None:
    done = call(f"{FOUR} --model average")
    assert done.exit_code == 0
    assert done.stdout.startswith(RESEARCH_USE_ONLY)
    for words in ("MBq.h", "weight of mono", "1/h", "of the TIA"):
        assert words in done.stdout
    assert isinstance(call(RISING).exception, FitError)


def test_translation() -> None:
    found = answer(f"{TRANSLATE} --lambda-eff-per-h 0.014081")
    assert found["tiac_ratio"] == pytest.approx(0.6852, abs=5e-5)
    assert found["t_eff_h"] == pytest.approx(33.73, abs=5e-3)
    assert "0.6852 (Y-90 / Lu-177)" in call(f"{TRANSLATE} --lambda-eff-per-h 0.014081").stdout


def test_translation_of_several_terms_weighs_them_and_knows_an_uptake() -> None:
    slow, fast, both = (
        answer(f"{TRANSLATE} --lambda-eff-per-h {rates}")["tiac_ratio"]
        for rates in ("0.02", "0.2", "0.02 0.2 --amplitude 50 30")
    )
    before = (50 / 0.02, 30 / 0.2)
    assert both == pytest.approx((before[0] * slow + before[1] * fast) / sum(before))
    uptake = answer(f"{TRANSLATE} --lambda-eff-per-h 0.02 --uptake-half-time-h 2")["tiac_ratio"]
    lu, y, rise = math.log(2) / 159.528, math.log(2) / 64.1, math.log(2) / 2
    moved = 0.02 - lu + y
    assert uptake == pytest.approx((1 / moved - 1 / (rise + y)) / (1 / 0.02 - 1 / (rise + lu)), rel=1e-5)
