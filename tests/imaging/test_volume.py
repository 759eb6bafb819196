"""An image knows its grid and unit."""

import numpy as np
import pytest

from theradose.errors import GeometryError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume


def test_total_activity_by_hand() -> None:
    image = Volume(np.full((2, 2, 2), 5e5), Grid((2, 2, 2), (10.0, 10.0, 10.0)), "Bq/mL")
    assert image.total_mbq() == pytest.approx(4.0)


def test_total_of_many_small_float32_values_loses_nothing() -> None:
    n = 200
    image = Volume(np.full((n, n, n), 1.1, np.float32), Grid((n, n, n), (1.0, 1.0, 1.0)), "Bq/mL")
    assert image.total_mbq() == pytest.approx(float(np.float32(1.1)) * n**3 * 1e-3 * 1e-6, rel=1e-12)


def test_another_unit_and_another_shape_are_refused() -> None:
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0))
    with pytest.raises(UnitError, match="HU"):
        Volume(np.zeros((2, 2, 2)), grid, "HU").total_mbq()
    with pytest.raises(GeometryError):
        Volume(np.zeros((2, 2, 3)), grid, "HU")
