"""The `theradose bed` and `theradose plan` commands."""

import json

import pytest
from typer.testing import CliRunner

from theradose.cli.main import app
from theradose.physics.limits import EXTERNAL_BEAM_WARNING
from theradose.physics.planning import OrganRisk, plan_activity
from theradose.vocabulary import RESEARCH_USE_ONLY


def call(words: str):
    return CliRunner().invoke(app, words.split())


def ask(words: str) -> dict:
    done = call(f"{words} --json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_bed_of_kidneys_over_four_cycles():
    report = ask("bed --dose-gy 5.75 5.75 5.75 5.75 --t-eff-h 50 --organ kidneys")
    assert report["bed_gy"] == pytest.approx(25.70, abs=0.005)
    assert report["g_factor"] == pytest.approx(0.053030, abs=5e-7)
    assert report["eqd2_gy"] == pytest.approx(14.53, abs=0.01)
    assert report["dose_gy"] == 23.0
    assert EXTERNAL_BEAM_WARNING in report["ntcp_note"]
    assert {(x["name"], x["case"], x["value"]) for x in report["limits"]} >= {
        ("limit_bed_gy", "standard", 40.0), ("limit_bed_gy", "cautious", 28.0), ("limit_dose_gy", "standard", 23.0),
    }  # fmt: skip
    same = ask("bed --dose-gy 5.75 5.75 5.75 5.75 --t-eff-h 50 --alpha-beta-gy 2.6 --t-repair-h 2.8")
    assert same["bed_gy"] == report["bed_gy"]
    assert (same["organ"], same["ntcp"], same["limits"]) == (None, None, [])


def test_every_cycle_may_have_its_half_life_and_an_uptake():
    report = ask("bed --dose-gy 6 4 --t-eff-h 50 30 --organ kidneys")
    assert [c["g_factor"] for c in report["cycles"]] == pytest.approx([2.8 / 52.8, 2.8 / 32.8])
    by_hand = 10 + (36 * 2.8 / 52.8 + 16 * 2.8 / 32.8) / 2.6
    assert report["bed_gy"] == pytest.approx(by_hand)
    # The G factor printed is the one that gives this BED.
    assert 10 + 52 * report["g_factor"] / 2.6 == pytest.approx(by_hand)
    assert ask("bed --dose-gy 6 4 --t-eff-h 50 30 --uptake-half-time-h 3 --organ kidneys")["bed_gy"] < by_hand


def test_page_for_people_says_what_does_not_transfer():
    page = call("bed --dose-gy 5.75 --t-eff-h 50 --organ kidneys").stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    assert "BED 6.424 Gy" in page
    assert EXTERNAL_BEAM_WARNING in page
    assert "Bodei" in page


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("bed --dose-gy -1 --t-eff-h 50 --organ kidneys", "impossible_value"),
        ("bed --dose-gy 1 --t-eff-h 0 --organ kidneys", "impossible_value"),
        ("bed --dose-gy 1 2 3 --t-eff-h 50 40 --organ kidneys", "impossible_value"),
        ("bed --dose-gy 1 --t-eff-h 50 --organ kidney", "unknown_organ"),
        ("bed --dose-gy 1 --t-eff-h 50 --organ marrow", "no_constant"),
        ("bed --dose-gy 1 --t-eff-h 50", "missing_alpha_beta_gy"),
        ("plan --dose-gy-per-gbq kidneys=0.5 --exact", "missing_t_eff"),
        ("plan --dose-gy-per-gbq kidneys=0.5 --exact --limit-dose-gy kidneys=40", "missing_t_eff"),
        ("plan --dose-gy-per-gbq kidneys=0.5 --exact --t-eff-h kidneys=50 --given-bed-gy kidneys=41", "limit_exceeded"),
        ("plan --dose-gy-per-gbq marrow=0.03 --exact --given-gy marrow=1.5 marrow=0.6", "limit_exceeded"),
        ("plan --dose-gy-per-gbq marrow=0.03 --relative-std kidneys=0.2", "wrong_organ"),
        ("plan --dose-gy-per-gbq marrow=0.03 marrow=0.04", "wrong_organ"),
        ("plan --dose-gy-per-gbq 0.03", "wrong_organ"),
        (
            "plan --dose-gy-per-gbq kidneys=0.5 marrow=0.03 --relative-std kidneys=0.2 --t-eff-h 50",
            "missing_relative_std",
        ),
        ("plan --dose-gy-per-gbq marrow=0.03 --relative-std 20", "impossible_value"),
        ("plan --dose-gy-per-gbq marrow=0.03 --relative-std -0.2", "impossible_value"),
        ("plan --dose-gy-per-gbq marrow=0.03 --relative-std nan", "impossible_value"),
        ("plan --dose-gy-per-gbq marrow=0.03 --exact --given-gy 0.5 --given-bed-gy 0.6", "wrong_given"),
        ("plan --dose-gy-per-gbq marrow=0.03 --exact --given-bed-gy 0.6", "wrong_given"),
        ("plan --dose-gy-per-gbq kidneys=0.5 --exact --t-eff-h 50 --given-gy 5 --given-bed-gy 6", "wrong_given"),
        ("plan --dose-gy-per-gbq spleen=0.5 --exact", "unknown_organ"),
        ("plan --dose-gy-per-gbq marrow=-0.03", "impossible_value"),
        ("plan --dose-gy-per-gbq marrow=0.03 --exact --probability 1.5", "impossible_value"),
        ("plan --dose-gy-per-gbq marrow=0.03 --exact --distribution flat", "impossible_value"),
        ("plan --dose-gy-per-gbq lesions=3.4", "no_limit"),
    ],
)
def test_refusals_have_a_code_and_a_sentence(words, code):
    done = call(f"{words} --json")
    assert done.exit_code == 2, done.output
    report = json.loads(done.stdout)
    assert report["refused"] == code
    assert len(report["reason"]) > 30


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e200", "1e-200", "-1"])
@pytest.mark.parametrize(
    "words",
    [
        "bed --dose-gy X --t-eff-h 50 --organ kidneys",
        "bed --dose-gy 5 --t-eff-h X --organ kidneys",
        "bed --dose-gy 5 --t-eff-h 50 --alpha-beta-gy X --t-repair-h 2.8",
        "bed --dose-gy 5 --t-eff-h 50 --alpha-beta-gy 2.6 --t-repair-h X",
        "bed --dose-gy 5 --t-eff-h 50 --organ kidneys --uptake-half-time-h X",
        "plan --dose-gy-per-gbq marrow=X --exact",
        *(
            f"plan --dose-gy-per-gbq kidneys=0.5 lesions=3 --relative-std kidneys=0.2 --t-eff-h 50 --{option} X"
            for option in ("lesion-ml", "max-activity-gbq", "probability")
        ),
        *(
            f"plan --dose-gy-per-gbq kidneys=0.5 --exact --t-eff-h 50 --{option} kidneys=X"
            for option in (
                "relative-std", "t-eff-h", "given-gy", "given-bed-gy", "limit-bed-gy", "limit-dose-gy", "alpha-beta-gy",
                "t-repair-h",
            )
        ),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_get_a_sentence(words, number):
    done = call(words.replace("X", number) + " --json")
    if "max-activity" in words and number == "inf":  # says that there is no cap
        assert done.exit_code == 0
        return
    if "probability" in words and number == "1e-200":  # can be
        assert json.loads(done.stdout)["activity_gbq"] > 0
        return
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    assert json.loads(done.stdout)["refused"] == "impossible_value"


def test_zero_lesion_volume_is_refused_and_many_cycles_too():
    words = "plan --dose-gy-per-gbq marrow=0.03 --exact"
    assert json.loads(call(words + " --lesion-ml 0 --json").stdout)["refused"] == "impossible_value"
    assert json.loads(call(words + f" --cycles 1{'0' * 400} --json").stdout)["refused"] == "impossible_value"


def test_a_prediction_taken_as_exact_says_so():
    words = "plan --dose-gy-per-gbq kidneys=0.5 marrow=0.03 --relative-std marrow=0.3 --t-eff-h kidneys=50 --exact"
    report = ask(words)
    assert (report["prediction_taken_as_exact"], report["exact_organs"]) == (True, ["kidneys"])
    assert "WARNING: prediction taken as exact for kidneys" in call(words).stdout
    report = ask(PLAN)
    assert (report["prediction_taken_as_exact"], report["exact_organs"]) == (False, [])
    assert "WARNING" not in call(PLAN).stdout


def test_a_dose_limit_of_ones_own_leaves_the_bed_limit_standing():
    words = "plan --dose-gy-per-gbq kidneys=0.5 --relative-std 0.2 --t-eff-h 50 --cycles 4 --cautious"
    bed_alone = ask(words)
    both = ask(words + " --limit-dose-gy kidneys=40")
    assert [(o["kind"], o["limit"]) for o in both["organs"]] == [("bed", 28.0), ("dose", 40.0)]
    assert both["activity_gbq"] == bed_alone["activity_gbq"]
    assert (both["binding_organ"], both["binding_limit"]) == ("kidneys", "bed")
    kinds = [[(o["organ"], o["kind"]) for o in step["organs"]] for step in both["curve"]]
    assert kinds == [[("kidneys", "bed"), ("kidneys", "dose")]] * len(kinds)
    assert "  kidneys dose" in call(words + " --limit-dose-gy kidneys=40 --curves").stdout
    strict = ask(words + " --limit-dose-gy kidneys=10")
    assert (strict["binding_limit"], strict["activity_gbq"] < both["activity_gbq"]) == ("dose", True)
    assert "held by the BED limit of kidneys" in call(words + " --limit-dose-gy kidneys=40").stdout


@pytest.mark.parametrize("words", ["plan --dose-gy-per-gbq kidneys=x", "plan", "bed --dose-gy", "plan --cycles two"])
def test_bad_options_get_a_sentence(words):
    done = call(words)
    assert done.exit_code == 2
    assert "Error" in done.output
    assert "Traceback" not in done.output


PLAN = (
    "plan --dose-gy-per-gbq kidneys=0.50 marrow=0.03 --relative-std kidneys=0.2 marrow=0.3 --t-eff-h kidneys=50 "
    "--cycles 4 --probability 0.05"
)


def test_plan_is_what_the_physics_gives():
    kidneys = OrganRisk("kidneys", 0.5, 0.2, 40.0, "bed", g=2.8 / 52.8, alpha_beta_gy=2.6)
    marrow = OrganRisk("marrow", 0.03, 0.3, 2.0, "dose")
    expected = plan_activity([kidneys, marrow], cycles=4, probability=0.05)
    report = ask(PLAN)
    assert report["activity_gbq"] == pytest.approx(expected.activity_gbq)
    assert report["total_gbq"] == pytest.approx(4 * expected.activity_gbq)
    assert report["binding_organ"] == expected.binding_organ == "marrow"
    first, second = report["organs"]
    assert (first["organ"], first["kind"], first["limit"]) == ("kidneys", "bed", 40.0)
    assert (second["organ"], second["kind"], second["limit"]) == ("marrow", "dose", 2.0)
    assert second["probability"] == pytest.approx(0.05)
    assert first["probability"] < 0.05
    assert first["dose_gy"] == pytest.approx(2.0 * report["activity_gbq"])
    assert first["bed_gy"] > first["dose_gy"]
    assert second["bed_gy"] is None
    assert "every cycle" in report["cycles_correlated"]


def test_without_uncertainty_the_limit_is_met_to_a_thousandth():
    report = ask(
        "plan --dose-gy-per-gbq kidneys=0.5 --exact --t-eff-h kidneys=50 --cycles 4 "
        "--given-gy kidneys=5.75 kidneys=5.75"
    )
    [kidneys] = report["organs"]
    assert kidneys["bed_gy"] == pytest.approx(40.0, rel=1e-3)
    assert kidneys["given_bed_gy"] == pytest.approx(2 * 6.424, abs=0.001)
    assert kidneys["dose_gy"] == pytest.approx(11.5 + 4 * 0.5 * report["activity_gbq"])


def test_options_change_what_they_say():
    usual = ask(PLAN)["activity_gbq"]
    assert ask(PLAN + " --cautious --limit-dose-gy marrow=50")["binding_organ"] == "kidneys"
    capped = ask(PLAN + " --max-activity-gbq 7.4")
    assert (capped["activity_gbq"], capped["binding_organ"], capped["capped"]) == (7.4, None, True)
    assert ask(PLAN + " --given-gy marrow=0.5")["activity_gbq"] == pytest.approx(0.75 * usual)
    assert ask(PLAN + " --distribution normal")["activity_gbq"] > usual  # a shorter upper tail
    everyone = ask("plan --dose-gy-per-gbq kidneys=0.5 marrow=0.03 --relative-std 0.2 --t-eff-h 50 --cycles 4")
    alone = ask("plan --dose-gy-per-gbq kidneys=0.5 --relative-std kidneys=0.2 --t-eff-h kidneys=50 --cycles 4")
    assert everyone["organs"][0]["activity_limit_gbq"] == alone["activity_gbq"]
    written = "plan --dose-gy-per-gbq=kidneys=0.5 marrow=0.03 --relative-std=0.2 --t-eff-h=50 --cycles=4"
    assert ask(written) == everyone


def test_gray_per_cycle_taken_for_gray_per_gbq_is_flagged():
    # 3.7 Gy per cycle of 7.4 GBq, written where Gy/GBq belongs.
    [organ] = ask("plan --dose-gy-per-gbq kidneys=3.7 --exact --t-eff-h 50")["organs"]
    assert organ["flags"] == ["implausible_dose"]
    assert ask("plan --dose-gy-per-gbq kidneys=0.5 --exact --t-eff-h 50")["organs"][0]["flags"] == []


def test_page_of_a_plan():
    page = call(PLAN.replace("marrow=0.03", "marrow=0.03 lesions=3.4")).stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    # (2 Gy / 4) / (0.03 exp(1.64485 sqrt(ln 1.09)))
    assert "10.284 GBq in each of 4 cycles" in page
    assert "held by the dose limit of marrow; P(limit exceeded) at most 0.05" in page
    [lesions] = [line.split() for line in page.splitlines() if line.strip().startswith("lesions")]
    assert lesions[1:4] == ["target", "-", "-"]  # no limit, and so no probability to exceed it
    assert EXTERNAL_BEAM_WARNING not in page  # no number it would belong to
    assert EXTERNAL_BEAM_WARNING in call(PLAN + " --curves").stdout


def test_curves_rise_with_the_activity():
    report = ask(PLAN.replace("marrow=0.03", "marrow=0.03 lesions=3.4") + " --t-eff-h lesions=80 --lesion-ml 10")
    activities = [step["activity_gbq"] for step in report["curve"]]
    assert activities == sorted(activities)
    assert report["activity_gbq"] in activities
    for number, key in ((0, "probability"), (0, "ntcp"), (1, "probability"), (2, "tcp"), (2, "bed_gy")):
        values = [step["organs"][number][key] for step in report["curve"]]
        assert values == sorted(values)
        assert values[-1] > values[0]
    for now, organ in zip(
        report["curve"][activities.index(report["activity_gbq"])]["organs"], report["organs"], strict=True
    ):
        assert now.items() <= organ.items()
    assert EXTERNAL_BEAM_WARNING in report["organs"][0]["note"]
    assert EXTERNAL_BEAM_WARNING in report["organs"][2]["note"]
    assert report["organs"][1]["note"] == ""


def test_joint_plan_and_the_probability_that_is_meant():
    each, joint = ask(PLAN), ask(PLAN + " --joint")
    assert joint["activity_gbq"] < each["activity_gbq"]
    assert joint["any_probability"] == pytest.approx(0.05)
    assert each["any_probability"] == pytest.approx(sum(o["probability"] for o in each["organs"]))
    assert ("itself" in each["probability_of"], "any" in joint["probability_of"]) == (True, True)
    refused = call(PLAN.replace("0.05", "0.9") + " --json")
    assert refused.exit_code == 2
    assert "0.1 keeps limits with 0.9" in json.loads(refused.stdout)["reason"]


@pytest.mark.parametrize(
    "words", ["plan data/new", "plan --model m", "plan data/new --model m --dose-gy-per-gbq liver=1"]
)
def test_a_plan_takes_a_model_or_doses(words):
    done = call(words)
    assert (done.exit_code, "alone" in done.output) == (2, True)


def test_options_that_mean_nothing_for_patients_are_refused():
    done = call("plan data/new --model m --exact --json")
    assert json.loads(done.stdout)["refused"] == "wrong_option"
    assert json.loads(call(PLAN + " --report out --json").stdout)["refused"] == "wrong_option"
