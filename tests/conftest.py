"""Fixtures that tests of several layers share."""

import numpy as np
import pandas as pd
import pytest

from theradose.imaging.grid import Grid
from theradose.models.image_examples import ImageExamples
from theradose.tables import PAIRS, SPLITS

SIDE = 16
GRID = Grid((40, SIDE, SIDE), (8.0, 8.0, 8.0))


def cohort(*, n_patients=6, n_slices=4, copies=1, test=1, seed=0, k=0.01):
    """Return pairs of slices whose dose is k C (1 + 0.5 where the CT is bright) around a hot spot, and their splits."""
    rng = np.random.default_rng(seed)
    rows, inputs = [], []
    y, x = np.mgrid[:SIDE, :SIDE]
    body = (y - 8) ** 2 + (x - 8) ** 2 < 49
    splits = []
    for i in range(n_patients):
        partition = "test" if i >= n_patients - test else "train"
        splits.append((f"v{i:03d}", "north", "north", partition, -1 if partition == "test" else i % 3))
        for copy in range(1 + (copies if partition == "train" else 0)):
            for number in range(n_slices):
                row, column = rng.integers(5, 11, 2)
                hot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8.0) * rng.uniform(0.5, 2.0)
                bright = (x > column).astype(float)
                inputs.append(np.stack([(0.1 + hot) * body, bright * body]))
                rows.append((f"v{i:03d}", copy, 5 * number, partition, splits[-1][-1], 0, 0, 100.0, 7400.0))
    arrays = np.array(inputs, np.float32)
    mask = np.broadcast_to(body, (len(rows), SIDE, SIDE)).copy()
    dose = (k * 100.0 * arrays[:, 0] * (1 + 0.5 * arrays[:, 1])).astype(np.float32)
    organs = np.where(mask, 1, 0).astype(np.int16)
    organs[arrays[:, 0] > 0.5] = 5
    table = pd.DataFrame(rows, columns=PAIRS.names())
    examples = ImageExamples(arrays, dose, mask, organs, table, {s[0]: GRID for s in splits})
    return examples, pd.DataFrame(splits, columns=SPLITS.names())


@pytest.fixture
def image_cohort():
    """Return the function that makes a small cohort of pairs by hand."""
    return cohort
