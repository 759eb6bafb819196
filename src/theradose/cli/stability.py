"""How stable radiomic features are on a folder of real patients, from the command line."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from theradose.cli.answers import answer, refusal
from theradose.vocabulary import counted

if TYPE_CHECKING:
    import pandas as pd

LINE = "  {:<32}{:>13}{:>13}{:>15}"
SHOWN = 5
# In simulated samples a feature with an ICC of 0.95 reaches a lower bound of 0.9 in 38 % of samples of 10, 93 % of 51.
FEW_PATIENTS = 10


def stability(
    folder: Annotated[Path, typer.Argument(help="Folder with a folder for each patient.")],
    *,
    preset: Annotated[Path, typer.Option(help="YAML in PyRadiomics' form, e.g. config/radiomics/stability_4mm.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder for tables and pictures.")],
    image: Annotated[str, typer.Option(help="Name of the image in each patient's folder.")] = "PET_image.nii.gz",
    mask: Annotated[str, typer.Option(help="Name of the label mask beside it.")] = "PET_mask.nii.gz",
    unit: Annotated[str, typer.Option(help="Unit of the images: g/mL (SUV) or HU.")] = "g/mL",
    voi: Annotated[str, typer.Option(help="What a mask of zeros and ones outlines.")] = "lesion",
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Decides directions, noise and random outlines.")] = 1,
    min_voxels: Annotated[int, typer.Option(help="VOIs with fewer voxels get no value.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Extract features from seven versions of every patient; say which are stable and which say the same."""
    from functools import partial

    from theradose.cohort.pool import in_order
    from theradose.features.presets import UNIT_OF, read_preset
    from theradose.features.stability import stability_table
    from theradose.features.versions import VERSIONED, folder_cases, joined, versions_in_files
    from theradose.tables import DRAWS, STABILITY, write_table

    with refusal(as_json):
        chosen = read_preset(preset, "ct" if unit == UNIT_OF["ct"] else "pet")
        cases, left_out = folder_cases(folder, image, mask, unit, voi)
        work = partial(versions_in_files, preset=chosen, seed=seed, min_voxels=min_voxels)
        found = []
        for number, (case, one) in enumerate(zip(cases, in_order(work, cases, jobs), strict=True), 1):
            sys.stderr.write(f"stability: patient {case.patient} ({number} of {len(cases)})\n")
            found.append(one)
        features, draws = joined(found)
        table = stability_table(features, chosen.modality)
        write_table(features, out / "features.parquet", VERSIONED)
        write_table(draws, out / "draws.tsv", DRAWS)
        write_table(table, out / "stability.tsv", STABILITY)
        report = {"patients": len(cases), "left_out": left_out, **_summary(table), **_apart(features, table, out)}
    answer(report, as_json, _lines(report, out))


def _summary(table: "pd.DataFrame") -> dict[str, Any]:
    """Return how many features reach the thresholds in each group of versions, and the least stable ones."""
    from theradose.features.stability import GOOD_ICC, GROUPS, STABLE_ICC

    counts: dict[str, dict[str, int]] = {}
    for group in GROUPS:
        own = table[table["versions"] == group]
        counts[group] = {
            f"icc_{GOOD_ICC:g}": int((own["icc"] >= GOOD_ICC).sum()),
            f"icc_{STABLE_ICC:g}": int((own["icc"] >= STABLE_ICC).sum()),
            f"low_{STABLE_ICC:g}": int((own["stable"] == "yes").sum()),
        }
    least = table[table["versions"] == "all"].nsmallest(SHOWN, "icc")
    return {
        "features": int((table["versions"] == "all").sum()),
        "counts": counts,
        "least_stable": least[["voi", "filter", "feature_class", "feature", "icc", "icc_low"]].to_dict("records"),
    }


def _apart(features: "pd.DataFrame", table: "pd.DataFrame", out: Path) -> dict[str, Any]:
    """Write which features say the same as others, by VOI, and all pictures; return how many are kept."""
    from base64 import b64decode

    from theradose.evaluation.figures import as_png
    from theradose.evaluation.figures_stability import correlation
    from theradose.evaluation.figures_stability import stability as drawn
    from theradose.features.stability import STABLE_ICC, base_values, redundancy
    from theradose.provenance import write_atomically

    kept = {}
    for voi, values in base_values(features).groupby(level="voi", sort=False):
        own = redundancy(values)
        filters = [name.split(".")[0] for name in own["feature"]]
        marks = list(own["kept"] == "yes")
        originals = [name == "original" for name in filters]
        kept[str(voi)] = {
            "kept": sum(marks), "of": len(own), "kept_originals": sum(map(min, marks, originals)),
            "originals": sum(originals),
        }  # fmt: skip
        pictures = {f"correlation_{voi}.png": correlation(values, marks, filters)}
        groups = {"all versions": "all", "image changed": "image", "outline changed": "mask"}
        mine = table[table["voi"] == voi]
        panels = {title: mine[mine["versions"] == group] for title, group in groups.items()}
        pictures[f"stability_{voi}.png"] = drawn(panels, panels["all versions"], STABLE_ICC)
        for name, figure in pictures.items():
            write_atomically(out / name, b64decode(as_png(figure, name).uri.partition(",")[2]))
        write_atomically(out / f"redundancy_{voi}.tsv", own.to_csv(sep="\t", index=False, lineterminator="\n").encode())
    return {"redundancy": kept}


def _lines(report: dict[str, Any], out: Path) -> list[str]:
    """Return the report for people."""
    heads = next(iter(report["counts"].values()))
    words = [f"ICC {'' if key.startswith('icc') else 'low '}>= {key.partition('_')[2]}" for key in heads]
    names = {"all": "all seven versions", "image": "shift, rotation, noise", "mask": "grown, shrunk, random outline"}
    lines = [
        f"  {report['features']} features of {counted(report['patients'], 'patient')}, seven versions each",
        LINE.format("", *words),
        *(LINE.format(names[group], *own.values()) for group, own in report["counts"].items()),
        "  least stable:",
        *(
            f"    {one['filter']} {one['feature_class']} {one['feature']}: {one['icc']:.2f} (from {one['icc_low']:.2f})"
            for one in report["least_stable"]
        ),
    ]
    for voi, own in report["redundancy"].items():
        lines.append(
            f"  {voi}: |Spearman| below 0.9 keeps {own['kept']} of {own['of']},"
            f" {own['kept_originals']} of the {own['originals']} of the original image"
        )
    if report["patients"] < FEW_PATIENTS:
        lines.append(f"  WARN fewer than {FEW_PATIENTS} patients: the lower bounds say little")
    lines += [f"  left out, no image or no mask: {', '.join(report['left_out'])}"] if report["left_out"] else []
    return [*lines, f"  tables and pictures in {out}"]
