"""SUV per stored unit by hand, and what is said beside it."""

import numpy as np
import pytest

from theradose.errors import DataError
from theradose.imaging.suv_factor import suv_factor

F_18_H = 1.8295
PER_BQ = 70e3 / 370e6


@pytest.fixture
def header(dicom_maker):
    def make(tracer=None, **changes):
        plain = {
            "Manufacturer": "SIEMENS", "Units": "BQML", "DecayCorrection": "START", "PatientWeight": "70",
            "CorrectedImage": ["DECY", "ATTN", "SCAT"], "SeriesDate": "20240110", "SeriesTime": "110000",
            "AcquisitionDate": "20240110", "AcquisitionTime": "110000", "ActualFrameDuration": "120000",
        }  # fmt: skip
        info = dicom_maker.tracer("^18^Fluorine", 370e6, "20240110100000", "100000")
        for key, value in (tracer or {}).items():
            setattr(info, key, value) if value is not None else delattr(info, key)
        fields = {**plain, **changes, "RadiopharmaceuticalInformationSequence": [info]}
        return dicom_maker.item(**{key: value for key, value in fields.items() if value is not None})

    return make


def said(found, words):
    return any(words in note for note in found.notes)


def test_start_by_hand(header) -> None:
    found = suv_factor([header()])
    assert found.per_unit == pytest.approx([PER_BQ * 2 ** (1 / F_18_H)], rel=1e-9)
    assert (found.rule, found.reference.hours, found.other) == ("bqml_start_series_time", 1.0, None)
    assert said(found, "dose measurement")
    assert not said(suv_factor([header(Manufacturer="GE MEDICAL SYSTEMS")]), "dose measurement")


def test_none_brings_every_frame_to_the_injection(header) -> None:
    frames = [header(DecayCorrection="NONE", AcquisitionTime=clock) for clock in ("110000", "113000")]
    found = suv_factor(frames)
    # The mean over a frame of 120 s is exp(-lambda 60 s) to 1e-6.
    expected = [PER_BQ * 2 ** ((hours + 60 / 3600) / F_18_H) for hours in (1.0, 1.5)]
    assert found.per_unit == pytest.approx(expected, rel=2e-5)
    assert said(found, "the latter is followed")


def test_qiba_is_reported_when_it_differs(header) -> None:
    # SeriesTime 30 min before the acquisition; FrameReferenceTime of half a frame.
    found = suv_factor([header(SeriesTime="103000", FrameReferenceTime="60000")])
    assert found.rule == "bqml_start_mean_less_frame"
    assert found.other == {"rule": "qiba", "factor": pytest.approx(PER_BQ * 2 ** (0.5 / F_18_H), rel=1e-9)}
    assert said(found, "by QIBA's rule (0.5 h after the injection) SUV is 0.8274 times this")
    moved = suv_factor([header(SeriesDate="20200110", FrameReferenceTime="60000")])
    assert moved.other is None
    assert said(moved, "h from injection")


def test_a_decay_factor_that_contradicts_admin(header) -> None:
    right = suv_factor([header(DecayCorrection="ADMIN", DecayFactor=f"{2 ** (1 / F_18_H):.5f}")])
    assert (right.per_unit[0], right.other) == (pytest.approx(PER_BQ), None)
    wrong = suv_factor([header(DecayCorrection="ADMIN", DecayFactor="1")])
    assert wrong.per_unit[0] == pytest.approx(PER_BQ)
    assert wrong.other == {"rule": "scan_start", "factor": pytest.approx(PER_BQ * 2 ** (1 / F_18_H))}
    assert said(wrong, "asks for a decay factor of 1.4606, the header says 1")
    assert said(suv_factor([header(DecayCorrection="ADMIN", AcquisitionTime=None)]), "time of the scan is unknown")


def test_half_lives(header) -> None:
    kept = suv_factor([header({"RadionuclideHalfLife": "6588"})])  # 0.03 % off
    assert not said(kept, "half-life")
    off = suv_factor([header({"RadionuclideHalfLife": "6600"})])
    assert said(off, "WARN half-life 6600 s in the header; F-18 has 6586.2 s (ICRP-107), used")
    assert off.per_unit == pytest.approx(kept.per_unit, rel=1e-12)
    unnamed = {"RadionuclideCodeSequence": None, "RadionuclideHalfLife": "6588"}
    assert said(suv_factor([header(unnamed)]), "radionuclide by its half-life: F-18")
    assert said(suv_factor([header({**unnamed, "RadionuclideHalfLife": "1000"})]), "half-life as the header says")
    with pytest.raises(DataError, match=r"THR-298"):
        suv_factor([header({"RadionuclideCodeSequence": None})])


def test_activities(header) -> None:
    assert said(suv_factor([header({"RadionuclideTotalDose": "30e6"})]), "30 MBq is outside 50 to 800 MBq of F-18")
    with pytest.raises(DataError, match="looks like MBq in a field of Bq"):
        suv_factor([header({"RadionuclideTotalDose": "370"})])
    with pytest.raises(DataError, match=r"THR-208 .*RadionuclideTotalDose"):
        suv_factor([header({"RadionuclideTotalDose": "nan"})])


def test_a_weight_in_g_is_named_and_not_converted(header) -> None:
    with pytest.raises(DataError, match=r"got 70000 .* looks like g; .*weight_kg in participants.tsv"):
        suv_factor([header(PatientWeight="70000")])


def test_corrections(header) -> None:
    with pytest.raises(DataError, match=r"got DecayCorrection START without DECY"):
        suv_factor([header(CorrectedImage=["ATTN", "SCAT"])])
    with pytest.raises(DataError, match=r"THR-295 .* got nothing"):
        suv_factor([header(DecayCorrection=None)])
    with pytest.raises(DataError, match="not corrected for attenuation"):
        suv_factor([header(CorrectedImage=None)])
    assert suv_factor([header(CorrectedImage=None, AttenuationCorrectionMethod="measured")]).rule.startswith("bqml")
    assert said(suv_factor([header(CorrectedImage=["ATTN", "DECY"])]), "no scatter correction")


def test_philips_factors_that_differ_are_reported(header) -> None:
    counts = header(Manufacturer="Philips", Units="CNTS")
    block = counts.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.001")
    block.add_new(0x09, "DS", "4")
    found = suv_factor([counts])
    theirs = 4 * PER_BQ * 2 ** (1 / F_18_H)
    assert np.array_equal(found.per_unit, [0.001])
    assert found.other == {"rule": "cnts_bqml_factor", "factor": pytest.approx(theirs)}
    assert said(found, f"{theirs / 0.001:.4g} times that of (7053,1000)")
    counts.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = None
    assert said(suv_factor([counts]), "(7053,1009) could not be compared: injected activity is missing")
