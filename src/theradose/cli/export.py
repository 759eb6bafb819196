"""What other programs read, from images of this one: a simulation, DICOM, doses and masks."""

from pathlib import Path
from typing import Annotated

import typer

from theradose.cli.answers import answer, refusal


def export_opengate(
    *,
    tia_image: Annotated[Path, typer.Option(help="Time-integrated activity, NIfTI with sidecar, MBq.h per voxel.")],
    ct: Annotated[Path, typer.Option(help="CT in HU (or density in g/mL), NIfTI with sidecar, on any grid.")],
    nuclide: Annotated[str, typer.Option(help="Radionuclide, e.g. Lu-177.")],
    to: Annotated[Path, typer.Option(help="Folder to write; it must not exist.")],
    histories: Annotated[int, typer.Option(min=1, max=10**12, help="Decays to simulate.")] = 10_000_000,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of the random numbers.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a folder with a ready OpenGATE (GATE 10) simulation of the absorbed dose."""
    from theradose.imaging import opengate
    from theradose.imaging.nifti import read_volume
    from theradose.provenance import sha256_file

    with refusal(as_json):
        images = (read_volume(tia_image), read_volume(ct))
        inputs = {"tia_image": sha256_file(tia_image), "ct": sha256_file(ct)}
        found = opengate.export_opengate(*images, nuclide, to, histories=histories, seed=seed, inputs=inputs)
    lines = [
        f"OpenGATE simulation of {nuclide} in {to}",
        f"  time-integrated activity   {found['tia_mbq_h']:.6g} MBq.h ({found['decays']:.4g} decays)",
        f"  to simulate                {histories} decays, seed {seed}",
        f"  dose of the actor times    {found['gy_per_gy_simulated']:.6g} (simulation.py does this)",
        f"  activity in air            {100 * found['tia_in_air_fraction']:.3g} %",
        f"  activity outside the CT    {100 * found['tia_outside_ct_fraction']:.3g} %",
        f"Run: python {to / 'simulation.py'} (OpenGATE 10.1 and the data of Geant4; see {to / 'README.txt'})",
    ]
    answer({"folder": str(to), **found}, as_json, lines)


def export_dicom(
    data: Annotated[Path, typer.Argument(help="Data set folder of virtual patients, e.g. data/demo.")],
    *,
    to: Annotated[Path, typer.Option(help="Folder to write; sub-ID in it must not exist.")],
    patient: Annotated[
        list[str] | None, typer.Option(help="Patient to write; may be repeated. All without it.")
    ] = None,
    spect: Annotated[
        str, typer.Option(help="SPECT as nm (multi-frame), nm-reversed (negative slice spacing) or pt (slices).")
    ] = "nm",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write virtual patients as DICOM (CT, PT, NM, RTSTRUCT), to try an importer on; dates are invented."""
    from theradose.cohort import dicom_copy
    from theradose.cohort.layout import Dataset

    with refusal(as_json):
        lines = dicom_copy.export_dicom(Dataset(data), to, patients=patient or (), spect=spect)
    answer({"folder": str(to), "lines": lines}, as_json, [f"DICOM of virtual patients in {to}", *lines])


def export_dose(
    results: Annotated[Path, typer.Argument(help="Results folder of a study, e.g. results/demo.")],
    *,
    to: Annotated[Path, typer.Option(help="Folder to write; sub-ID in it must not exist.")],
    patient: Annotated[
        list[str] | None, typer.Option(help="Patient to write; may be repeated. All without it.")
    ] = None,
    dicom: Annotated[
        Path | None, typer.Option(help="DICOM or archives the study began with, of one patient or in folders sub-ID.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data set of the study, where it has moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write dose maps as NIfTI and RTDOSE and masks as SEG and RTSTRUCT, for research only."""
    from theradose.cohort import dose_export

    with refusal(as_json):
        lines = dose_export.export_dose(results, to, patients=patient or (), dicom=dicom, data=data)
    answer({"folder": str(to), "lines": lines}, as_json, [f"Dose and masks in {to}", *lines])
