"""Convolution by FFT against the sum it stands for; blocks change nothing, and nothing wraps round."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.physics.convolve import convolve_symmetric, rows_per_block


def slow(image: np.ndarray, octant: np.ndarray) -> np.ndarray:
    """out(i) = sum_j image(j) octant(|i - j|), written out."""
    out = np.zeros(image.shape)
    for i in np.ndindex(image.shape):
        for j in np.ndindex(image.shape):
            offset = tuple(abs(a - b) for a, b in zip(i, j, strict=True))
            if all(o < n for o, n in zip(offset, octant.shape, strict=True)):
                out[i] += image[j] * octant[offset]
    return out


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(1, 6)] * 3),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.sampled_from([1e9, 400.0, 60.0]),
    st.integers(0, 2**32 - 1),
)
def test_fast_is_slow(shape, reach, largest, seed) -> None:
    rng = np.random.default_rng(seed)
    image, octant = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, reach)
    assert convolve_symmetric(image, octant, largest=largest) == pytest.approx(slow(image, octant), abs=1e-10)


def test_blocks_are_really_made_and_equal_the_whole() -> None:
    rng = np.random.default_rng(1)
    image, octant = rng.random((40, 8, 9)), rng.random((25, 8, 9))
    largest = 4000.0
    assert rows_per_block(image.shape, octant.shape, largest) < 10
    assert convolve_symmetric(image, octant, largest=largest) == pytest.approx(convolve_symmetric(image, octant))


def test_nothing_wraps_round() -> None:
    image = np.zeros((8, 8, 8))
    image[0, 0, 0] = 1.0
    octant = np.zeros((8, 8, 8))
    octant[:3, :3, :3] = 1.0
    out = convolve_symmetric(image, octant)
    assert out[:3, :3, :3] == pytest.approx(1.0)
    assert abs(out).sum() == pytest.approx(27.0)


def test_axes_keep_their_order() -> None:
    image, octant = np.zeros((5, 6, 7)), np.zeros((5, 6, 7))
    image[2, 3, 3] = 1.0
    octant[1, 0, 0], octant[0, 2, 0], octant[0, 0, 3] = 1.0, 2.0, 3.0
    out = convolve_symmetric(image, octant)
    assert (out[3, 3, 3], out[2, 5, 3], out[2, 3, 6]) == pytest.approx((1.0, 2.0, 3.0))
