"""Convolution of an image with a kernel symmetric in every axis, by FFT, in blocks where memory is short.

Nothing wraps round: each block is padded to the sum of both lengths. Beyond the image lies zero.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float64]

# Voxels of one padded block: 2e7 doubles and their spectra take about 1 GB.
LARGEST_BLOCK = 2.4e7


def _lengths(shape: tuple[int, ...], octant: tuple[int, ...]) -> list[int]:
    """Return FFT lengths that hold image and kernel without wrapping."""
    return [fft.next_fast_len(n + min(k, n) - 1, real=True) for n, k in zip(shape, octant, strict=True)]


def _spread(octant: Array, offsets: list[NDArray[np.int64]]) -> Array:
    """Return the kernel at signed offsets along each axis; zero beyond the octant."""
    inside = [np.abs(o) < n for o, n in zip(offsets, octant.shape, strict=True)]
    index = [np.minimum(np.abs(o), n - 1) for o, n in zip(offsets, octant.shape, strict=True)]
    full = octant[np.ix_(*index)]
    for axis, kept in enumerate(inside):
        if not kept.all():
            full = full * kept.reshape([-1 if a == axis else 1 for a in range(octant.ndim)])
    return full


def _wrapped(length: int, first: int) -> NDArray[np.int64]:
    """Return the signed offset of every place of a circular axis: first, ..., in FFT order."""
    place = np.arange(length)
    return np.asarray(np.where(place >= length + first, place - length, place), np.int64)


def rows_per_block(shape: tuple[int, ...], octant: tuple[int, ...], largest: float = LARGEST_BLOCK) -> int:
    """Return how many slices along the first axis fit into one padded block; at least one.

    >>> rows_per_block((64, 64, 64), (64, 64, 64)), rows_per_block((1000, 512, 512), (1000, 512, 512))
    (64, 11)
    """
    plane = math.prod(_lengths(shape[1:], octant[1:]))
    whole = _lengths(shape[:1], octant[:1])[0] * plane <= largest
    return shape[0] if whole else max(1, int(largest / plane / 2))


def convolve_symmetric(image: Array, octant: Array, *, largest: float = LARGEST_BLOCK, workers: int = 1) -> Array:
    """Return image (z, y, x) convolved with a kernel given by one octant (offsets >= 0), in the image's shape.

    out(i) = sum_j image(j) octant(|i - j|). Blocks of slices keep the memory near that of `largest` doubles.

    >>> convolve_symmetric(np.array([[[0.0, 1.0, 0.0]]]), np.array([[[2.0, 0.5]]])).round(12)
    array([[[0.5, 2. , 0.5]]])
    """
    octant = octant[tuple(slice(n) for n in image.shape)]
    rows = rows_per_block(image.shape, octant.shape, largest)
    whole = rows == image.shape[0]
    lengths = _lengths(image.shape, octant.shape)
    lengths[0] = lengths[0] if whole else fft.next_fast_len(2 * rows - 1, real=True)
    first = [1 - octant.shape[0] if whole else 1 - rows, *(1 - n for n in octant.shape[1:])]
    offsets = [_wrapped(n, at) for n, at in zip(lengths, first, strict=True)]
    starts = range(0, image.shape[0], rows)
    result = np.zeros(image.shape)
    # One spectrum of the kernel at a time: keeping those of all shifts would take as much memory as no blocks at all.
    for shift in range(-starts[-1], starts[-1] + 1, rows):
        if abs(shift) - rows >= octant.shape[0]:
            continue
        kernel = fft.rfftn(_spread(octant, [offsets[0] + shift, *offsets[1:]]), workers=workers)
        for source in starts:
            target, block = source + shift, image[source : source + rows]
            if target not in starts or not block.any():
                continue
            found = fft.irfftn(fft.rfftn(block, lengths, workers=workers) * kernel, lengths, workers=workers)
            stop = min(target + rows, image.shape[0])
            result[target:stop] += found[: stop - target, : image.shape[1], : image.shape[2]]
    return result
