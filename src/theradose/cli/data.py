"""Verbs that bring data in: import a patient or a cohort, and check a data set before any work."""

import json
from pathlib import Path
from typing import Annotated

import typer

from theradose.cli.answers import refusal
from theradose.errors import EXIT_QUARANTINED, SettingsError

MEANINGS = "what a code means and what to do: docs/errors.md"


def import_data(
    source: Annotated[Path, typer.Argument(help="Folder, .tar or .zip: DICOM of one patient, or NIfTI of a cohort.")],
    *,
    to: Annotated[Path | None, typer.Option(help="Data set to add to, e.g. data/mine; made when absent.")] = None,
    patient: Annotated[str, typer.Option(help="New identifier; the hospital's is not kept.")] = "p001",
    centre: Annotated[str, typer.Option(help="Centre of the patient.")] = "unknown",
    decay_reference: Annotated[
        str, typer.Option(help="What the numbers refer to: administration, scan_start, none, or as_declared (header).")
    ] = "as_declared",
    nm_unit: Annotated[str | None, typer.Option(help="Unit of NM images that state none: Bq/mL.")] = None,
    allow_frame_match: Annotated[
        bool, typer.Option("--allow-frame-match", help="Take contours of a series that is not here by their frame.")
    ] = False,
    allow_burned_in: Annotated[
        bool, typer.Option("--allow-burned-in", help="Take images whose header says that text is in the pixels.")
    ] = False,
    resample_uneven: Annotated[
        bool, typer.Option("--resample-uneven", help="Interpolate unevenly spaced slices on even steps.")
    ] = False,
    mapping: Annotated[Path | None, typer.Option(help="TSV that says what each NIfTI file is.")] = None,
    propose: Annotated[Path | None, typer.Option(help="Write a mapping for review instead of importing.")] = None,
    pet_units: Annotated[str, typer.Option(help="With --propose: unit of the PET images, Bq/mL or SUV.")] = "",
    mask_label: Annotated[
        str, typer.Option(help="With --propose: VOI of the masks; empty: they hold labels.")
    ] = "lesion_01",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Add images to a data set: Bq/mL, hours after injection, masks; no names, dates or identifiers are kept.

    Ends with code 3 when something of a patient could not be used: that patient is in quarantine.
    """
    from theradose.cohort.importer import Allowed, import_dicom
    from theradose.cohort.intake import Imported
    from theradose.cohort.mapping import import_mapping, propose_mapping

    lines: list[str]
    with refusal(as_json):
        if propose is not None:
            lines = propose_mapping(source, propose, pet_units=pet_units, mask_label=mask_label)
        elif to is None:
            raise SettingsError("import needs a data set to write to", expected="--to data/NAME")
        elif mapping is not None:
            lines = import_mapping(source, to, mapping)
        else:
            allowed = Allowed(frame_match=allow_frame_match, burned_in=allow_burned_in, uneven=resample_uneven)
            lines = import_dicom(
                source, to, patient=patient, centre=centre, decay_reference=decay_reference, nm_unit=nm_unit,
                allowed=allowed,
            )  # fmt: skip
    quarantined = lines.quarantined if isinstance(lines, Imported) else ()
    print(json.dumps({"lines": lines, "quarantined": quarantined}) if as_json else "\n".join(lines))
    if quarantined:
        raise typer.Exit(EXIT_QUARANTINED)


def check_data(
    data: Annotated[Path, typer.Argument(help="Data set folder, e.g. data/mine.")],
    *,
    config: Annotated[
        Path | None, typer.Option(help="Study settings; without it no kind of image is asked for.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every fault of every patient; ends with code 3 when patients are quarantined. Writes nothing.

    Organs must be in the masks when experiments of the study, found in config/experiments, learn their doses.
    A table or manifest that cannot be read as a whole ends with code 2 and one sentence. With a study a warning says
    when the half-lives that stand in for refused fits are the defaults, those of 177Lu-PSMA.
    """
    from theradose.cohort.check import check_dataset
    from theradose.cohort.layout import Dataset
    from theradose.sections import StudySettings
    from theradose.settings import EXPERIMENTS, load_experiment, load_study, organs_learned

    with refusal(as_json):
        study = StudySettings(experiments=()) if config is None else load_study(config)
        known = [name for name in study.experiments if (EXPERIMENTS / f"{name}.yaml").is_file()]
        psma = study.cohort.source == "virtual" and study.cohort.virtual.ligand == "psma"
        result = check_dataset(
            Dataset(data).existing(),
            require=() if config is None else study.check.require,
            max_time_h=study.check.max_time_h,
            radionuclide=study.radionuclide,
            exclude=study.cohort.exclude,
            counts=study.quantify.sensitivity_cps_per_mbq is not None,
            organs=organs_learned(load_experiment(EXPERIMENTS, name) for name in known),
            half_lives=None if config is None or psma else study.kinetics.population_t_eff_h,
        )
    if as_json:
        tables = {"patients": result.patients.to_dict("records"), "faults": result.faults.to_dict("records")}
        print(json.dumps({**tables, "summary": result.invariant()}))
    else:
        print(
            "\n".join(f"{fault['severity']:<5} {fault['message']}" for _, fault in result.faults.iterrows())
            or "no fault"
        )
        print(result.invariant() + (f"; {MEANINGS}" if len(result.faults) else ""))
    if result.count("quarantined"):
        raise typer.Exit(EXIT_QUARANTINED)
