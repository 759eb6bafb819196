"""Virtual patients on the command line: with images or many without, and the smallest possible errors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from theradose.cli.answers import answer, refusal

if TYPE_CHECKING:
    from theradose.cohort.virtual.limits import World

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ligand = Annotated[str, typer.Option(help="psma or dotatate.")]
Radionuclide = Annotated[str, typer.Option(help="Radionuclide of the therapy.")]
Difficulty = Annotated[str, typer.Option(help="xue_like, hagmarker_like or hard.")]
Coupling = Annotated[float, typer.Option(help="Correlation of texture and half-life, 0 to 1.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same patients.")]
TARGETS = ("dose", "kidney_toxicity", "xerostomia", "marrow_toxicity", "response", "impairment", "latency")


def _known(what: str, value: str, names: Any) -> None:
    """Refuse a name that is not in a registry."""
    from theradose.errors import SettingsError

    if value not in names:
        raise SettingsError(
            f"{what} is unknown", got=value, expected=f"one of {', '.join(names)}", code=f"unknown_{what}"
        )


def _require(good: bool, what: str, got: Any, expected: str, code: str = "impossible_value") -> None:
    """Refuse a number or a place that cannot be right."""
    from theradose.errors import SettingsError

    if not good:
        raise SettingsError(what, got=got, expected=expected, code=code)


def _with_images(to: Path | None, virtual: dict[str, Any], radionuclide: str, seed: int) -> None:
    """Write a data set with images and its truth beside it."""
    from argparse import Namespace

    from theradose.errors import SettingsError
    from theradose.sections import CohortSettings, VirtualSettings
    from theradose.settings import parse_settings, to_json
    from theradose.steps.simulate import run

    if to is None or (to.exists() and (not to.is_dir() or any(to.iterdir()))):
        got = "no --to" if to is None else f"{to.name}, which is there and not empty"
        raise SettingsError(
            "patients with images need a new folder", got=got, remedy="--to data/<name>", code="to_taken"
        )
    settings = to_json(CohortSettings(name=to.name, virtual=parse_settings(VirtualSettings, virtual)))
    beside = to.parent.parent / "truth" / to.name if to.parent.name == "data" else to.with_name(f"{to.name}-truth")
    run(Namespace(settings=settings, radionuclide=radionuclide, seed=seed, workers=1, out_data=to, out_truth=beside))


def simulate(
    *,
    n: Annotated[int, typer.Option("--n", min=1, help="How many patients.")],
    tier: Annotated[int, typer.Option(min=1, max=2, help="1: numbers only; 2: with images.")] = 1,
    to: Annotated[Path | None, typer.Option(help="Tier 1: a Parquet file; tier 2: the folder of the data set.")] = None,
    ligand: Ligand = "psma",
    radionuclide: Radionuclide = "Lu-177",
    difficulty: Difficulty = "xue_like",
    texture_coupling: Coupling = 0.6,
    spacing_mm: Annotated[float, typer.Option(help="Voxels of tier 2, mm.")] = 8.0,
    seed: Seed = 20260115,
    as_json: Json = False,
) -> None:
    """Make virtual patients: tens of thousands without images in seconds, or a data set with images."""
    with refusal(as_json):
        about = {"ligand": ligand, "difficulty": difficulty, "texture_coupling": texture_coupling}
        _require(0 <= texture_coupling <= 1, "texture coupling cannot be right", texture_coupling, "0 to 1")
        if tier == 2:
            _with_images(to, {**about, "patients": n, "spacing_mm": spacing_mm}, radionuclide, seed)
            return
        from theradose.cohort.virtual.difficulty import DIFFICULTY
        from theradose.cohort.virtual.ligands import LIGANDS
        from theradose.cohort.virtual.tier_one import tier_one

        _known("ligand", ligand, LIGANDS)
        _known("difficulty", difficulty, DIFFICULTY)
        usable = to is None or (to.suffix == ".parquet" and to.parent.is_dir() and not to.is_dir())
        _require(
            usable, "file of tier 1 cannot be written", to, "a .parquet in a folder that is there", "no_such_place"
        )
        table = tier_one(seed, n, radionuclide=radionuclide, **about).table()  # type: ignore[arg-type]
        if to:
            table.to_parquet(to, index=False)
    rows = {
        str(voi): {
            **own[["dose_gy_per_gbq", "t_eff_h", "mass_g"]].mean().to_dict(),
            "dose_cv": float(own["dose_gy_per_gbq"].std() / own["dose_gy_per_gbq"].mean()),
        }
        for voi, own in table.groupby("voi", sort=False)
    }
    lines = [f"VIRTUAL patients: {n}, seed {seed}, {ligand}, {radionuclide}; self-dose per activity"]
    lines += [f"  {voi:<15}{row['dose_gy_per_gbq']:8.3f} Gy/GBq, CV {row['dose_cv']:.2f}" for voi, row in rows.items()]
    answer({"virtual": True, "patients": n, "seed": seed, "organs": rows}, as_json, lines)


def _dose(world: "World", organ: str, patients: int, label_log_sd: float) -> tuple[dict[str, Any], list[str]]:
    """Return the limits of an organ's dose, its budget and its ladder, and lines for people."""
    from theradose.cohort.virtual.limits import against_label, closed_form, dose_limits, oracle_ladder

    _known("organ", organ, world.organs())
    found = dose_limits(world, organ, patients)
    found = against_label(found, label_log_sd) if label_log_sd else found
    rows = [
        {"information": one.information, "way": one.way, "log_sd": one.log_sd, "mape": 100 * one.mape} for one in found
    ]
    budget = closed_form(world, organ, "table")
    ladder = {name: 100 * one.mape for name, one in oracle_ladder(world, organ, patients).items()}
    lines = [f"  {r['information']:<7}{r['way']:<13}s {r['log_sd']:.4f}   MAPE {r['mape']:5.2f} %" for r in rows]
    lines += [
        f"PET as measured on voxels of {world.clinic.grid_mm():g} mm; budget and ladder against the planted truth"
    ]
    lines += ["budget (sd of log dose): " + ", ".join(f"{name} {part:.3f}" for name, part in budget.items())]
    lines += ["ladder (MAPE left, %): " + ", ".join(f"{name} {left:.1f}" for name, left in ladder.items())]
    return {"limits": rows, "budget": budget, "ladder_mape": ladder}, lines


def limit(
    *,
    target: Annotated[str, typer.Option(help=f"One of {', '.join(TARGETS)}.")] = "dose",
    organ: Annotated[str, typer.Option(help="Organ of the dose.")] = "kidneys",
    ligand: Ligand = "psma",
    radionuclide: Radionuclide = "Lu-177",
    difficulty: Difficulty = "xue_like",
    texture_coupling: Coupling = 0.6,
    spacing_mm: Annotated[float, typer.Option(help="Voxels of the PET, mm.")] = 8.0,
    centre: Annotated[list[str] | None, typer.Option(help="Centres in turn; repeat for several.")] = None,
    reference: Annotated[
        str, typer.Option(help="planted, or label: doses from SPECT, see --label-log-sd.")
    ] = "planted",
    label_log_sd: Annotated[float, typer.Option(help="Log error of the label; 0.13 is published for 3 SPECTs.")] = 0.13,
    patients: Annotated[int, typer.Option(min=1500, help="Patients without images to learn from.")] = 60000,
    seed: Seed = 20260115,
    as_json: Json = False,
) -> None:
    """Print the smallest error that any model can have, by several ways and for several kinds of knowledge."""
    from theradose.cohort.virtual.difficulty import DIFFICULTY
    from theradose.cohort.virtual.ligands import LIGANDS
    from theradose.cohort.virtual.limits import World, outcome_limits
    from theradose.cohort.virtual.observables import Clinic
    from theradose.cohort.virtual.scanner import CENTRES

    with refusal(as_json):
        names = tuple(centre or ("north", "south"))
        for what, value, known in (
            ("target", target, TARGETS), ("ligand", ligand, LIGANDS), ("difficulty", difficulty, DIFFICULTY),
            ("reference", reference, ("planted", "label")), *(("centre", name, CENTRES) for name in names),
        ):  # fmt: skip
            _known(what, value, known)
        _require(0 <= texture_coupling <= 1, "texture coupling cannot be right", texture_coupling, "0 to 1")
        _require(0 <= label_log_sd < 2, "log error of the label cannot be right", label_log_sd, "0 to 2")
        _require(1 <= spacing_mm <= 16, "voxel size cannot be right", spacing_mm, "1 to 16 mm")
        plain = target == "dose" or reference == "planted"
        _require(plain, "outcomes happen, they have no label", reference, "--reference planted", "no_label")
        world = World(ligand, radionuclide, texture_coupling, Clinic(names, spacing_mm, difficulty), seed)
        if target == "dose":
            found, lines = _dose(world, organ, patients, label_log_sd if reference == "label" else 0.0)
        else:
            found = outcome_limits(world, patients=patients // 3)[target]
            lines = [f"  {name:<28}{value:8.3f}" for name, value in found.items()]
    about = {"virtual": True, "target": target, "organ": organ, "ligand": ligand, "difficulty": difficulty}
    head = f"VIRTUAL patients, {ligand}, {difficulty}: limit of {target}" + (f" of {organ}" if target == "dose" else "")
    answer({**about, "reference": reference, **found}, as_json, [f"{head}, against {reference}", *lines])
