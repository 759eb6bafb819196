"""The table of what PET shows, and the texture features it was made with."""

import numpy as np
import pytest

from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.observation import COLUMNS, TABLE, pet_views, texture_features
from theradose.cohort.virtual.scanner import CENTRES

SIDE = 30


def test_every_organ_has_a_view_at_every_centre() -> None:
    grids = {spacing for _, _, spacing in pet_views()}
    assert 8.0 in grids
    assert set(pet_views()) >= {(organ, name, 8.0) for organ in LIGANDS["psma"].organs for name in CENTRES}
    header = next(line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    assert tuple(header.split(",")) == COLUMNS


def test_a_row_by_hand() -> None:
    line = next(x for x in TABLE.read_text(encoding="utf-8").splitlines() if x.startswith("kidneys,south,8,"))
    view = pet_views()["kidneys", "south", 8.0]
    assert [view.median_mass_g, view.level, view.slope, view.log_sd, view.texture_r2] == [
        float(word) for word in line.split(",")[3:]
    ]


@pytest.mark.parametrize("organ", ["parotids", "kidneys", "lesions"])
def test_worse_cameras_show_less_uptake_and_less_texture(organ: str) -> None:
    north, south, west = (pet_views()[organ, name, 8.0] for name in ("north", "south", "west"))  # 5.5, 6.5, 7.5 mm
    assert 0.0 > north.level > south.level > west.level
    assert 0.0 < north.slope < south.slope < west.slope  # larger organs lose less
    assert 1.0 > north.texture_r2 > south.texture_r2 > west.texture_r2 >= 0.0


def test_lacrimal_glands_of_two_voxels_have_no_texture() -> None:
    assert pet_views()["lacrimals", "north", 8.0].texture_r2 == 0.0


def image(length_voxels: float) -> np.ndarray:
    """Return noise with a correlation length, mean 5, sd 0.5."""
    steps = np.fft.fftfreq(SIDE)
    square = steps[:, None, None] ** 2 + steps[None, :, None] ** 2 + steps[None, None, :] ** 2
    white = np.random.default_rng(3).standard_normal((SIDE, SIDE, SIDE))
    smooth = np.fft.ifftn(np.fft.fftn(white) * np.exp(-2.0 * (np.pi * length_voxels) ** 2 * square)).real
    return 5.0 + 0.5 * (smooth - smooth.mean()) / smooth.std()


def inside() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE, SIDE), bool)
    mask[8:22, 7:23, 9:21] = True
    return mask


def test_features_by_hand() -> None:
    values, mask = image(1.0), inside()
    found = texture_features(values, mask, 8.0)
    assert found.shape == (4 + 1 + 3,)
    own = values[mask]
    assert found[4] == pytest.approx(np.log(own.std() / own.mean()))
    block = values[8:22, 7:23, 9:21] - own.mean()
    neighbours = [block[1:] * block[:-1], block[:, 1:] * block[:, :-1], block[:, :, 1:] * block[:, :, :-1]]
    assert found[5:] == pytest.approx([pairs.mean() / own.var() for pairs in neighbours])


def test_features_forget_the_scale_of_the_image_but_not_the_length_of_its_pattern() -> None:
    fine, coarse = (texture_features(image(length), inside(), 8.0) for length in (0.8, 1.6))
    assert texture_features(7.0 * image(0.8), inside(), 8.0) == pytest.approx(fine)
    assert (coarse[5:] > fine[5:] + 0.1).all()
    assert coarse[3] - coarse[0] > fine[3] - fine[0]  # more of the pattern at the largest scale


def test_one_voxel_has_no_texture() -> None:
    mask = np.zeros((SIDE, SIDE, SIDE), bool)
    mask[15, 15, 15] = True
    assert not np.isfinite(texture_features(image(1.0), mask, 8.0)[4:]).any()
