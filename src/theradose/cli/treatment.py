"""Biologically effective dose, and the activity that keeps organs at risk under their limits."""

import math
import re
from typing import Annotated, Any

import typer

from theradose.cli.answers import answer, refusal
from theradose.cli.numbers import NumbersCommand

CURVE = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # activities of the curves, in parts of the planned one
PAIR = re.compile(r"[A-Za-z]\w*=[^=]+")
LINE = "  {:<22}{:<8}{:>9}{:>10}{:>13}{:>13}{:>16}"


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
    *,
    dose_gy_per_gbq: Annotated[list[str], typer.Option("--dose-gy-per-gbq", help="As kidneys=0.5 marrow=0.03.")],
    cycles: Annotated[int, typer.Option(help="Cycles to come, of equal activity.")] = 1,
    probability: Annotated[float, typer.Option(help="Of exceeding an organ's limit, at most.")] = 0.05,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the highest activity per cycle that keeps P(limit exceeded) at every organ below --probability.

    Options of organs take organ=number, one after another; a number alone holds for all organs. Limits and constants
    come from the table of limits where not given. In all cycles an organ is taken to get the same dose per activity.
    """
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
    with refusal(as_json):
        volume = {} if lesion_ml is None else {"": [lesion_ml]}
        cap = {} if max_activity_gbq == math.inf else {"": [max_activity_gbq]}
        options = {**own, **about, "given_gy": given}
        _require_organs(doses, {**options, "lesion_ml": volume, "max_activity_gbq": cap})
        _require_std(doses, about["relative_std"], exact)
        risks = _risks(doses, own, about, given, distribution=distribution, case="cautious" if cautious else "standard")
        report = _plan(risks, cycles, probability, max_activity_gbq, lesion_ml=lesion_ml or 0.0)
    answer(report, as_json, _plan_lines(report, curves))


Numbers = dict[str, list[float]]
MAY_BE_ZERO = ("relative_std", "given_gy", "given_bed_gy")


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


def _response(risk: Any, activity_gbq: float, cycles: int, lesion_ml: float) -> dict[str, Any]:
    """Return what an organ or the lesions get from an activity per cycle: risk, dose, BED, complication or control."""
    from theradose.physics.complications import external_beam_ntcp
    from theradose.physics.planning import TARGET
    from theradose.physics.tumour_control import external_beam_tcp

    bed_total = risk.total_bed_gy(activity_gbq, cycles)
    ntcp, note = external_beam_ntcp(risk.organ, bed_total, risk.alpha_beta_gy)
    tcp = float("nan")
    if risk.kind == TARGET and lesion_ml > 0:
        tcp, note = external_beam_tcp(bed_total, lesion_ml)
    return {
        "organ": risk.organ, "kind": risk.kind,
        "probability": float("nan") if math.isinf(risk.limit_gy) else risk.exceedance(activity_gbq, cycles),
        "dose_gy": risk.total_dose_gy(activity_gbq, cycles), "bed_gy": bed_total,
        "ntcp": ntcp, "tcp": tcp, "note": note,
    }  # fmt: skip


def _plan(
    risks: list[Any], cycles: int, probability: float, max_activity_gbq: float, *, lesion_ml: float
) -> dict[str, Any]:
    """Return the plan with what every organ gets from it, and from less and more."""
    from theradose.physics.dose import is_implausible
    from theradose.physics.planning import TARGET, plan_activity

    found = plan_activity(risks, cycles=cycles, probability=probability, max_activity_gbq=max_activity_gbq)
    organs = [
        {
            **_response(risk, found.activity_gbq, cycles, lesion_ml),
            "limit": risk.limit_gy, "unit": "Gy", "activity_limit_gbq": limit_gbq,
            "g_factor": risk.g, "given_dose_gy": risk.given_dose_gy, "given_bed_gy": risk.given_bed_gy,
            "flags": ["implausible_dose"] if is_implausible(risk.organ, risk.dose_gy_per_gbq) else [],
        }
        for risk, limit_gbq in zip(risks, found.limits_gbq, strict=True)
    ]  # fmt: skip
    exact = list(dict.fromkeys(risk.organ for risk in risks if not risk.relative_std and risk.kind != TARGET))
    steps = [part * found.activity_gbq for part in CURVE]
    curve = [
        {"activity_gbq": gbq, "organs": [_response(risk, gbq, cycles, lesion_ml) for risk in risks]} for gbq in steps
    ]
    return {
        "activity_gbq": found.activity_gbq, "total_gbq": found.total_gbq, "cycles": cycles, "probability": probability,
        "binding_organ": found.binding_organ or None, "binding_limit": found.binding_kind or None,
        "exact_organs": exact, "prediction_taken_as_exact": bool(exact),
        "capped": not found.binding_organ, "organs": organs,
        "cycles_correlated": "fully: an organ gets the same dose per activity in every cycle to come", "curve": curve,
    }  # fmt: skip


def _row(head: list[str], organ: dict[str, Any], keys: dict[str, int]) -> str:
    """Return a line of a table; a dash for what is not known."""
    cells = [f"{organ[key]:.{n}f}" if math.isfinite(organ[key]) else "-" for key, n in keys.items()]
    return LINE.format(*head, *cells)


def _plan_lines(report: dict[str, Any], curves: bool) -> list[str]:
    """Return the plan as a page for people."""
    from theradose.vocabulary import FLAGS, QUANTITIES

    usual_gbq = (QUANTITIES["administered_mbq"].high or 0.0) / 1000.0
    limit = {"bed": "BED", "dose": "dose", None: ""}[report["binding_limit"]]
    held = "the cap on activity" if report["capped"] else f"the {limit} limit of {report['binding_organ']}"
    exact = ", ".join(report["exact_organs"])
    organs, total = report["organs"], f"{report['total_gbq']:.3f} GBq in all"
    keys = {"limit": 1, "probability": 4, "dose_gy": 2, "bed_gy": 2, "activity_limit_gbq": 2}
    lines = [
        f"  {report['activity_gbq']:.3f} GBq in each of {report['cycles']} cycles, {total}",
        f"  held by {held}; P(limit exceeded) at most {report['probability']:g}",
        *([f"  above {usual_gbq:g} GBq, more than is given"] if report["activity_gbq"] > usual_gbq else []),
        *([f"  WARNING: prediction taken as exact for {exact}: P leaves its error out"] if exact else []),
        LINE.format("organ", "kind", "limit Gy", "P", "dose Gy", "BED Gy", "alone, GBq"),
        *(_row([o["organ"], o["kind"]], o, keys) for o in organs),
        *(f"  {o['organ']}: {FLAGS[flag]}: is it Gy per cycle, not Gy per GBq?" for o in organs for flag in o["flags"]),
    ]
    if curves:
        keys = {"probability": 4, "dose_gy": 2, "bed_gy": 2, "ntcp": 4, "tcp": 4}
        lines += ["", LINE.format("organ", "GBq", "P", "dose Gy", "BED Gy", "NTCP", "TCP")]
        lines += [
            _row([f"{o['organ']} {o['kind']}", f"{c['activity_gbq']:.2f}"], o, keys)
            for c in report["curve"]
            for o in c["organs"]
        ]
        lines += dict.fromkeys(f"  {o['organ']}: {o['note']}" for o in organs if o["note"])
    return lines
