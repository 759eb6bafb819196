"""Features made once come back as they were, and never when anything they come from has changed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from theradose.features import cache as module
from theradose.features.cache import FeatureCache
from theradose.features.presets import Preset, preset_from
from theradose.features.radiomics import extract
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

SHAPE = (8, 9, 10)
CONTENT = {"featureClass": {"firstorder": ["Mean", "Entropy"]}, "setting": {"binWidth": 0.5}}


def volume(seed: int = 0) -> Volume:
    values = np.random.default_rng(seed).gamma(2.0, 2.0, SHAPE).astype(np.float32)
    return Volume(values, Grid(SHAPE, (4.0, 4.0, 4.0)), "g/mL")


def masks() -> dict[str, np.ndarray]:
    mask = np.zeros(SHAPE, bool)
    mask[2:6, 2:6, 2:6] = True
    return {"liver": mask, "spleen": np.roll(mask, 2, axis=2)}


def preset(**changes) -> Preset:
    return preset_from({**CONTENT, **changes}, "pet", "x")


class Counter:
    """Computes features and counts how often."""

    def __init__(self, cache: FeatureCache) -> None:
        self.cache, self.made = cache, 0

    def __call__(self, image=None, vois=None, chosen=None, min_voxels=3) -> pd.DataFrame:
        image, vois, chosen = image or volume(), vois or masks(), chosen or preset()

        def make() -> pd.DataFrame:
            self.made += 1
            return extract(image, vois, chosen, min_voxels=min_voxels)

        return self.cache.get(image, vois, chosen, min_voxels, make)


@pytest.fixture
def counter(tmp_path) -> Counter:
    return Counter(FeatureCache(tmp_path / "cache"))


def test_the_second_time_nothing_is_computed_and_nothing_differs(counter):
    first, second = counter(), counter()
    assert counter.made == 1
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def changed_voxel() -> Volume:
    values = volume().values.copy()
    values[0, 0, 0] += np.float32(1e-6)
    return volume().with_values(values)


def one_voxel_more() -> dict[str, np.ndarray]:
    more = {name: mask.copy() for name, mask in masks().items()}
    more["spleen"][0, 0, 0] = True
    return more


@pytest.mark.parametrize(
    "changes",
    [
        {"image": changed_voxel()},
        {"image": replace(volume(), grid=Grid(SHAPE, (4.0, 4.0, 4.001)))},
        {"vois": one_voxel_more()},
        {"vois": {"liver": masks()["spleen"], "spleen": masks()["liver"]}},
        {"vois": {"liver": masks()["liver"]}},
        {"chosen": preset(setting={"binWidth": 0.25})},
        {"chosen": preset(preprocess={"bin_anchor": 0.0})},
        {"min_voxels": 4},
    ],
    ids=["voxel", "spacing", "mask", "names", "fewer", "width", "anchor", "size"],
)
def test_whatever_changes_is_computed_again(counter, changes):
    counter()
    counter(**changes)
    assert counter.made == 2


def test_other_code_is_computed_again(counter, monkeypatch):
    counter()
    monkeypatch.setattr(module, "code_digest", lambda name: "other")
    counter()
    assert counter.made == 2


def test_another_pyradiomics_is_computed_again(counter, monkeypatch):
    counter()
    monkeypatch.setattr(module, "engine", lambda: "pyradiomics 9")
    counter()
    assert counter.made == 2


def test_a_damaged_file_is_made_again_wherever_a_byte_is_flipped(counter):
    expected = counter()
    (file,) = counter.cache.folder.iterdir()
    whole = file.read_bytes()
    rng = np.random.default_rng(3)
    for place in rng.integers(0, len(whole), 60):
        spoiled = bytearray(whole)
        spoiled[place] ^= 0x10
        file.write_bytes(spoiled)
        pd.testing.assert_frame_equal(counter(), expected, check_exact=True)


def test_without_a_folder_everything_is_computed():
    counter = Counter(FeatureCache())
    counter()
    counter()
    assert counter.made == 2
