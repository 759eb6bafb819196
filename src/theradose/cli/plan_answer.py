"""What the verb `plan` answers: the activity, what every organ gets from it, and from less and more."""

import math
from collections.abc import Sequence
from typing import Any

CURVE = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # activities of the curves, in parts of the planned one
LINE = "  {:<22}{:<8}{:>9}{:>10}{:>13}{:>13}{:>16}"
PROBABILITY_OF = {False: "each organ's limit by itself", True: "any limit: at most the sum over organs"}


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


def plan_report(
    risks: Sequence[Any],
    *,
    cycles: int,
    probability: float,
    max_activity_gbq: float = math.inf,
    joint: bool = False,
    lesion_ml: float = 0.0,
) -> dict[str, Any]:
    """Return the plan for `OrganRisk`s (see `plan_activity`) with what every organ gets, and from less and more.

    `lesion_ml` is the volume of lesions in mL, for tumour control.
    """
    from theradose.physics.dose import is_implausible
    from theradose.physics.planning import TARGET, any_exceedance, plan_activity

    found = plan_activity(risks, cycles=cycles, probability=probability, max_activity_gbq=max_activity_gbq, joint=joint)
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
        "activity_gbq": found.activity_gbq, "total_gbq": found.total_gbq, "cycles": cycles,
        "probability": probability, "probability_of": PROBABILITY_OF[joint],
        "any_probability": any_exceedance(risks, found.activity_gbq, cycles),
        "binding_organ": found.binding_organ or None, "binding_limit": found.binding_kind or None,
        "exact_organs": exact, "prediction_taken_as_exact": bool(exact),
        "capped": not found.binding_organ, "organs": organs,
        "cycles_correlated": "fully: an organ gets the same dose per activity in every cycle to come", "curve": curve,
    }  # fmt: skip


def _row(head: list[str], organ: dict[str, Any], keys: dict[str, int]) -> str:
    """Return a line of a table; a dash for what is not known."""
    cells = [f"{organ[key]:.{n}f}" if math.isfinite(organ[key]) else "-" for key, n in keys.items()]
    return LINE.format(*head, *cells)


def plan_lines(report: dict[str, Any], curves: bool) -> list[str]:
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
        f"  P is of {report['probability_of']}; of any limit it is at most {report['any_probability']:.3g}",
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
