"""Time-activity curves from the command line: fit and integrate one, and carry it over to another radionuclide."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from theradose.cli.answers import answer, refusal

if TYPE_CHECKING:
    from theradose.physics.kinetic_tia import TiaFit

DEFAULT_RELATIVE_STD = 0.05
LEAST_OF_LARGEST = 0.10  # of the largest activity: the noise of a small one does not vanish with it
LARGEST_CV = 2.0
LINE = "  {:<24}{}"


def _possible(name: str, values: Sequence[float], unit: str = "", most: float = math.inf) -> None:
    """Raise SettingsError unless all values are positive finite numbers up to `most`."""
    from theradose.errors import SettingsError

    for value in values:
        if not (0 < value <= most and math.isfinite(value)):
            expected = f"> 0{unit}" if math.isinf(most) else f"> 0 and at most {most:g}{unit}"
            raise SettingsError(
                f"{name} is impossible", got=f"{value:g}{unit}", expected=expected, code="impossible_value"
            )


def _stds(activity_mbq: Sequence[float], relative_std: float) -> list[float]:
    """Return relative uncertainties in MBq, with a floor where an activity is small beside the largest."""
    least = LEAST_OF_LARGEST * max(abs(a) for a in activity_mbq)
    return [relative_std * max(abs(a), least) for a in activity_mbq]


def _report(fit: "TiaFit") -> dict[str, Any]:
    """Return a fit as a record; what it replaced is named where the fit itself was refused."""
    names = ("tia_mbq_h", "tia_std_mbq_h", "model", "parameters", "tail_fraction", "flags", "t_eff_h", "aicc", "chi2")
    report = {name: getattr(fit, name) for name in names}
    report |= {"covariance": fit.covariance.tolist(), "weights": fit.weights}
    return report | ({"fit_refused": fit.reason, "fit_refused_reason": fit.sentence} if fit.reason else {})


def _lines(fit: "TiaFit") -> list[str]:
    """Return a fit for people."""
    from theradose.vocabulary import FLAGS

    relative = f" ({fit.tia_std_mbq_h / fit.tia_mbq_h:.1%})" if fit.tia_mbq_h > 0 else ""
    rows = [
        ("model", fit.model),
        ("TIA", f"{fit.tia_mbq_h:.6g} +- {fit.tia_std_mbq_h:.3g} MBq.h{relative}"),
        ("effective half-life", f"{fit.t_eff_h:.4g} h (slowest phase)"),
        ("after the last scan", f"{fit.tail_fraction:.1%} of the TIA"),
        *(
            (name, f"{value:.6g} {'1/h' if name.endswith('per_h') else 'MBq'}")
            for name, value in fit.parameters.items()
        ),
        *((f"weight of {name}", f"{weight:.3f}") for name, weight in fit.weights.items()),
        *(("note", FLAGS[flag]) for flag in fit.flags),
        *([("fit refused", fit.sentence)] if fit.reason else []),
    ]
    return [LINE.format(*row) for row in rows]


def fit(
    *,
    nuclide: Annotated[str, typer.Option(help="Radionuclide, e.g. Lu-177.")],
    time_h: Annotated[list[float], typer.Option("--time-h", help="Times after injection, h: 4 24 72 168.")],
    activity_mbq: Annotated[list[float], typer.Option("--activity-mbq", help="Activities at these times, MBq.")],
    std_mbq: Annotated[list[float] | None, typer.Option("--std-mbq", help="Standard uncertainties, MBq.")] = None,
    relative_std: Annotated[
        float, typer.Option(help="Without --std-mbq: uncertainty relative to the activity, or to 10 % of the largest.")
    ] = DEFAULT_RELATIVE_STD,
    model: Annotated[
        str, typer.Option(help="auto, average, trapezoid, a model (mono, bi, ...), or a single-time-point method.")
    ] = "auto",
    uptake_half_time_h: Annotated[
        float | None, typer.Option(help="Biological half-time of the uptake, h; never fitted.")
    ] = None,
    population_t_eff_h: Annotated[
        float | None, typer.Option(help="Population's effective half-life, h: taken where the fit is refused.")
    ] = None,
    population_cv: Annotated[float, typer.Option(help="Relative spread of that half-life.")] = 0.25,
    tail: Annotated[str, typer.Option(help="Tail of the trapezoid: effective or physical.")] = "effective",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fit a time-activity curve, or say why not, and print its time-integrated activity with its uncertainty."""
    from theradose.errors import FitError, SettingsError
    from theradose.physics.kinetics import TRAPEZOID, replacement, tia_by
    from theradose.physics.nuclides import nuclide as find
    from theradose.physics.population_prior import PopulationPrior
    from theradose.physics.single_time import SINGLE_TIME_METHODS, single_time_fit

    with refusal(as_json):
        for name, value, unit, most in (
            ("relative uncertainty", relative_std, "", math.inf),
            ("uptake half-time", uptake_half_time_h, " h", math.inf),
            ("population half-life", population_t_eff_h, " h", math.inf),
            ("spread of the population half-life", population_cv, "", LARGEST_CV),
        ):
            _possible(name, [] if value is None else [value], unit, most)
        points = (time_h, activity_mbq, std_mbq or _stds(activity_mbq, relative_std))
        known: dict[str, Any] = {"half_life_h": find(nuclide).half_life_h, "uptake_half_time_h": uptake_half_time_h}
        if model in SINGLE_TIME_METHODS:
            if population_t_eff_h is None:
                raise SettingsError(
                    "the method needs a population", expected="--population-t-eff-h", code="population_missing"
                )
            spread = math.sqrt(math.log1p(population_cv**2))
            result = single_time_fit(
                model, *points, PopulationPrior(math.log(2.0) / population_t_eff_h, spread), **known
            )
        else:
            try:
                result = tia_by(model, *points, tail=tail, **known)
            except FitError as error:
                if population_t_eff_h is None or model == TRAPEZOID:
                    raise
                result = replacement(error, *points, t_eff_h=population_t_eff_h, t_eff_cv=population_cv, **known)
    report, lines = {"radionuclide": nuclide, **_report(result)}, _lines(result)
    if result.reason or model in SINGLE_TIME_METHODS:
        report |= {"population_t_eff_h": population_t_eff_h, "population_cv": population_cv}
        declared = f"{population_t_eff_h:g} h, relative spread {population_cv:g} (as declared)"
        lines.append(LINE.format("population half-life", declared))
    answer(report if std_mbq else report | {"relative_std": relative_std}, as_json, lines)


def translate(
    *,
    measured: Annotated[str, typer.Option("--from", help="Radionuclide of the measured curve, e.g. Lu-177.")],
    wanted: Annotated[str, typer.Option("--to", help="Radionuclide to translate to, e.g. Y-90.")],
    lambda_eff_per_h: Annotated[
        list[float], typer.Option("--lambda-eff-per-h", help="Effective constants of the measured curve, 1/h.")
    ],
    amplitude: Annotated[
        list[float] | None, typer.Option("--amplitude", help="Amplitudes of several terms, any one unit.")
    ] = None,
    uptake_half_time_h: Annotated[float | None, typer.Option(help="Biological half-time of the uptake, h.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Carry the time-integrated activity coefficient of one radionuclide over to another on the same molecule."""
    import numpy as np

    from theradose.errors import SettingsError
    from theradose.physics.kinetic_models import shape_integral
    from theradose.physics.kinetic_tia import known_rates
    from theradose.physics.nuclides import nuclide as find
    from theradose.physics.translation import translated_rates

    with refusal(as_json):
        old, new = find(measured), find(wanted)
        amplitudes = amplitude or [1.0] * len(lambda_eff_per_h)
        if len(amplitudes) != len(lambda_eff_per_h) or (amplitude is None and len(lambda_eff_per_h) > 1):
            got = f"{len(amplitude or [])} amplitudes for {len(lambda_eff_per_h)} constants"
            raise SettingsError("several terms need an amplitude each", got=got, code="amplitudes_missing")
        _possible("effective constant", lambda_eff_per_h, " /h")
        _possible("amplitude", amplitudes)
        _possible("uptake half-time", [] if uptake_half_time_h is None else [uptake_half_time_h], " h")
        rates = np.array(lambda_eff_per_h)
        moved = translated_rates(rates, old.half_life_h, new.half_life_h)
        before, after = (
            float(np.array(amplitudes) @ shape_integral(rate, known_rates(half_life_h, uptake_half_time_h).uptake))
            for rate, half_life_h in ((rates, old.half_life_h), (moved, new.half_life_h))
        )
        if min(before, after) <= 0:
            raise SettingsError("the curve has no positive integral", got=f"{before:g} h", code="impossible_value")
        report = {
            "from": measured,
            "to": wanted,
            "tiac_ratio": after / before,
            "t_eff_h": math.log(2.0) / float(moved.min()),
            "lambda_bio_per_h": (moved - new.lambda_per_h).tolist(),
            "lambda_eff_per_h": moved.tolist(),
        }
    lines = [
        LINE.format("TIAC ratio", f"{report['tiac_ratio']:.4f} ({wanted} / {measured})"),
        LINE.format("effective half-life", f"{report['t_eff_h']:.2f} h with {wanted} (slowest phase)"),
        LINE.format("lambda_bio", ", ".join(f"{rate:.6g}" for rate in report["lambda_bio_per_h"]) + " 1/h"),
    ]
    answer(report, as_json, lines)
