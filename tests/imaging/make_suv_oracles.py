"""Write suv_oracles.json: SUV per stored unit of the headers in suv_cases.py as two other tools give it.

Not run by the tests. In an environment of its own: `pip install z-rad==26.9.0`, and in a folder `npm install
@cornerstonejs/calculate-suv@1.1.0`; then `python tests/imaging/make_suv_oracles.py FOLDER`. A tool that raises or says
that it leaves the patient out is null.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import pydicom
import SimpleITK as sitk
from suv_cases import CASES, PRIVATE, write
from zrad.io.pet_suv import apply_suv_correction, validate_pet_dicom_tags

HERE = Path(__file__).parent
PACKAGE = "@cornerstonejs/calculate-suv"
SCRIPT = """
const {calculateSUVScalingFactors} = require('@cornerstonejs/calculate-suv');
console.warn = () => 0;
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8')), found = {};
for (const name in cases) {
  try { found[name] = calculateSUVScalingFactors([cases[name]])[0].suvbw; } catch (error) { found[name] = null; }
}
console.log(JSON.stringify(found));
"""


def of_zrad(path):
    """Return SUV per stored unit by z-rad."""
    files = [{"file_path": str(path), "ds": pydicom.dcmread(path, stop_before_pixels=True)}]
    image = sitk.Image(2, 2, 1, sitk.sitkFloat32)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            validate_pet_dicom_tags(files)
            suv = sitk.GetArrayFromImage(apply_suv_correction(files, image))
        except Exception:  # whatever it raises, it gives no number
            return None
    return None if any("excluded" in str(one.message) for one in said) else float(suv.max()) / 1000.0


def instance(path):
    """Return the metadata that calculate-suv asks for."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    info = header.RadiopharmaceuticalInformationSequence[0]
    words = {"CorrectedImage": list(header.CorrectedImage), "PhilipsPETPrivateGroup": {}}
    for key in ("Units", "DecayCorrection", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime"):
        words[key] = str(header[key].value)
    for source, keys in (
        (header, ("PatientWeight", "FrameReferenceTime", "ActualFrameDuration")),
        (info, ("RadionuclideTotalDose", "RadionuclideHalfLife")),
    ):
        words |= {key: float(source[key].value) for key in keys if key in source}
    for key in ("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime"):
        words |= {key: str(info[key].value)} if key in info else {}
    names = {"suv": "SUVScaleFactor", "bqml": "ActivityConcentrationScaleFactor"}
    for kind, (group, creator, offset, _) in PRIVATE.items():
        try:
            value = header.private_block(group, creator)[offset].value
        except KeyError:
            continue
        if kind in names:
            words["PhilipsPETPrivateGroup"][names[kind]] = float(value)
        elif kind == "ge" and value:
            words["GEPrivatePostInjectionDateTime"] = str(value)
    return words


def main(folder):
    """Run both tools over all cases."""
    spec = importlib.util.spec_from_file_location("dicom_maker", HERE.parent / "dicom_maker.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    with tempfile.TemporaryDirectory() as place:
        paths = {name: write(maker, Path(place) / name, name) for name in CASES}
        zrad = {name: of_zrad(path) for name, path in paths.items()}
        words = json.dumps({name: instance(path) for name, path in paths.items()})
    node = subprocess.run(
        ["node", "-e", SCRIPT], input=words, cwd=folder, capture_output=True, text=True, check=True
    )  # fmt: skip
    installed = json.loads((Path(folder) / "node_modules" / PACKAGE / "package.json").read_text())["version"]
    tools = {f"z-rad {version('z-rad')}": zrad, f"calculate-suv {installed}": json.loads(node.stdout)}
    (HERE / "suv_oracles.json").write_text(json.dumps(tools, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
