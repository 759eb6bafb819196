"""Headers of PET as GE, Philips and Siemens write them, one slice of 1000 each; for tests and for other tools.

Every case: what differs from a plain FDG header (`None` removes a field), private elements, and what theradose must
say: the short name of its rule, or the code of its refusal.
"""

import numpy as np
import pydicom
from pydicom.sequence import Sequence

STORED = np.full((1, 2, 2), 1000, np.uint16)
PLAIN = {
    "Manufacturer": "GE MEDICAL SYSTEMS", "Units": "BQML", "DecayCorrection": "START", "PatientWeight": "70",
    "CorrectedImage": ["DECY", "ATTN", "SCAT", "DTIM", "NORM"], "SeriesDate": "20240110", "SeriesTime": "110000",
    "AcquisitionDate": "20240110", "AcquisitionTime": "110000", "FrameReferenceTime": "0",
    "ActualFrameDuration": "120000", "DecayFactor": None, "PatientSize": None, "NumberOfSlices": 1,
}  # fmt: skip
TRACER = {
    "CodeMeaning": "^18^Fluorine", "RadionuclideTotalDose": "370000000", "RadionuclideHalfLife": "6586.2",
    "RadiopharmaceuticalStartTime": "100000", "RadiopharmaceuticalStartDateTime": "20240110100000",
    "Radiopharmaceutical": "Fluorodeoxyglucose",
}  # fmt: skip
PRIVATE = {
    "siemens": (0x0071, "SIEMENS MED PT", 0x22, "DT"), "ge": (0x0009, "GEMS_PETD_01", 0x0D, "DT"),
    "suv": (0x7053, "Philips PET Private Group", 0x00, "DS"),
    "bqml": (0x7053, "Philips PET Private Group", 0x09, "DS"),
}  # fmt: skip
SIEMENS, PHILIPS = {"Manufacturer": "SIEMENS"}, {"Manufacturer": "Philips Medical Systems"}
COUNTS = {**PHILIPS, "Units": "CNTS"}
LATE_SERIES = {"SeriesTime": "113000"}  # made after the acquisition
CLOCK_ONLY = {"RadiopharmaceuticalStartDateTime": None}
ZR_89 = {"CodeMeaning": "^89^Zirconium", "RadionuclideHalfLife": "282276", "Radiopharmaceutical": "Zr-89"}
GA_68 = {"CodeMeaning": "^68^Gallium", "RadionuclideHalfLife": "4062.6", "Radiopharmaceutical": "DOTATATE"}

# name: (header, tracer, private elements, rule or code)
CASES = {
    "ge_start": ({}, {}, {}, "bqml_start_series_time"),
    "ge_private": (LATE_SERIES, {}, {"ge": "20240110105800.00"}, "bqml_start_ge_private"),
    "ge_private_empty": (
        {**LATE_SERIES, "FrameReferenceTime": "60000"}, {}, {"ge": ""}, "bqml_start_acquisition_less_frame"),
    "ge_bed_of_a_later_frame": (
        {"AcquisitionTime": "111000", "FrameReferenceTime": "600000"}, {}, {}, "bqml_start_acquisition_less_frame"),
    "siemens_start": (SIEMENS, {}, {}, "bqml_start_series_time"),
    "siemens_private": ({**SIEMENS, **LATE_SERIES}, {}, {"siemens": "20240110105900.00"}, "bqml_start_siemens_private"),
    "siemens_bed_of_a_later_frame": (
        {**SIEMENS, "AcquisitionTime": "111000.500", "FrameReferenceTime": "660374"}, {}, {},
        "bqml_start_mean_less_frame"),
    "siemens_late_series": (
        {**SIEMENS, "SeriesTime": "134918", "FrameReferenceTime": "0", "AcquisitionTime": "110348.234"}, {}, {},
        "bqml_start_mean_less_frame"),
    "philips_bqml": (
        {**PHILIPS, "AcquisitionTime": "110001", "FrameReferenceTime": "1328700"}, {}, {}, "bqml_start_series_time"),
    "philips_counts_both": (
        {**COUNTS, "AcquisitionTime": "111843", "FrameReferenceTime": "1183000"}, {},
        {"suv": "0.000551", "bqml": "2.01"}, "cnts_suv_factor"),
    "philips_counts_suv": (COUNTS, {}, {"suv": "0.000728"}, "cnts_suv_factor"),
    "philips_counts_bqml": (COUNTS, {}, {"suv": "0", "bqml": "1.602563"}, "cnts_bqml_factor_start_series_time"),
    "philips_counts_zero": (COUNTS, {}, {"suv": "0", "bqml": "0"}, "THR-293"),
    "philips_counts_absent": (COUNTS, {}, {}, "THR-293"),
    "philips_counts_none": (
        {**COUNTS, "DecayCorrection": "NONE"}, {}, {"suv": "0.000551", "bqml": "1.6"}, "cnts_bqml_factor_none"),
    "counts_of_another_vendor": ({**SIEMENS, "Units": "CNTS"}, {}, {}, "THR-292"),
    "gml": ({"Units": "GML"}, {}, {}, "gml"),
    "gml_bw": ({"Units": "GML", "SUVType": "BW"}, {}, {}, "gml"),
    "gml_lbm": ({"Units": "GML", "SUVType": "LBM"}, {}, {}, "THR-294"),
    "propcps": ({**SIEMENS, "Units": "PROPCPS"}, {}, {}, "THR-292"),
    "no_attenuation": ({"CorrectedImage": ["DECY", "SCAT"]}, {}, {}, "THR-291"),
    "admin": ({**SIEMENS, "DecayCorrection": "ADMIN"}, {}, {}, "bqml_admin"),
    "none": ({**SIEMENS, "DecayCorrection": "NONE", "ActualFrameDuration": "1200000"}, {}, {}, "bqml_none"),
    "midnight_clock": (
        {"AcquisitionTime": "003000", "SeriesTime": "003000"},
        {**CLOCK_ONLY, "RadiopharmaceuticalStartTime": "233000"}, {}, "bqml_start_series_time"),
    "midnight_date": (
        {"AcquisitionTime": "003000", "SeriesTime": "003000"},
        {"RadiopharmaceuticalStartTime": "233000", "RadiopharmaceuticalStartDateTime": "20240109233000"}, {},
        "bqml_start_series_time"),
    "clock_only": ({}, CLOCK_ONLY, {}, "bqml_start_series_time"),
    "clock_after_the_scan": ({}, {**CLOCK_ONLY, "RadiopharmaceuticalStartTime": "150000"}, {}, "THR-252"),
    "date_moved": ({}, {"RadiopharmaceuticalStartDateTime": "20230501100000"}, {}, "bqml_start_series_time"),
    "zone": (
        {"TimezoneOffsetFromUTC": "+0100"},
        {"RadiopharmaceuticalStartDateTime": "20240110090000.00+0000"}, {}, "bqml_start_series_time"),
    "short_time": ({"AcquisitionTime": "1100"}, {}, {}, "THR-209"),
    "no_weight": ({"PatientWeight": None}, {}, {}, "THR-211"),
    "weight_zero": ({"PatientWeight": "0"}, {}, {}, "THR-211"),
    "weight_in_g": ({"PatientWeight": "70000"}, {}, {}, "THR-211"),
    "no_dose": ({}, {"RadionuclideTotalDose": None}, {}, "THR-296"),
    "dose_in_mbq": ({}, {"RadionuclideTotalDose": "370"}, {}, "THR-212"),
    "half_life_6588": ({}, {"RadionuclideHalfLife": "6588"}, {}, "bqml_start_series_time"),
    "gallium": (SIEMENS, {**GA_68, "RadionuclideTotalDose": "150000000"}, {}, "bqml_start_series_time"),
    "days_later": (
        {}, {**ZR_89, "RadionuclideTotalDose": "70000000", "RadiopharmaceuticalStartDateTime": "20240106100000"}, {},
        "bqml_start_series_time"),
    "days_later_clock_only": ({}, {**ZR_89, **CLOCK_ONLY, "RadionuclideTotalDose": "70000000"}, {}, "THR-251"),
}  # fmt: skip


def write(dicom_maker, folder, name):
    """Write a case as one DICOM file; return its path."""
    changes, tracer, private, _ = CASES[name]
    fields = {key: value for key, value in {**TRACER, **tracer}.items() if value is not None}
    code = dicom_maker.item(CodeMeaning=fields.pop("CodeMeaning"))
    info = dicom_maker.item(RadionuclideCodeSequence=Sequence([code]), **fields)
    (path,) = dicom_maker.write_slices(folder, STORED, info=info)
    header = pydicom.dcmread(path)
    for key, value in {**PLAIN, **changes}.items():
        if value is not None:
            setattr(header, key, value)
        elif key in header:
            delattr(header, key)
    for kind, text in private.items():
        group, creator, offset, vr = PRIVATE[kind]
        header.private_block(group, creator, create=True).add_new(offset, vr, text)
    header.save_as(path)
    return path
