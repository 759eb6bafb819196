"""Make the pairs of slices that dose-map networks learn from: originals of all, random copies of training patients."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.errors import Where
from theradose.imaging.augment import refuse_flip
from theradose.imaging.nifti import read_sidecar, read_volume
from theradose.imaging.normalise import body_mask
from theradose.imaging.volume import Volume
from theradose.models.augmented_pairs import patient_pairs, shares
from theradose.models.image_examples import body_box, join, save_examples, size_for, window_for
from theradose.provenance import verify_file, write_provenance
from theradose.sections import AugmentSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import DRAWS, IMAGES, SPLITS, concat_tables, read_table, write_table

Rows = list[dict[Any, Any]]


def read_images(rows: Rows) -> dict[str, Volume]:
    """Read one patient's normalised images by role, each checked against its hash."""
    for row in rows:
        verify_file(Path(row["file"]), row["sha256"], Where(patient=row["patient"], file=row["file"]))
    return {row["role"]: read_volume(Path(row["file"])) for row in rows}


def shared_cells(place: dict[Any, Any], rows: Rows) -> dict[str, Any]:
    """Return what all pairs of one patient share in their table."""
    sidecars = {row["role"]: read_sidecar(Path(row["file"])) for row in rows}
    return {
        **{name: place[name] for name in ("patient", "partition", "fold")},
        "bq_per_ml_per_mbq": sidecars["pet"]["BqPerMlPerMBq"],
        "administered_mbq": sidecars["dose"]["AdministeredMBq"],
    }


def run(chosen: Namespace) -> None:
    """Find the window that holds every body, then cut each patient's originals and copies."""
    settings = from_json(AugmentSettings, chosen.settings)
    images = concat_tables(chosen.images, IMAGES)
    rows_of: dict[str, Rows] = {str(name): rows.to_dict("records") for name, rows in images.groupby("patient")}
    splits = read_table(chosen.splits, SPLITS).sort_values("patient")
    people: Rows = splits[splits["patient"].isin(rows_of)].to_dict("records")
    boxes = {}
    for patient, rows in ((place["patient"], rows_of[place["patient"]]) for place in people):
        found = read_images([row for row in rows if row["role"] in {"ct", "organs"}])
        boxes[patient] = body_box(body_mask(found["organs"], found["ct"]))
        if settings.flip_left_right and not settings.exchange_sides:
            refuse_flip(found["organs"].values)
    size = size_for(boxes.values())
    parts, draws, wanted = [], [], shares(people, settings.pairs)
    for number, place in enumerate(people, 1):
        patient, rows = place["patient"], rows_of[place["patient"]]
        print(f"augment: patient {patient} ({number} of {len(people)})", flush=True)
        own, drawn = patient_pairs(
            read_images(rows),
            cells=shared_cells(place, rows),
            corner=window_for(boxes[patient], size),
            size=size,
            settings=settings,
            seed=chosen.seed,
            wanted=wanted.get(patient),
        )
        parts.append(own)
        draws += drawn
    save_examples(join(parts), chosen.out, held_out_copies=settings.pairs is not None)
    write_table(pd.DataFrame(draws, columns=DRAWS.names()), chosen.out / "draws.tsv", DRAWS)
    write_provenance(chosen.out, "augment", [*chosen.images, chosen.splits], settings.model_dump(mode="json"))
    print(f"augment: {sum(map(len, parts))} pairs of {size[0]} x {size[1]} voxels from {len(people)} patients")


if __name__ == "__main__":
    start(
        arguments(__doc__, texts=("settings",), numbers=("seed",), lists=("images",), paths=("splits", "out")),
        run,
    )
