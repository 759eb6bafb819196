"""The verb `init`: a commented study for a data set, from what lies in it; never written over another."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from theradose.cli.answers import answer, refusal
from theradose.vocabulary import counted

if TYPE_CHECKING:
    from theradose.cohort.layout import Dataset

# Below this many patients with PET, SPECT and mask no model is asked for: 5 folds of 3 and a third held back.
PATIENTS_FOR_MODELS = 20
SAMPLED = 3  # images of a kind that are opened for their voxel size
EXPERIMENTS, EXPERIMENT = Path("config/experiments"), "organ_dose"
FINE_PET_MM, FINE_CT_MM = 5.5, 3.0  # coarser images get the presets made for 8 mm

TEMPLATE = """\
# yaml-language-server: $schema=../workflow/schemas/config.schema.yaml
# Made by `theradose init` from data/{name}: {found}.
# Every key and its default: workflow/schemas/config.schema.yaml. Run: snakemake --configfile {file}
study: {study}
title: {name}, {patients}
radionuclide: {radionuclide}      # {radionuclide_from}
cohort: {{name: {name}, source: folder}}
check:
  require: [{require}]      # a patient without one of these is quarantined
quantify:
  register_time_points: {register}      # true: later scans are moved on the first
  recovery: {recovery}      # {recovery_why}
{kinetics}
# dose:
#   density: ct      # each voxel's density from the CT; default: by label
split: {{scheme: holdout, test_fraction: 0.33, folds: 5, stratify_by: {stratify}}}
normalise: {{spacing_mm: {spacing_mm:g}}}      # voxels of what networks see
radiomics:
  presets: {{{presets}}}      # files of config/radiomics; {{}}: no features
  organs: [{organs}]      # in the masks
experiments: [{experiments}]      # {experiments_why}
workflow: {{chunks: {chunks}}}      # jobs that share the patients
"""


@dataclass(frozen=True)
class Seen:
    """What lies in a data set: images of each kind, patients of each kind, organs, voxels, resolution, tracer."""

    patients: int
    images: Counter[str]
    owners: dict[str, set[str]]
    organs: list[str]
    spacing_mm: dict[str, float]
    resolution: bool
    radionuclides: Counter[str]
    centres: int

    def kinds(self) -> list[str]:
        """Return the kinds of images that at least half of the patients have."""
        return [kind for kind, who in self.owners.items() if 2 * len(who) >= max(self.patients, 1) and who]


def _look(data: "Dataset") -> Seen:
    """Read the tables, the masks' labels, the voxel sizes and sidecars of a data set."""
    import numpy as np

    from theradose.imaging.nifti import read_sidecar
    from theradose.vocabulary import MODALITIES, ORGANS, is_target, organ_of, voi_of_label

    people, manifest = data.participants(), data.manifest()
    owners = {kind: set(manifest.loc[manifest["modality"] == kind, "patient"]) for kind in MODALITIES}
    organs: set[str] = set()
    sizes: dict[str, list[float]] = {}
    for kind, rows in manifest.groupby("modality"):
        for _, row in (rows if kind == "mask" else rows.head(SAMPLED)).iterrows():
            volume = data.load(row)
            sizes.setdefault(str(kind), []).append(max(volume.grid.spacing_mm))
            labels = np.unique(volume.values) if kind == "mask" else ()
            names = [voi_of_label(int(label)) for label in labels if label]
            organs |= {organ_of(name) for name in names if is_target(name)}
    spects = [data.root / file for file in manifest.loc[manifest["modality"] == "spect", "file"]]
    return Seen(
        len(people), Counter(manifest["modality"]), owners, [organ for organ in ORGANS if organ in organs],
        {kind: float(np.median(values)) for kind, values in sizes.items()},
        bool(spects) and all("EffectiveResolutionFWHM" in read_sidecar(file) for file in spects),
        Counter(name for name in people["radionuclide"] if name), people["centre"].nunique(),
    )  # fmt: skip


def _models(seen: Seen, kinds: list[str]) -> tuple[str, str]:
    """Return the experiments and why these."""
    from theradose.settings import load_experiment

    needed = ("pet", "ct", "spect", "mask")
    both = set.intersection(*(seen.owners[kind] for kind in needed))
    if not set(needed) <= set(kinds) or len(both) < PATIENTS_FOR_MODELS:
        return "", f"models need {PATIENTS_FOR_MODELS} patients with PET, CT, SPECT and mask; here {len(both)}"
    known = (EXPERIMENTS / f"{EXPERIMENT}.yaml").is_file()
    wanted = load_experiment(EXPERIMENTS, EXPERIMENT).organs if known else ()
    lacking = [organ for organ in wanted if organ not in seen.organs]
    if lacking:
        return "", f"{EXPERIMENT} is of {', '.join(lacking)}, too: copy {EXPERIMENTS}/{EXPERIMENT}.yaml without them"
    return EXPERIMENT, f"files of {EXPERIMENTS}; {len(both)} patients with all images"


def _stand_ins(seen: Seen) -> str:
    """Return the effective half-lives that stand in for refused fits, for the organs of the masks: to be looked at."""
    from theradose.sections import POPULATION_T_EFF_H

    hours = ", ".join(f"{organ}: {POPULATION_T_EFF_H[organ]:g}" for organ in seen.organs if organ in POPULATION_T_EFF_H)
    return (
        "kinetics:\n"
        "  # Hours; where a fit is refused, these stand in. They are of 177Lu-PSMA: write those of your tracer.\n"
        f"  population_t_eff_h: {{{hours}}}"
    )


def _filled(seen: Seen, name: str, to: Path) -> str:
    """Return the text of the study."""
    kinds = seen.kinds()
    fine = {"pet": FINE_PET_MM, "ct": FINE_CT_MM}
    named = {"pet": ("pet_4mm", "pet_8mm"), "ct": ("ct_2mm", "ct_8mm")}
    presets = {kind: named[kind][seen.spacing_mm[kind] > fine[kind]] for kind in fine if kind in kinds}
    experiments, why = _models(seen, kinds)
    tracer = seen.radionuclides.most_common(1)
    values: dict[str, Any] = {
        "study": re.sub(r"[^a-z0-9_-]+", "-", to.stem.lower()).lstrip("-_0123456789") or "study",
        "found": ", ".join(f"{n} {kind}" for kind, n in sorted(seen.images.items())),
        "radionuclide": tracer[0][0] if tracer else "Lu-177",
        "radionuclide_from": "as in participants.tsv" if tracer else "not stated in participants.tsv",
        "register": "true" if seen.images["spect"] > len(seen.owners["spect"]) else "false",
        "kinetics": _stand_ins(seen),
        "recovery": "geometric_transfer" if seen.resolution else "none",
        "recovery_why": "the sidecars state the resolution" if seen.resolution
        else "geometric_transfer needs fwhm_mm, the camera's resolution",
        "stratify": "centre" if seen.centres > 1 else "none",
        "spacing_mm": min(max(round(seen.spacing_mm.get("pet", 8.0)), 2), 16),
        "chunks": min(max(seen.patients // 10, 1), 8),
    }  # fmt: skip
    return TEMPLATE.format(
        name=name, file=to.as_posix(), patients=counted(seen.patients, "patient"), require=", ".join(kinds),
        organs=", ".join(seen.organs),
        presets=", ".join(f"{kind}: {preset}" for kind, preset in presets.items()), experiments=experiments,
        experiments_why=why, **values,
    )  # fmt: skip


def init(
    data: Annotated[Path, typer.Argument(help="Data set folder as `import` left it, e.g. data/mine.")],
    *,
    to: Annotated[Path | None, typer.Option(help="File to write; config/<data set>.yaml without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a commented study for a data set: what is required, organs, presets, models if patients suffice."""
    from theradose.cohort.layout import Dataset
    from theradose.errors import SettingsError, Where
    from theradose.provenance import write_atomically
    from theradose.settings import load_study

    with refusal(as_json):
        name = data.resolve().name
        file = Path("config") / f"{name}.yaml" if to is None else to
        if file.exists():
            remedy = "choose another name with --to, or remove it yourself"
            raise SettingsError("file is there already", where=Where(file=str(file)), remedy=remedy, code="THR-372")
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name):
            raise SettingsError(
                "name of the data set cannot be that of a cohort", where=Where(field="cohort.name"), got=name,
                expected="small letters, digits, - and _", remedy="rename its folder", code="THR-373",
            )  # fmt: skip
        seen = _look(Dataset(data).existing())
        write_atomically(file, _filled(seen, name, file).encode())
        study = load_study(file)
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(seen.images.items()))
    lines = [
        f"{data}: {counted(seen.patients, 'patient')}, {counts}; organs: {', '.join(seen.organs) or 'none'}",
        f"{file}: requires {', '.join(study.check.require)}; experiments: {', '.join(study.experiments) or 'none'}",
        f"read it, then: theradose check {data} --config {file}; snakemake --configfile {file}",
    ]
    answer({"file": file.as_posix(), "study": study.model_dump(mode="json")}, as_json, lines)
