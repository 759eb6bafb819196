"""Show what `theradose check` says of a patient with five faults: python scripts/show_faults.py data/demo [patient].

The patient is copied to a folder that is removed afterwards; the data set and its study stay as they are. Ends with
code 1 when a fault is not found.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.cohort.check import check_dataset
from theradose.cohort.layout import Dataset
from theradose.errors import TheradoseError
from theradose.imaging.nifti import read_sidecar, write_volume
from theradose.tables import MANIFEST, write_table
from theradose.vocabulary import VOIS

KEYS = ["patient", "session", "modality", "time_h", "file"]


def copied(data: Dataset, patient: str, to: Path) -> Dataset:
    """Copy the rows and files of one patient."""
    copy, manifest = Dataset(to), data.manifest()
    own = manifest[manifest["patient"] == patient].reset_index(drop=True)
    for file in own["file"]:
        for path in ((data.root / file), (data.root / file.replace(".nii.gz", ".json"))):
            target = to / path.relative_to(data.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    write_table(own, copy.manifest_file, MANIFEST)
    cells = pd.read_csv(data.participants_file, sep="\t", dtype=str, keep_default_na=False)
    cells[cells["patient"] == patient].to_csv(copy.participants_file, sep="\t", index=False)
    return copy


def rewrite(data: Dataset, row: pd.Series, values: np.ndarray) -> None:
    """Write other values into an image, as if it had come so."""
    path, volume = data.root / row["file"], data.load(row)
    extra = {key: value for key, value in read_sidecar(path).items() if key != "Units"}
    write_volume(volume.with_values(values.astype(volume.values.dtype)), path, extra)
    data.write_manifest(data.manifest()[KEYS])


def spoil(data: Dataset, patient: str) -> dict[str, str]:
    """Make five faults; return {code: what was done}."""
    mask, first, second = (
        data.rows(patient, "mask").iloc[0],
        *(r for _, r in data.rows(patient, "spect")[:2].iterrows()),
    )
    labels, left, right = data.load(mask).values, VOIS["kidney_left"].label, VOIS["kidney_right"].label
    rewrite(data, mask, np.where(labels == left, right, np.where(labels == right, left, labels)))
    rewrite(data, second, data.load(second).values / 1000)
    path = data.root / first["file"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (data.root / data.rows(patient, "ct").iloc[0]["file"]).unlink()
    cells = pd.read_csv(data.participants_file, sep="\t", dtype=str, keep_default_na=False)
    cells.assign(weight_kg="8000").to_csv(data.participants_file, sep="\t", index=False)
    return {
        "THR-261": "body weight typed as 8000", "THR-201": "CT removed", "THR-202": "one bit of a SPECT flipped",
        "THR-273": "left and right kidney exchanged", "THR-213": "a SPECT in kBq/mL instead of Bq/mL",
    }  # fmt: skip


def show(root: Path, patient: str | None = None) -> int:
    """Copy, spoil, check and print; return the exit code."""
    data = Dataset(root)
    chosen = patient or str(data.manifest()["patient"].min())
    with tempfile.TemporaryDirectory() as scratch:
        copy = copied(data, chosen, Path(scratch) / "faulty")
        done = spoil(copy, chosen)
        tracer = data.participants().set_index("patient").loc[chosen, "radionuclide"]
        found = check_dataset(copy, require=("pet", "ct", "spect", "mask"), max_time_h=336.0, radionuclide=tracer)
    print(f"check of a faulty copy of patient {chosen} ({'; '.join(done.values())}):")
    for message in found.faults.loc[found.faults["severity"] == "ERROR", "message"]:
        print(f"  {message}")
    print(f"  {found.invariant()}; the data set itself is as it was")
    return int(not set(done) <= set(found.faults["code"]))


if __name__ == "__main__":
    try:
        sys.exit(show(Path(sys.argv[1]), *sys.argv[2:3]))
    except TheradoseError as error:
        sys.stderr.write(f"theradose: {error}\n")
        sys.exit(error.exit_code)
