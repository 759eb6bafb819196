"""Checks that open the images: readable, finite, on one grid with their mask, on the right side, in the right unit."""

from collections.abc import Iterator

import numpy as np

from theradose.cohort.case import Case, Fault
from theradose.cohort.intake import intake_faults
from theradose.cohort.layout import PRE
from theradose.cohort.raw_files import RAW_FILES, SIDECAR, raw_file
from theradose.errors import TheradoseError, Where
from theradose.imaging.nifti import read_sidecar, read_volume
from theradose.imaging.plausible import can_be_injected, decay_contradiction, require_total, tracer_of
from theradose.imaging.suv import expected_activity_mbq, injected_mbq, sidecar_number
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide
from theradose.physics.units import hours_from_seconds
from theradose.provenance import verify_file
from theradose.tables import read_table
from theradose.vocabulary import VOIS, voi_of_label

SAME_WEIGHT = 0.02
REGRID = "import the patient again: it puts the mask of a session and time on the grid of the image of that time"
SAME_ACTIVITY = 0.02  # a syringe's residual; a larger difference is another injection
WHOLE = 1e-6
AIR_HU = -200.0  # a mean below it is no liver's


def check_intake(case: Case) -> Iterator[Fault]:
    """What the import could not use, or only with a warning, and sidecars that are not those of the import."""
    earlier = intake_faults(case.data)
    for row in earlier[earlier["patient"] == case.patient].to_dict("records"):
        yield Fault(str(row["severity"]), str(row["code"]), case.patient, str(row["message"]))
    file = raw_file(case.data, case.patient)
    rows = read_table(file, RAW_FILES).to_dict("records") if file.is_file() else []
    for row in (r for r in rows if r["use"] == SIDECAR):
        try:
            verify_file(case.data.root / str(row["file"]), str(row["sha256"]), Where())
        except TheradoseError as error:
            yield case.warn(
                "THR-333", f"sidecar: {error.what}", str(row["file"]), got=error.got, expected=error.expected
            )


def check_images(case: Case) -> Iterator[Fault]:
    """Every image can be read and holds finite values that differ; intake left nothing behind."""
    yield from check_intake(case)
    for row in case.images():
        if row.file in case.broken:
            continue
        try:
            volume = read_volume(case.data.root / row.file)
        except TheradoseError as error:
            yield case.caught(error, row.file)
            continue
        values = np.asarray(volume.values)
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            got = f"{len(wrong)} voxels, first at (x, y, z) = {tuple(wrong[0][::-1].tolist())}"
            remedy = "export the image again, or import it: values outside all VOIs become 0"
            yield case.error("THR-270", "values are not finite", row.file, got=got, expected="0", remedy=remedy)
        elif row.modality != "mask" and np.ptp(values) == 0:
            yield case.error("THR-271", "image is empty", file=row.file, got=f"{values.flat[0]:g} everywhere")
        else:
            case.volumes[row.file] = volume
            below = int((values < 0).sum()) if row.modality in ("pet", "spect") else 0
            if below:
                yield case.note("THR-335", "negative activity was kept", file=row.file, got=f"{below} voxels")


def check_grids(case: Case) -> Iterator[Fault]:
    """A SPECT lies on the grid of its mask; before therapy one image at least does, others get it resampled."""
    for row in case.images("spect"):
        mask = case.mask_of(row)
        if mask is None or row.file not in case.volumes or mask not in case.volumes:
            continue
        grid, drawn = case.volumes[row.file].grid, case.volumes[mask].grid
        if not grid.same_as(drawn):
            yield case.error(
                "THR-220",
                f"mask lies on another grid than the SPECT at {row.time_h:g} h",
                file=mask,
                got=drawn.describe(),
                expected=grid.describe(),
                remedy=f"{REGRID}; a mask of before therapy must be given once more at {row.time_h:g} h",
            )
    for own in (m for m in case.images("mask") if m.session == PRE and m.file in case.volumes):
        grid = case.volumes[own.file].grid
        rows = [row for row in case.images("pet", "ct") if row.file in case.volumes]
        other = [row for row in rows if not case.volumes[row.file].grid.same_as(grid)]
        if rows and len(other) == len(rows):
            expected = case.volumes[rows[0].file].grid.describe()
            yield case.error(
                "THR-220",
                "mask lies on another grid than every image",
                file=own.file,
                got=grid.describe(),
                expected=expected,
                remedy=REGRID,
            )
        else:
            for row in other:
                yield case.note("THR-277", "mask will be resampled on this image's grid", file=row.file)


def check_labels(case: Case) -> Iterator[Fault]:
    """Masks hold whole, known labels, and at least one."""
    for row in case.images("mask"):
        if row.file not in case.volumes:
            continue
        labels = np.unique(case.volumes[row.file].values)
        labels = labels[labels != 0]
        unknown = [f"{label:g}" for label in labels if not _known(float(label))]
        if labels.size == 0:
            yield case.error("THR-272", "mask is empty", file=row.file, expected="at least one label")
        if unknown:
            yield case.error(
                "THR-221",
                "label of the mask has no name",
                file=row.file,
                got=", ".join(unknown[:5]),
                expected="labels of the vocabulary, lesions from 101",
            )


def _known(label: float) -> bool:
    """Tell whether a label stands for a VOI."""
    try:
        return abs(label - round(label)) < WHOLE and bool(voi_of_label(round(label)))
    except KeyError:
        return False


def _centre_x_mm(mask: Volume, label: int) -> float | None:
    """Return the LPS x of a label's centre, mm (larger is more to the patient's left); None when it is not there."""
    index = np.argwhere(mask.values == label)
    if index.size == 0:
        return None
    z, y, x = index.mean(axis=0)
    return float((mask.grid.affine_lps() @ np.array([x, y, z, 1.0]))[0])


def _contents(case: Case, mask: str) -> Iterator[Fault]:
    """Livers are no air and kidneys no cold spots in the images on the grid of a mask: if not, it may be mirrored."""
    drawn = case.volumes[mask]
    own = [r for r in case.images("ct", "pet", "spect") if r.file in case.volumes]
    for row in (r for r in own if case.volumes[r.file].grid.same_as(drawn.grid)):
        values, organ = case.volumes[row.file].values, "liver" if row.modality == "ct" else "kidney"
        labels = [voi.label for name, voi in VOIS.items() if name.startswith(organ)]
        inside = values[np.isin(drawn.values, labels)]
        least = AIR_HU if organ == "liver" else float(values.mean())
        if inside.size and float(inside.mean()) < least:
            unit = case.volumes[row.file].unit
            yield case.warn(
                "THR-340", f"mask may be mirrored: too little in the {organ}", file=mask, field=organ,
                got=f"mean {inside.mean():.4g} {unit} in {row.file}", expected=f"at least {least:.4g} {unit}",
                remedy="look at mask and image together",
            )  # fmt: skip


def check_sides(case: Case) -> Iterator[Fault]:
    """Left organs lie to the patient's left of right ones, and organs where images show such tissue."""
    for row in (r for r in case.images("mask") if r.file in case.volumes):
        yield from _contents(case, row.file)
        for name, voi in VOIS.items():
            if not name.endswith("_left"):
                continue
            left = _centre_x_mm(case.volumes[row.file], voi.label)
            right = _centre_x_mm(case.volumes[row.file], VOIS[name.replace("_left", "_right")].label)
            if left is not None and right is not None and left <= right:
                yield case.error(
                    "THR-273",
                    "left and right are exchanged",
                    file=row.file,
                    field=name.removesuffix("_left"),
                    got=f"left at x = {left:.0f} mm, right at {right:.0f} mm",
                    expected="left > right in LPS",
                    remedy="mirror the mask or correct its orientation",
                )


def check_activity(case: Case) -> Iterator[Fault]:
    """Activity in the field of view is 0.11 to 105 % of what was injected, decayed as the image's reading says."""
    for row in case.images("pet", "spect"):
        volume = case.volumes.get(row.file)
        if volume is None or volume.unit != "Bq/mL":
            continue
        try:
            sidecar = read_sidecar(case.data.root / row.file)
            injected = injected_mbq(sidecar)
            administered = case.number("administered_mbq") if row.modality == "spect" else injected
            if administered is not None and not can_be_injected(administered, tracer_of(sidecar)):
                administered = None  # said once, of the table: the image is judged by its header
            expected = expected_activity_mbq(sidecar, administered or injected)
            require_total(volume.total_mbq(), expected, Where(patient=case.patient, time_h=row.time_h, file=row.file))
        except TheradoseError as error:
            yield case.caught(error, row.file)
            continue
        if administered is not None and abs(injected / administered - 1) > SAME_ACTIVITY:
            yield case.warn(
                "THR-274",
                "administered activities disagree",
                file=row.file,
                field="InjectedRadioactivity",
                got=f"{injected:g} MBq",
                expected=f"{administered:g} MBq as in participants.tsv",
            )


def check_weight(case: Case) -> Iterator[Fault]:
    """A PET in Bq/mL has the body weight that SUV needs, and it is that of the header when the header states one."""
    weight_kg = case.number("weight_kg")
    in_bq = [row for row in case.images("pet") if row.file in case.volumes and case.volumes[row.file].unit == "Bq/mL"]
    if in_bq and weight_kg is None:
        yield case.error(
            "THR-211", "SUV needs the body weight", file="participants.tsv", field="weight_kg", expected="20 to 250 kg"
        )
    for row in in_bq:
        try:
            about = read_sidecar(case.data.root / row.file)
            stated_kg = sidecar_number(about, "PatientWeight") if "PatientWeight" in about else None
        except TheradoseError as error:
            yield case.caught(error, row.file)
            continue
        if stated_kg and weight_kg and abs(stated_kg / weight_kg - 1) > SAME_WEIGHT:
            yield case.error(
                "THR-343", "weights of header and table disagree", file=row.file, field="PatientWeight",
                got=f"{stated_kg:g} kg", expected=f"{weight_kg:g} kg as in participants.tsv, within 2 %",
                remedy="correct the cell; or PatientWeight of the sidecar, when the header is wrong",
            )  # fmt: skip


def check_decay(case: Case) -> Iterator[Fault]:
    """The decay factor that the header declared is that of its decay tag; if not, someone had to decide."""
    for row in case.images("pet", "spect"):
        if row.file not in case.volumes or row.file in case.broken:
            continue
        try:
            sidecar = read_sidecar(case.data.root / row.file)
            factor = sidecar.get("DecayFactorDeclared")
            half_life_h = nuclide(str(tracer_of(sidecar))).half_life_h if factor else 0.0
            start_h = hours_from_seconds(sidecar_number(sidecar, "FrameTimesStart")) if factor else 0.0
            framed = factor and sidecar.get("FrameDuration")
            frame_h = hours_from_seconds(sidecar_number(sidecar, "FrameDuration")) if framed else None
        except TheradoseError as error:
            yield case.caught(error, row.file)
            continue
        clash = decay_contradiction(sidecar.get("DecayCorrectionDeclared"), factor, half_life_h, start_h, frame_h)
        if clash:
            taken = f"read as {sidecar.get('DecayReference')} by the {sidecar.get('DecayReferenceDecidedBy')}"
            yield case.warn("THR-276", "decay correction contradicts itself", row.file, got=clash, remedy=taken)
