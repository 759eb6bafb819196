"""The functions of benchmarks/shifted.py on few patients."""

import numpy as np
import pandas as pd
import pytest
import shifted as benchmark

from theradose.cohort.virtual.scanner import CENTRES
from theradose.models.seen_images import pet_of

STUDY = {
    "seed": 1, "radionuclide": "Lu-177", "study": "t",
    "cohort": {"name": "t", "virtual": {
        "ligand": "psma", "centres": ["north"], "spacing_mm": 10.0, "difficulty": "xue_like", "texture_coupling": 0.6,
        "kinetics": "closed_form", "planned_cycles": 1, "pet": "ga68_50min",
    }},
}  # fmt: skip


def table(**flagged):
    """Return ten patients of two organs for every shift, of which a number is flagged in the second organ alone."""
    rows = [
        (f"p{i}", organ, ["range"] if organ == "liver" and i < flagged.get(name.split()[0], 10) else [], name)
        for name in benchmark.SHIFTS for i in range(10) for organ in ("kidneys", "liver")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["patient", "voi", "kinds", "shift"])


def test_bars_hold_and_fail():
    def missed(**flagged):
        return [name for name, _, ok in benchmark.bars(table(**flagged)) if not ok]

    assert missed(ordinary=1) == []
    assert missed(ordinary=2) == ["ordinary: patients flagged <= 10%"]
    assert missed(ordinary=0, counts=9) == ["counts / 4: patients flagged >= 95%"]


def test_reasons_have_their_names_and_an_interval_is_wilsons():
    assert benchmark.kind_of("PET quality: noise of even tissue over its mean 0.2, usual 0.1 to 0.12") == "quality"
    assert benchmark.kind_of("12 of 20 inputs are missing") == "missing"
    assert benchmark.interval(pd.Series([True] * 19 + [False])) == "19 of 20 [0.76, 0.99]"


def test_shifted_patients_are_the_same_ones_and_noise_and_unit_are_as_said(tmp_path):
    made = {
        name: benchmark.made(STUDY, benchmark.SHIFTS[name], [0], tmp_path / name.replace(" / ", ""))
        for name in ("ordinary", "counts / 4", "units x 1000")
    }
    pets = {name: data.load_one("v001", "pet", "ses-pre").values.astype(float) for name, data in made.items()}
    np.testing.assert_allclose(pets["units x 1000"], 1000.0 * pets["ordinary"], rtol=1e-6)
    masks = [data.load_one("v001", "mask", "ses-pre").values for data in made.values()]
    assert (masks[0] == masks[1]).all()
    noise = {name: pet_of(data, "v001")["quality"]["noise"] for name, data in made.items()}
    assert noise["counts / 4"] == pytest.approx(2.0 * noise["ordinary"], rel=0.1)
    assert noise["units x 1000"] == pytest.approx(noise["ordinary"], rel=1e-5)
    pd.testing.assert_frame_equal(made["ordinary"].participants(), made["counts / 4"].participants())
    assert benchmark.NEW_CENTRE not in CENTRES
