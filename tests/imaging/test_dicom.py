"""DICOM series: sorted by position, and everything missing, mixed or damaged is refused by file name."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import DataError, GeometryError, UnitError
from theradose.imaging.acquisition import radionuclide_of
from theradose.imaging.dicom import read_series
from theradose.imaging.dicom_folder import find_series
from theradose.imaging.dicom_slices import on_even_steps, step_mm

STORED = np.random.default_rng(3).integers(0, 4000, (5, 4, 6)).astype(np.uint16)


@pytest.fixture
def write(dicom_maker, tmp_path):
    return lambda **options: dicom_maker.write_slices(tmp_path / "s", STORED, **options)


def test_pt_is_sorted_by_position_with_its_own_slope_each(write) -> None:
    slopes = [1.0, 2.0, 0.5, 3.0, 1.5]
    series = read_series(write(slopes=slopes))
    assert np.array_equal(series.volume.values, (STORED * np.array(slopes)[:, None, None]).astype(np.float32))
    grid = series.volume.grid
    assert (grid.shape_zyx, grid.spacing_mm, grid.origin_mm) == ((5, 4, 6), (2.0, 3.0, 4.0), (-10.0, -20.0, 30.0))
    assert series.volume.unit == "Bq/mL"


def test_the_record_has_times_and_activity_and_no_person(write) -> None:
    record = read_series(write()).acquisition
    assert (record.modality, record.radionuclide, record.injected_mbq) == ("PT", "Lu-177", 7400.0)
    assert record.start_h == pytest.approx(4.0 + 0.5 / 3600)
    assert (record.frame_duration_s, record.decay_tag, record.weight_kg, record.height_cm) == (
        1200.0,
        "START",
        80.0,
        175.0,
    )
    assert "CANARY" not in repr(record)


def test_ct_is_in_hounsfield_units(write) -> None:
    series = read_series(write(modality="CT"))
    assert series.volume.unit == "HU"
    assert np.array_equal(series.volume.values, STORED.astype(np.float32) - 1024)


def test_slices_stacked_against_the_normal_are_turned(dicom_maker, tmp_path) -> None:
    # A sagittal series: image x is patient y, image y is patient -z; the normal is -x.
    files = dicom_maker.write_slices(tmp_path, STORED, axes=(0, 1, 0, 0, 0, -1))
    volume = read_series(files).volume
    assert np.array_equal(volume.values, STORED)
    first_and_next = volume.grid.affine_lps() @ np.array([[0, 0], [0, 0], [0, 1], [1, 1.0]])
    assert np.allclose(first_and_next[:3].T, [[-10, -20, 30], [-14, -20, 30]])
    assert np.linalg.det(np.asarray(volume.grid.direction)) == pytest.approx(1.0)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_missing_slice_inside_is_refused(write, lost) -> None:
    files = write(modality="CT")
    files.pop(lost)
    with pytest.raises(DataError, match=r"a slice is missing .* file \d+\.dcm"):
        read_series(files)


@pytest.mark.parametrize("lost", [0, -1])
def test_a_missing_end_is_refused_by_the_number_of_slices(write, lost) -> None:
    files = write()
    files.pop(lost)
    with pytest.raises(DataError, match=r"not complete .* got 4 slices · expected 5"):
        read_series(files)


def test_a_slice_that_is_there_twice_is_dropped_and_noted(write, tmp_path) -> None:
    files = write()
    copy = tmp_path / "copy.dcm"
    copy.write_bytes(files[2].read_bytes())
    series = read_series([*files, copy])
    assert series.volume.grid.shape_zyx == (5, 4, 6)
    assert "repeats" in series.notes[0]


def test_two_different_slices_at_one_position_are_refused(write, dicom_maker, tmp_path) -> None:
    files = write()
    other = dicom_maker.write_slices(tmp_path / "t", STORED + 1)
    with pytest.raises(DataError, match="two different slices"):
        read_series([*files, other[2].rename(tmp_path / "other.dcm")])


def test_a_foreign_series_is_named(write, dicom_maker, tmp_path) -> None:
    files = write()
    other = dicom_maker.write_slices(tmp_path / "t", STORED[:1], series="9.9", origin=(-10.0, -20.0, 50.0))
    with pytest.raises(DataError, match=r"mixed .* file alien\.dcm"):
        read_series([*files, other[0].rename(tmp_path / "alien.dcm")])


def test_a_tilted_gantry_and_uneven_steps_are_refused(dicom_maker, tmp_path) -> None:
    halves = [
        *dicom_maker.write_slices(tmp_path / "a", STORED[:2], modality="CT"),
        *(f.rename(f.with_suffix(".b.dcm")) for f in dicom_maker.write_slices(
            tmp_path / "b", STORED[:2], modality="CT", origin=(10.0, -20.0, 38.0))),
    ]  # fmt: skip
    with pytest.raises(GeometryError, match="askew"):
        read_series(halves)
    uneven = [
        *dicom_maker.write_slices(tmp_path / "c", STORED[:4], modality="CT"),
        *(f.rename(f.with_suffix(".d.dcm")) for f in dicom_maker.write_slices(
            tmp_path / "d", STORED[:2], modality="CT", origin=(-10.0, -20.0, 46.5))),
    ]  # fmt: skip
    with pytest.raises(GeometryError, match="not evenly spaced"):
        read_series(uneven)


def test_every_truncation_is_refused_by_name(write) -> None:
    files = write()
    content = files[1].read_bytes()
    for n in range(0, len(content) - 1, 41):
        files[1].write_bytes(content[:n])
        with pytest.raises(DataError, match=files[1].name):
            read_series(files)


@pytest.mark.parametrize("unit", ["CNTS", "PROPCPS"])
def test_counts_are_refused(write, unit) -> None:
    with pytest.raises(UnitError, match=unit):
        read_series(write(changes={"Units": unit}))


def test_activity_in_mbq_in_a_bq_field_is_recognised(write, dicom_maker) -> None:
    with pytest.raises(UnitError, match=r"RadionuclideTotalDose .* expected 1000 to 12000 MBq"):
        read_series(write(info=dicom_maker.tracer(bq=7400)))


@pytest.mark.parametrize("step", [4.0, -4.0])
def test_nm_frames_stack_to_the_side_the_sign_says(dicom_maker, tmp_path, step) -> None:
    path = dicom_maker.write_nm(tmp_path / "nm.dcm", STORED, step=step)
    volume = read_series([path], unit="Bq/mL").volume
    expected = STORED if step > 0 else STORED[::-1]
    assert np.array_equal(volume.values, expected.astype(np.float32) * 2)
    assert volume.grid.origin_mm == (-10.0, -20.0, 30.0 if step > 0 else 30.0 - 16.0)
    assert volume.grid.spacing_mm == (2.0, 3.0, 4.0)


def test_nm_without_a_unit_needs_one_stated(dicom_maker, tmp_path) -> None:
    path = dicom_maker.write_nm(tmp_path / "nm.dcm", STORED)
    with pytest.raises(UnitError, match="no unit"):
        read_series([path])
    record = read_series([path], unit="Bq/mL").acquisition
    assert (record.modality, record.frame_duration_s) == ("NM", 20.0 * 120 / 2)


def test_nm_of_two_energy_windows_is_refused(dicom_maker, tmp_path) -> None:
    path = dicom_maker.write_nm(tmp_path / "nm.dcm", STORED[:4], changes={"SliceVector": [1, 2, 1, 2]})
    with pytest.raises(DataError, match="one slice each"):
        read_series([path], unit="Bq/mL")


@pytest.mark.parametrize(
    ("words", "name"),
    [("177 Lutetium", "Lu-177"), ("^177^Lutetium", "Lu-177"), ("Lu-177", "Lu-177"), ("177Lu", "Lu-177"),
     ("^99m^Technetium", "Tc-99m"), ("99mTc", "Tc-99m"), ("Fluorine 18", "F-18"), ("unknown", None)],
)  # fmt: skip
def test_radionuclides_as_vendors_write_them(dicom_maker, words, name) -> None:
    info = dicom_maker.tracer(words)
    header = dicom_maker.item(RadiopharmaceuticalInformationSequence=[info])
    assert radionuclide_of(header) == name


def test_a_long_lived_tracer_needs_its_day(write, dicom_maker) -> None:
    with pytest.raises(DataError, match="day of injection is not stated"):
        read_series(write(info=dicom_maker.tracer(moment="")))


def test_a_short_lived_tracer_may_cross_midnight(write, dicom_maker) -> None:
    info = dicom_maker.tracer("^18^Fluorine", 3e8, moment="", clock="233000")
    times = {"SeriesTime": "003000", "AcquisitionTime": "003000"}
    record = read_series(write(info=info, changes=times)).acquisition
    assert record.start_h == pytest.approx(1.0)
    assert "day before" in record.notes[0]


@pytest.mark.parametrize(("moment", "clock"), [("20240110080000", "093000"), ("20240111080000", "080000")])
def test_contradicting_and_impossible_injections_are_refused(write, dicom_maker, moment, clock) -> None:
    with pytest.raises(DataError, match=r"disagree|does not follow"):
        read_series(write(info=dicom_maker.tracer(moment=moment, clock=clock)))


def test_a_folder_is_sorted_and_what_is_left_aside_has_a_reason(write, dicom_maker, tmp_path) -> None:
    write()
    dicom_maker.write_slices(
        tmp_path / "mip", STORED[:1], series="5.5", changes={"ImageType": ["DERIVED", "SECONDARY", "MIP"]}
    )
    dicom_maker.write_structures(tmp_path / "rs.dcm", [])
    (tmp_path / "notes.txt").write_text("hello")
    found = find_series(sorted(tmp_path.rglob("*.*")))
    assert {series: len(files) for series, files in found.series.items()} == {"1.2.3.4": 5}
    assert [path.name for path in found.structures] == ["rs.dcm"]
    assert sorted(why for _, why in found.ignored) == ["image type MIP", "no DICOM file"]
    assert found.modality == {"1.2.3.4": "PT"}


@given(st.lists(st.floats(2.0, 2.9), min_size=3, max_size=9), st.floats(-50.0, 50.0), st.floats(-3.0, 3.0))
def test_a_ramp_on_uneven_steps_is_a_ramp_on_even_ones(steps_mm, start_mm, per_mm) -> None:
    along = np.cumsum([start_mm, *steps_mm])
    even, _, mend = step_mm(along, [Path("x")] * len(along), resample=True)
    values = on_even_steps(np.broadcast_to((per_mm * along)[:, None, None], (len(along), 2, 2)), along, even)
    wanted = per_mm * (along[0] + even * np.arange(len(values)))
    assert np.allclose(values, wanted[:, None, None], atol=1e-9)
    assert along[0] + even * (len(values) - 1) == pytest.approx(along[-1], abs=1e-9)  # both ends stay
    if not mend:
        assert len(values) == len(along)


def test_slices_at_even_steps_come_back_as_they_are() -> None:
    values = np.random.default_rng(0).random((5, 3, 2)).astype(np.float32)
    same = on_even_steps(values, np.array([0.0, 3.0, 6.0, 9.0, 12.0]), 3.0)
    assert same.dtype == np.float32
    assert np.array_equal(same, values)


@pytest.mark.parametrize(("stated", "warned"), [(574300, False), (574874, False), (577000, True), (None, False)])
def test_a_half_life_that_differs_by_more_than_a_per_mille_is_named(write, dicom_maker, stated, warned) -> None:
    info = dicom_maker.tracer()
    if stated:
        info.RadionuclideHalfLife = str(stated)
    notes = [note for note in read_series(write(info=info)).notes if "half-life" in note]
    assert notes == (
        [f"WARN half-life of Lu-177 is {stated} s in the header, 574301 s in ICRP 107, which was taken"]
        if warned
        else []
    )


def test_only_a_series_that_says_so_is_synthetic(write) -> None:
    assert not read_series(write()).synthetic
    assert read_series(write(changes={"SyntheticData": "YES"})).synthetic
