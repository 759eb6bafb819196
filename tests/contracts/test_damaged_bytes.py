"""Damaged files: every changed byte is found by the hashes of intake, and no damage ends in a traceback.

The slow test makes 200 truncations and 400 flipped bytes of one small virtual patient, and writes what intake noticed
by itself, without hashes, into `found.tsv` of its temporary folder. By hash, all 600 are found; at intake

    kind       cut off   one byte flipped
    PT          34 / 34      24 / 66
    NM          34 / 34      21 / 66
    RTSTRUCT    33 / 33      20 / 67
    NIfTI       33 / 33      66 / 67   (the checksum of gzip leaves out its own header)
    JSON        33 / 33      49 / 67
    TSV         28 / 33      66 / 67   (a cut may leave the last cell shorter, or out)
"""

import contextlib
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theradose.cohort.importer import import_dicom
from theradose.cohort.layout import Dataset
from theradose.cohort.mapping import MAPPING, import_mapping
from theradose.cohort.raw_files import hashes_of, require_raw
from theradose.errors import TheradoseError
from theradose.imaging.dicom import read_series
from theradose.imaging.dicom_folder import sort_files
from theradose.imaging.nifti import read_sidecar, read_volume, sidecar
from theradose.imaging.rtstruct import rasterise, read_rtstruct
from theradose.provenance import write_json
from theradose.tables import write_table

KINDS = ("PT", "NM", "RTSTRUCT", "NIfTI", "TSV", "JSON")
DICOM = ("PT", "NM", "RTSTRUCT")
MUTABLE = (
    "Modality", "SeriesInstanceUID", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "Rows",
    "Columns", "BitsStored", "BitsAllocated", "SamplesPerPixel", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "Units", "NumberOfSlices", "InstanceNumber", "SeriesTime", "SeriesDate", "AcquisitionTime",
    "PatientWeight", "PatientSize", "DecayCorrection", "DecayFactor", "ActualFrameDuration",
    "PhotometricInterpretation", "NumberOfFrames",
)  # fmt: skip
TEXTS = (
    "",
    "0",
    "-1",
    "1e400",
    "nan",
    "inf",
    "x",
    "1\\2",
    "1\\2\\3\\4\\5\\6",
    "99999999999",
    "20240132",
    "256161",
    "PT",
)


def patient(maker, folder: Path) -> dict[str, list[Path]]:
    """Write a virtual patient as DICOM (PT, NM, RTSTRUCT) and as NIfTI with JSON and mapping; return files by kind."""
    stored = np.random.default_rng(0).integers(30000, 60000, (3, 8, 8)).astype(np.uint16)
    box = np.array([(-8.0, -14.0, 34.0), (-2.0, -14.0, 34.0), (-2.0, -5.0, 34.0), (-8.0, -5.0, 34.0)])
    dicom, nifti = folder / "dicom", folder / "nifti"
    files = {"PT": maker.write_slices(dicom / "pt", stored, slopes=[3000.0] * 3)}
    later = {"SeriesDate": "20240111", "AcquisitionDate": "20240111", "RescaleSlope": "3000"}
    files["NM"] = [maker.write_nm(dicom / "nm.dcm", stored, changes=later)]
    files["RTSTRUCT"] = [maker.write_structures(dicom / "rs.dcm", [("lesion_01", [("CLOSED_PLANAR", box)])])]
    nifti.mkdir()
    image = nifti / "spect.nii.gz"
    nib.save(nib.Nifti1Image(stored.astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0])), image)
    about = {"TracerRadionuclide": "Lu-177", "InjectedRadioactivity": 7400.0, "FrameTimesStart": [86400.0]}
    write_json(sidecar(image), {**about, "DecayReference": "scan_start", "ImageDecayCorrected": True})
    row = {
        "patient": "n01", "session": "ses-tx1", "modality": "spect", "time_h": 24.0, "file": image.name, "label": "",
        "units": "Bq/mL", "centre": "north", "weight_kg": 80.0, "height_cm": 175.0, "administered_mbq": 7400.0,
        "radionuclide": "Lu-177",
    }  # fmt: skip
    write_table(pd.DataFrame([row]), folder / "mapping.tsv", MAPPING)
    return files | {"NIfTI": [image], "JSON": [sidecar(image)], "TSV": [folder / "mapping.tsv"]}


def take_in(folder: Path, kind: str, to: Path):
    """Import the form of the patient that a kind of file belongs to."""
    if kind in DICOM:
        return import_dicom(folder / "dicom", to, patient="n01", decay_reference="scan_start", nm_unit="Bq/mL")
    return import_mapping(folder / "nifti", to, folder / "mapping.tsv")


def damaged(content: bytes, how: str, rng: np.random.Generator) -> bytes:
    """Return bytes that were cut off, or of which one is another."""
    at = int(rng.integers(len(content)))
    if how == "truncation":
        return content[:at]
    return content[:at] + bytes([content[at] ^ int(rng.integers(1, 256))]) + content[at + 1 :]


def count_found(maker, folder: Path, n_truncations: int, n_flips: int) -> pd.DataFrame:
    """Damage one file after the other; return how many of each kind were found by the hashes, and at intake."""
    rng = np.random.default_rng(11)
    files = patient(maker, folder)
    for kind in ("PT", "NIfTI"):
        assert not take_in(folder, kind, folder / f"data_{kind}").quarantined
    rows = []
    for number in range(n_truncations + n_flips):
        how, kind = "truncation" if number < n_truncations else "flip", KINDS[number % len(KINDS)]
        path = files[kind][int(rng.integers(len(files[kind])))]
        content = path.read_bytes()
        path.write_bytes(damaged(content, how, rng))
        data = Dataset(folder / f"data_{'PT' if kind in DICOM else 'NIfTI'}")
        source, also = (folder / "dicom", ()) if kind in DICOM else (folder / "nifti", (folder / "mapping.tsv",))
        try:
            require_raw(data, "n01", hashes_of(source, also))
            by_hash = False
        except TheradoseError as error:
            by_hash = error.code == "THR-331"
        try:
            at_intake = bool(take_in(folder, kind, folder / "again").quarantined)
        except TheradoseError:
            at_intake = True
        path.write_bytes(content)
        shutil.rmtree(folder / "again", ignore_errors=True)
        rows.append((how, kind, 1, by_hash, at_intake))
    table = pd.DataFrame(rows, columns=["damage", "file", "n", "by_hash", "at_intake"])
    return table.groupby(["damage", "file"]).sum()


def require_found(table: pd.DataFrame) -> None:
    """Every damage is found by the hashes; images and structures that are cut off are found at intake as well."""
    assert (table["by_hash"] == table["n"]).all(), table
    cut = table.loc["truncation"].loc[[*DICOM, "NIfTI"]]
    assert (cut["at_intake"] == cut["n"]).all(), table


def test_damage_after_intake_is_found(dicom_maker, tmp_path) -> None:
    require_found(count_found(dicom_maker, tmp_path, 12, 24))


@pytest.mark.slow
def test_much_damage_after_intake_is_found(dicom_maker, tmp_path) -> None:
    table = count_found(dicom_maker, tmp_path, 200, 400)
    (tmp_path / "found.tsv").write_text(table.to_csv(sep="\t"))
    require_found(table)


def read_all(path: Path) -> None:
    """Throw a file at every reader; only errors with a sentence are allowed."""
    for reader in (
        lambda: sort_files([path]),
        lambda: read_series([path], "Bq/mL"),
        lambda: [rasterise(roi, read_series([path]).volume.grid) for roi in read_rtstruct(path).rois],
        lambda: read_volume(path, "HU"),
        lambda: read_sidecar(path),
    ):
        with contextlib.suppress(TheradoseError):
            reader()


SHARE = settings().max_examples / 100  # all of them when the slow tests run too
FUZZ = settings(
    max_examples=round(60 * SHARE), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(
    content=st.binary(max_size=600), start=st.sampled_from([b"", bytes(128) + b"DICM", b"\x1f\x8b\x08", b"{", b"n+1"])
)
@FUZZ
def test_random_bytes_get_a_sentence(tmp_path, content, start) -> None:
    for name in ("x.dcm", "x.nii", "x.nii.gz", "x.json"):
        path = tmp_path / name
        path.write_bytes(start + content)
        read_all(path)


@pytest.fixture(scope="module")
def files(dicom_maker, tmp_path_factory) -> dict[str, list[Path]]:
    """Return the files of one virtual patient; whoever changes one puts it right again."""
    return patient(dicom_maker, tmp_path_factory.mktemp("patient"))


@given(kind=st.sampled_from([*DICOM, "NIfTI", "JSON"]), at=st.floats(0, 1), new=st.binary(min_size=1, max_size=12))
@FUZZ
def test_overwritten_bytes_get_a_sentence_or_a_clean_result(files, kind, at, new) -> None:
    path = files[kind][0]
    content = path.read_bytes()
    start = int(at * len(content))
    path.write_bytes(content[:start] + new + content[start + len(new) :])
    try:
        read_all(path)
    finally:
        path.write_bytes(content)


@given(changes=st.dictionaries(st.sampled_from(MUTABLE), st.sampled_from(TEXTS), min_size=1, max_size=3))
@FUZZ
def test_headers_with_nonsense_get_a_sentence_or_a_clean_result(dicom_maker, tmp_path, changes) -> None:
    stored = np.ones((2, 3, 4), np.uint16)
    files = dicom_maker.write_slices(tmp_path / "s", stored)
    header = pydicom.dcmread(files[0])
    try:
        for name, value in changes.items():
            vr = pydicom.datadict.dictionary_VR(name)
            header.add_new(name, vr, int.from_bytes(value.encode()[:2]) if vr == "US" else value)
        header.save_as(files[0])
    except (ValueError, TypeError, OverflowError):
        return  # such a header cannot be written
    with contextlib.suppress(TheradoseError):
        assert np.isfinite(read_series(files).volume.values).all()
