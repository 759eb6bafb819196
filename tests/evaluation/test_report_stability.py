import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.figures_stability import correlation, filter_words, stability
from theradose.evaluation.report_stability import counts_sheet, least_sheet, stability_words
from theradose.tables import STABILITY

ICC = {"all": 0.85, "image": 0.99, "mask": 0.80}


def table(patients=10):
    """Two organs, two filters, two classes; intensity is stable, texture is not when outlines change."""
    rows = []
    for voi in ("kidneys", "lesions"):
        for name in ("original", "log-sigma-8-0-mm-3D"):
            rows += [(voi, name, "firstorder", "Mean", group, 0.99, 0.95) for group in ICC]
            rows += [(voi, name, "glcm", "Contrast", group, icc, icc - 0.05) for group, icc in ICC.items()]
    rows += [("kidneys", "original", "shape", "Sphericity", group, np.nan, np.nan) for group in ICC]
    frame = pd.DataFrame(rows, columns=["voi", "filter", "feature_class", "feature", "versions", "icc", "icc_low"])
    frame = frame.assign(modality="pet", cov=0.1, patients=patients)
    return frame.assign(stable=np.where(frame["icc_low"] >= 0.9, "yes", "no"))[STABILITY.names()]


def test_counts_by_class_add_up_over_organs_and_filters():
    rows = {row[0].text: row for row in counts_sheet(table()).rows}
    assert [cell.text for cell in rows["intensity"][1:5]] == ["4", "4", "4", "4"]
    assert [cell.text for cell in rows["GLCM"][1:5]] == ["4", "0", "4", "0"]
    assert rows["GLCM"][3].note == "100.0 %"
    assert rows["GLCM"][6].text == "10.0"


def test_the_least_stable_come_first_and_show_what_moves_them():
    first = least_sheet(table()).rows[0]
    assert [cell.text for cell in first[:7]] == ["kidneys", "original", "GLCM", "Contrast", "0.850", "0.990", "0.800"]


@pytest.mark.parametrize(("patients", "few"), [(10, True), (40, False)])
def test_words_give_counts_and_the_limits_of_the_study(patients, few):
    said = " ".join(stability_words(table(patients), 0.9, virtual=True))
    assert f"4 of 9 features (each organ apart) of {patients} PETs are stable" in said
    assert "outlines move features more" in said
    assert "1 have no ICC" in said
    assert "virtual" in said
    assert ("few patients" in said) is few
    assert "virtual" not in " ".join(stability_words(table(patients), 0.9, virtual=False))


def test_a_feature_stands_in_its_cell_and_hollow_below_the_threshold():
    every = table()[lambda t: t["versions"] == "all"]
    figure = stability({"kidneys": every[every["voi"] == "kidneys"]}, every, 0.9)
    heat, dots = figure.axes[0], figure.axes[-1]
    assert {text.get_text() for text in heat.texts} == {"1/1", "0/1"}
    assert [label.get_text() for label in heat.get_xticklabels()] == ["original", "LoG 8 mm"]
    shown = sum(len(own.get_offsets()) for own in dots.collections)
    assert shown == every["icc_low"].notna().sum()


def test_more_organs_than_a_row_holds_and_no_icc_at_all():
    every = table()[lambda t: t["versions"] == "all"]
    panels = {f"organ {number}": every for number in range(4)}
    assert len(stability(panels, every.assign(icc_low=np.nan), 0.9).axes) == 7


def test_correlation_counts_the_kept_of_each_filter():
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 4)), columns=list("abcd"))
    figure = correlation(values, [True, False, True, True], ["original", "original", "wavelet-LLH", "wavelet-LLH"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 of 2\nkept", "2 of 2\nkept"]
    assert filter_words("wavelet-LLH") == "wavelet LLH"
