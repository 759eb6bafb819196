"""Biologically effective dose, and the activity that keeps organs at risk under their limits."""

import math
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from theradose.cli.answers import answer, refusal
from theradose.cli.numbers import NumbersCommand
from theradose.cli.patient_plans import plan_patients
from theradose.cli.plan_answer import plan_lines, plan_report

PAIR = re.compile(r"[A-Za-z]\w*=[^=]+")


class PairsCommand(NumbersCommand):
    """A command whose options take `organ=number` one after another: `--t-eff-h kidneys=50 liver=70`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write the option again before every further pair, then parse."""
        spread: list[str] = []
        option = ""
        for word in args:
            before = spread[-1].removeprefix(f"{option}=") if spread else ""  # `--t-eff-h=kidneys=50` is a pair too
            spread += [option] if PAIR.fullmatch(word) and PAIR.fullmatch(before) else []
            option = word.partition("=")[0] if word.startswith("--") else option
            spread.append(word)
        return super().parse_args(ctx, spread)


def _pairs(words: list[str] | None, option: str) -> dict[str, list[float]]:
    """Return the numbers of each organ from `kidneys=0.5`; a number alone belongs to all organs (key empty)."""
    found: dict[str, list[float]] = {}
    for word in words or []:
        organ, _, value = word.rpartition("=")
        try:
            found.setdefault(organ, []).append(float(value))
        except ValueError:
            raise typer.BadParameter(f"{word!r} is not organ=number", param_hint=option) from None
    return found


def bed(
    *,
    dose_gy: Annotated[list[float], typer.Option("--dose-gy", help="Dose of each cycle, Gy.")],
    t_eff_h: Annotated[list[float], typer.Option("--t-eff-h", help="Effective half-life, one or one per cycle, h.")],
    organ: Annotated[str | None, typer.Option(help="Take constants and limits of this organ, e.g. kidneys.")] = None,
    alpha_beta_gy: Annotated[float | None, typer.Option(help="alpha/beta, Gy.")] = None,
    t_repair_h: Annotated[float | None, typer.Option(help="Half-time of repair, h.")] = None,
    uptake_half_time_h: Annotated[float, typer.Option(help="Half-time of an uptake phase, h.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print BED and EQD2 over cycles: the sum of every cycle's own BED, with repair during its decay."""
    from theradose.errors import SettingsError, Where
    from theradose.physics.complications import external_beam_ntcp
    from theradose.physics.limits import LIMITS, constant, has_constant
    from theradose.physics.radiobiology import bed_gy, eqd2_gy, g_factor_single, require, require_plain

    def value(name: str, given: float | None) -> float:
        if given is None and organ is None:
            where, code = Where(field=name), f"missing_{name}"
            raise SettingsError(f"{name} is missing", where=where, remedy="give it, or --organ", code=code)
        return constant(str(organ), name).value if given is None else given

    with refusal(as_json):
        ab, repair_h = value("alpha_beta_gy", alpha_beta_gy), value("t_repair_h", t_repair_h)
        zero_too = {"dose_gy": dose_gy, "uptake_half_time_h": [uptake_half_time_h]}
        above = {"t_eff_h": t_eff_h, "alpha_beta_gy": [ab], "t_repair_h": [repair_h]}
        for name, numbers in {**zero_too, **above}.items():
            for number in numbers:
                require_plain(number, name, zero=name in zero_too)
        n = len(dose_gy)
        require(len(t_eff_h) in {1, n}, "t_eff_h", f"{len(t_eff_h)} values", f"one, or one for each of {n} cycles")
        half_lives = t_eff_h * n if len(t_eff_h) == 1 else t_eff_h
        factors = [g_factor_single(t, repair_h, uptake_half_time_h) for t in half_lives]
        each = [float(bed_gy(dose, g, ab)) for dose, g in zip(dose_gy, factors, strict=True)]
        total, squares = sum(each), sum(dose**2 for dose in dose_gy)
        mean_g = sum(g * dose**2 for g, dose in zip(factors, dose_gy, strict=True)) / squares if squares else factors[0]
        ntcp, note = external_beam_ntcp(organ or "", total, ab)
        cases = ("standard", "cautious")
        limits = [constant(organ, x, c) for x in LIMITS.values() for c in cases if organ and has_constant(organ, x, c)]
        report = {
            "organ": organ, "dose_gy": sum(dose_gy), "bed_gy": total, "eqd2_gy": float(eqd2_gy(total, ab)),
            "g_factor": mean_g, "relative_effectiveness": total / sum(dose_gy) if squares else 1.0,
            "alpha_beta_gy": ab, "t_repair_h": repair_h,
            "cycles": [
                {"dose_gy": d, "g_factor": g, "bed_gy": b} for d, g, b in zip(dose_gy, factors, each, strict=True)
            ],
            "ntcp": ntcp, "ntcp_note": note, "limits": [vars(limit) for limit in dict.fromkeys(limits)],
        }  # fmt: skip
    lines = [
        f"  dose {report['dose_gy']:.3f} Gy in {n} cycles, G {mean_g:.6f}, alpha/beta {ab:g} Gy, repair {repair_h:g} h",
        f"  BED {total:.3f} Gy, EQD2 {report['eqd2_gy']:.3f} Gy",
        *([f"  NTCP {ntcp:.3g}: {note}"] if note else []),
        *(f"  {x.case} {x.name} {x.value:g}: {x.validity} ({x.source})" for x in dict.fromkeys(limits)),
    ]
    answer(report, as_json, lines)


def plan(
    data: Annotated[Path | None, typer.Argument(help="Data set folder of new patients, with --model.")] = None,
    *,
    model: Annotated[str, typer.Option(help="Model that predicts their doses: folder, or models:/NAME@champion.")] = "",
    dose_gy_per_gbq: Annotated[
        list[str] | None, typer.Option("--dose-gy-per-gbq", help="In place of a model, as kidneys=0.5 marrow=0.03.")
    ] = None,
    cycles: Annotated[int, typer.Option(help="Cycles to come, of equal activity.")] = 1,
    probability: Annotated[float, typer.Option(help="Of exceeding an organ's limit, at most.")] = 0.05,
    joint: Annotated[
        bool, typer.Option("--joint/--each", help="Hold to --probability that any limit is exceeded, or each one.")
    ] = False,
    relative_std: Annotated[list[str] | None, typer.Option("--relative-std", help="Of the prediction, as 0.2.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Take predictions without --relative-std as exact.")] = False,
    distribution: Annotated[str, typer.Option(help="lognormal (the dose is its median) or normal.")] = "lognormal",
    t_eff_h: Annotated[list[str] | None, typer.Option("--t-eff-h", help="Effective half-life, h.")] = None,
    given_gy: Annotated[list[str] | None, typer.Option("--given-gy", help="One for each earlier cycle.")] = None,
    given_bed_gy: Annotated[list[str] | None, typer.Option("--given-bed-gy", help="Of all earlier cycles.")] = None,
    limit_bed_gy: Annotated[list[str] | None, typer.Option("--limit-bed-gy", help="Over all cycles.")] = None,
    limit_dose_gy: Annotated[list[str] | None, typer.Option("--limit-dose-gy", help="Over all cycles.")] = None,
    alpha_beta_gy: Annotated[list[str] | None, typer.Option("--alpha-beta-gy")] = None,
    t_repair_h: Annotated[list[str] | None, typer.Option("--t-repair-h")] = None,
    cautious: Annotated[bool, typer.Option("--cautious", help="The lower limits, for risk factors.")] = False,
    max_activity_gbq: Annotated[float, typer.Option(help="Cap on the activity of one cycle.")] = float("inf"),
    lesion_ml: Annotated[float | None, typer.Option(help="Volume of lesions, for tumour control.")] = None,
    curves: Annotated[bool, typer.Option("--curves", help="Print risk and response against activity too.")] = False,
    report: Annotated[Path | None, typer.Option(help="Folder for one page a patient, with DATA.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the highest activity per cycle that keeps P(limit exceeded) at every organ below --probability.

    For the patients of DATA by the predictions of --model and the errors it made out of fold (code 3 when some cannot
    be planned), or for doses that are given. Options of organs take organ=number, one after another; a number alone
    holds for all organs. Limits and constants come from the table of limits where not given. In all cycles an organ is
    taken to get the same dose per activity.
    """
    if (data is None) != (not model) or (data is None) != bool(dose_gy_per_gbq):
        raise typer.BadParameter("give DATA and --model, or --dose-gy-per-gbq alone")
    own = {
        "limit_bed_gy": _pairs(limit_bed_gy, "--limit-bed-gy"),
        "limit_dose_gy": _pairs(limit_dose_gy, "--limit-dose-gy"),
        "alpha_beta_gy": _pairs(alpha_beta_gy, "--alpha-beta-gy"),
        "t_repair_h": _pairs(t_repair_h, "--t-repair-h"),
    }
    about = {
        "relative_std": _pairs(relative_std, "--relative-std"),
        "t_eff_h": _pairs(t_eff_h, "--t-eff-h"),
        "given_bed_gy": _pairs(given_bed_gy, "--given-bed-gy"),
    }
    doses, given = _pairs(dose_gy_per_gbq, "--dose-gy-per-gbq"), _pairs(given_gy, "--given-gy")
    case = "cautious" if cautious else "standard"
    volume = {} if lesion_ml is None else {"": [lesion_ml]}
    cap = {} if max_activity_gbq == math.inf else {"": [max_activity_gbq]}
    options = {**own, **about, "given_gy": given, "lesion_ml": volume, "max_activity_gbq": cap}
    asked: dict[str, Any] = {"cycles": cycles, "probability": probability, "joint": joint}
    case = "cautious" if cautious else "standard"
    with refusal(as_json):
        _require_rather_kept(probability)
        if data is not None:
            stated = {"--relative-std": relative_std, "--exact": exact, "--distribution": distribution != "lognormal"}
            _require_unused({**stated, "--given-bed-gy": given_bed_gy, "--lesion-ml": lesion_ml, "--curves": curves})
            asked |= {"max_activity_gbq": max_activity_gbq, "case": case}
            plan_patients(data, model, asked, options, report=report, as_json=as_json, require=_require_organs)
            return
        _require_unused({"--report": report})
        _require_organs(doses, options)
        _require_std(doses, about["relative_std"], exact)
        risks = _risks(doses, own, about, given, distribution=distribution, case=case)
        answered = plan_report(risks, max_activity_gbq=max_activity_gbq, lesion_ml=lesion_ml or 0.0, **asked)
    answer(answered, as_json, plan_lines(answered, curves))


Numbers = dict[str, list[float]]
MAY_BE_ZERO = ("relative_std", "given_gy", "given_bed_gy")


def _require_rather_kept(probability: float) -> None:
    """Raise DataError for a plan that rather breaks a limit than keeps it: the other probability is meant."""
    from theradose.physics.radiobiology import require

    kept = f"; {1.0 - probability:.3g} keeps limits with {probability:g}" if 0.5 < probability < 1.0 else ""
    require(probability <= 0.5, "probability", probability, f"0 to 0.5, of exceeding a limit{kept}")


def _require_unused(options: dict[str, Any]) -> None:
    """Raise SettingsError for options that mean nothing here."""
    from theradose.errors import SettingsError

    given = [name for name, value in options.items() if value not in (None, False)]
    if given:
        remedy = "with DATA and --model the predictions are the model's; --report needs them"
        raise SettingsError("an option does not go with the others", got=given, remedy=remedy, code="wrong_option")


def _require_organs(doses: Numbers, options: dict[str, Numbers]) -> None:
    """Raise SettingsError for an organ without a prediction or with two numbers, DataError for impossible numbers."""
    from theradose.errors import SettingsError, Where
    from theradose.physics.radiobiology import require_plain

    for option, numbers in {"dose_gy_per_gbq": doses, **options}.items():
        for organ, values in numbers.items():
            if option == "dose_gy_per_gbq":
                wrong = "an organ without a name" if not organ else ""
            else:
                wrong = f"{organ}, which has no predicted dose" if organ and organ not in doses else ""
            if len(values) > 1 and option != "given_gy":
                wrong = f"{len(values)} numbers for {organ or 'all organs'}"
            if wrong:
                got, where = wrong, Where(field=option)
                raise SettingsError("an organ's number does not fit", where=where, got=got, code="wrong_organ")
            for value in values:
                require_plain(value, f"{option} {organ}".strip(), zero=option in MAY_BE_ZERO)


def _require_std(doses: Numbers, stds: Numbers, exact: bool) -> None:
    """Raise SettingsError for an organ at risk of whose prediction nobody says how uncertain it is."""
    from theradose.errors import SettingsError, Where
    from theradose.vocabulary import LESIONS

    missing = [organ for organ in doses if organ not in stds and "" not in stds and organ != LESIONS]
    if missing and not exact:
        raise SettingsError(
            f"the uncertainty of the prediction is missing: {', '.join(missing)}",
            where=Where(field="relative_std"),
            expected="standard deviation over mean, as 0.2",
            remedy=f"give --relative-std {missing[0]}=..., or --exact to plan as if predictions had no error",
            code="missing_relative_std",
        )


def _risks(
    doses: Numbers, own: dict[str, Numbers], about: dict[str, Numbers], given: Numbers, *, distribution: str, case: str
) -> list[Any]:
    """Return every organ's risks from the numbers of the command line."""
    from theradose.physics.planning import organ_risks

    def of(organ: str, numbers: Numbers) -> list[float]:
        return numbers.get(organ, numbers.get("", []))

    risks = []
    for organ, [dose] in doses.items():
        chosen = {name: numbers[0] for name, by_organ in own.items() if (numbers := of(organ, by_organ))}
        more: dict[str, Any] = {n: numbers[0] for n, by_organ in about.items() if (numbers := of(organ, by_organ))}
        risks += organ_risks(
            organ, dose, distribution=distribution, case=case, given_gy=of(organ, given), chosen=chosen, **more
        )
    return risks
