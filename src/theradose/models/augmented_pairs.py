"""One patient's pairs of slices: originals and random copies, as many as asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from theradose.errors import SettingsError, Where
from theradose.imaging.augment import Draw, apply, copy_rng, draw
from theradose.imaging.volume import Volume
from theradose.models.image_examples import ImageExamples, join, pairs_of
from theradose.sections import AugmentSettings, PairNumbers

NO_LIMITS = {"copies", "slices", "pairs"}


def shares(people: Sequence[Mapping[Any, Any]], numbers: PairNumbers | None) -> dict[str, int]:
    """Return how many pairs each patient (rows with patient, partition) gives, so that partitions sum up exactly.

    Patients of one partition differ by one pair at most, the first have more; {} without numbers. SettingsError for a
    partition without patients.
    """
    found: dict[str, int] = {}
    for partition, total in numbers.model_dump().items() if numbers else ():
        names = sorted(str(row["patient"]) for row in people if row["partition"] == partition)
        if not names:
            raise SettingsError(
                f"pairs are asked for, but nobody is in partition {partition}",
                where=Where(field="augment.pairs"),
                remedy="choose split.scheme: thirds",
                code="THR-101",
            )
        found |= {name: total // len(names) + (i < total % len(names)) for i, name in enumerate(names)}
    return found


def patient_pairs(
    images: Mapping[str, Volume],
    *,
    cells: Mapping[str, Any],
    corner: tuple[int, int],
    size: tuple[int, int],
    settings: AugmentSettings,
    seed: int,
    wanted: int | None = None,
) -> tuple[ImageExamples, list[dict[str, Any]]]:
    """Return a patient's pairs and the rows (schema DRAWS) of the copies among them.

    `cells` are what all pairs share in their table. Without `wanted`, originals, and copies of training patients;
    otherwise exactly that many pairs, originals first. SettingsError when slices and copies do not suffice.
    """
    patient, limits = str(cells["patient"]), settings.model_dump(exclude=NO_LIMITS)
    copies = settings.copies if wanted is not None or cells["partition"] == "train" else 0
    parts: list[ImageExamples] = []
    rows: list[dict[str, Any]] = []
    for copy in range(1 + copies):
        if wanted is not None and sum(map(len, parts)) >= wanted:
            break
        change = draw(copy_rng(seed, patient, copy), **limits) if copy else Draw()
        row = {**cells, "copy": copy}
        parts.append(pairs_of(apply(change, images), row=row, n_slices=settings.slices, corner=corner, size=size))
        if copy:
            rows.append({"patient": patient, "copy": copy, "seed": seed, "draw": change.to_json()})
    found = join(parts)
    return (found if wanted is None else _first(found, wanted, patient)), rows


def _first(examples: ImageExamples, n: int, patient: str) -> ImageExamples:
    """Return the first `n` pairs; SettingsError when there are fewer."""
    if len(examples) < n:
        raise SettingsError(
            "slices and copies do not make as many pairs as asked for",
            where=Where(patient=patient, field="augment.pairs"),
            got=len(examples),
            expected=n,
            remedy="raise augment.slices or augment.copies",
            code="THR-101",
        )
    return examples.pick(np.arange(len(examples)) < n)
