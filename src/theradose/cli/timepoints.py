"""When to scan, and the error of the TIA that no method can undercut."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from theradose.cli.answers import answer, refusal

if TYPE_CHECKING:
    from theradose.physics.timepoints import Schedule, Target

LINE = "  {:<7}{:<20}{:>8}   {}"
RUNNERS_UP = 3


def _hours(times_h: Any) -> str:
    """Return times for people."""
    return "/".join(f"{time:g}" for time in times_h) + " h"


def _record(found: "Schedule") -> dict[str, Any]:
    """Return a schedule as a record."""
    return {"times_h": found.times_h, "floor_percent": 100 * found.floor, "log_tia_sd": found.log_tia_sd}


def _words(found: dict[str, Any]) -> tuple[str, str]:
    """Return times and floor of a record for people."""
    return _hours(found["times_h"]), f"{found['floor_percent']:.1f} %"


def _target(name: str, given: tuple[float | None, float | None], noise: float, uptake_h: float | None) -> "Target":
    """Return what is scanned; half-life and spread are those of the named population where they are not given."""
    from theradose.errors import SettingsError
    from theradose.physics.timepoints import POPULATIONS, Target

    if name not in POPULATIONS and (name or None in given):
        known = f"--t-eff-h and --t-eff-sd, or --organ and --ligand of: {', '.join(POPULATIONS)}"
        raise SettingsError("the population is missing", got=name or None, expected=known, code="population_missing")
    half_life, spread = (own if own is not None else POPULATIONS[name][i] for i, own in enumerate(given))
    return Target(half_life, spread, noise, uptake_h)


def timepoints(
    *,
    t_eff_h: Annotated[float | None, typer.Option(help="Median effective half-life of the patients, h.")] = None,
    t_eff_sd: Annotated[float | None, typer.Option(help="Its spread between patients: sd of its logarithm.")] = None,
    organ: Annotated[str, typer.Option(help="kidneys or lesions: half-life and spread by name.")] = "",
    ligand: Annotated[str, typer.Option(help="psma or dotatate, for the kidneys.")] = "",
    noise: Annotated[float, typer.Option(help="Relative sd of the activity in one scan.")] = 0.09,
    most: Annotated[int, typer.Option("--max", help="Up to how many scans, 1 to 3.")] = 2,
    candidate_h: Annotated[list[float] | None, typer.Option("--candidate-h", help="Times to choose from, h.")] = None,
    measured_h: Annotated[list[float] | None, typer.Option("--measured-h", help="Scans already done, h.")] = None,
    uptake_half_time_h: Annotated[float | None, typer.Option(help="Half-time of an uptake phase, h.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the best times of 1, 2, 3 scans, and the smallest mean error of the TIA that any method can reach."""
    from theradose.physics.timepoints import CANDIDATES_H, EARLIEST_SAFE_H, schedule, schedules

    with refusal(as_json):
        target = _target(f"{organ} {ligand}".strip().lower(), (t_eff_h, t_eff_sd), noise, uptake_half_time_h)
        choice, done = candidate_h or list(CANDIDATES_H), measured_h or []
        now = _record(schedule([], target, done)) if done else None
        rows: list[dict[str, Any]] = []
        for scans in range(1, most + 1) or [most]:
            found = [_record(one) for one in schedules(scans, target, choice, done)]
            late = next((one for one in found if one["times_h"][0] >= EARLIEST_SAFE_H), None)
            rows.append({"scans": scans, "best": found[0], "runners_up": found[1 : 1 + RUNNERS_UP], "best_late": late})
    lines = [
        f"  effective half-life {target.t_eff_h:g} h, log-sd {target.t_eff_sd:g}; noise {noise:.3g} of each activity",
        *([f"  scans done at {_hours(done)} leave {_words(now)[1]}"] if now else []),
        LINE.format("scans", "best", "floor", "next"),
        *(
            LINE.format(row["scans"], *_words(row["best"]), ", ".join(" ".join(_words(x)) for x in row["runners_up"]))
            for row in rows
        ),
        *(
            f"  {row['scans']} from {EARLIEST_SAFE_H:g} h on, where no uptake phase shows: {' '.join(_words(late))}"
            for row in rows
            if (late := row["best_late"]) and late != row["best"]
        ),
        "  floor: the smallest mean error of the TIA that any method can have (mono-exponential washout)",
    ]
    report = {**vars(target), "candidate_h": choice, "measured_h": done, "measured_only": now, "schedules": rows}
    answer({**report, "late_from_h": EARLIEST_SAFE_H}, as_json, lines)
