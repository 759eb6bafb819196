"""How well predicted dose slices agree with a reference; beside each metric, what an all-zero map scores."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

from theradose.errors import DataError
from theradose.evaluation.dvh_metrics import DVH_METRICS, HOT_FRACTION

SSIM_SIGMA_VOXEL = 1.5  # Wang et al. 2004, doi 10.1109/TIP.2003.819861


def _require_dose(reference: np.ndarray, mask: np.ndarray) -> None:
    """Raise DataError when there is no dose inside the mask to compare with."""
    if not mask.any() or not float(reference[mask].max()) > 0:
        raise DataError(
            "reference map holds no dose inside the mask", got="all zero or empty", expected="some dose > 0"
        )


def ssim_maps(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the local structural similarity of each slice, (n, h, w), 1 where both agree.

    Gaussian window of 1.5 voxels, constants of Wang et al. 2004, data range the highest dose of the reference stack.
    """
    return np.stack(
        [
            structural_similarity(
                predicted.astype(np.float64),
                wanted.astype(np.float64),
                data_range=float(reference.max()),
                gaussian_weights=True,
                sigma=SSIM_SIGMA_VOXEL,
                use_sample_covariance=False,
                full=True,
            )[1]
            for predicted, wanted in zip(prediction, reference, strict=True)
        ]
    )


def ssim(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean SSIM over all voxels of (n, h, w) stacks, air included.

    The zero map scores high, about the part of the image that holds next to no dose: 0.8 is nothing to be proud of.
    """
    _require_dose(reference, mask)
    return float(ssim_maps(prediction, reference).mean())


def ssim_masked(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean SSIM over the voxels of `mask`; the zero map still scores where the body gets little dose."""
    _require_dose(reference, mask)
    return float(ssim_maps(prediction, reference)[mask].mean())


def zero_map_ssim(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Return the SSIM that an all-zero map would get on this reference, whatever the prediction."""
    return ssim(np.zeros_like(prediction), reference, mask)


def rmse(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Return the root mean squared error over `mask`, in the unit of the maps; zero map: RMS of the reference."""
    _require_dose(reference, mask)
    return float(np.sqrt(np.mean((_inside(prediction, mask) - _inside(reference, mask)) ** 2)))


def masked_mae(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean absolute error over `mask`, in the unit of the maps; zero map: mean of the reference."""
    _require_dose(reference, mask)
    return float(np.mean(np.abs(_inside(prediction, mask) - _inside(reference, mask))))


def hot_voxel_mae_percent(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean absolute error in the hottest 5 % of the mask, as % of the mean dose there; zero map: 100 %."""
    _require_dose(reference, mask)
    wanted, predicted = _inside(reference, mask), _inside(prediction, mask)
    hot = wanted >= np.quantile(wanted, 1.0 - HOT_FRACTION)
    return float(100.0 * np.abs(predicted[hot] - wanted[hot]).mean() / wanted[hot].mean())


def sum_bias_percent(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Return by how much the sum over the mask is too high, in %; zero map: -100 %."""
    _require_dose(reference, mask)
    wanted = float(_inside(reference, mask).sum())
    return 100.0 * (float(_inside(prediction, mask).sum()) - wanted) / wanted


def _inside(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the values of the mask in double precision."""
    return np.asarray(values[mask], dtype=np.float64)


@dataclass(frozen=True)
class MapMetric:
    """A metric of (prediction, reference, mask), all (n, h, w), and its unit."""

    compute: Callable[[np.ndarray, np.ndarray, np.ndarray], float]
    unit: str


MAP_METRICS: dict[str, MapMetric] = {
    "ssim": MapMetric(ssim, "1"),
    "ssim_masked": MapMetric(ssim_masked, "1"),
    "rmse": MapMetric(rmse, "Gy/GBq"),
    "masked_mae": MapMetric(masked_mae, "Gy/GBq"),
    "hot_voxel_mae_percent": MapMetric(hot_voxel_mae_percent, "%"),
    "sum_bias_percent": MapMetric(sum_bias_percent, "%"),
    "zero_map_ssim": MapMetric(zero_map_ssim, "1"),
    **{name: MapMetric(compute, "%") for name, compute in DVH_METRICS.items()},
}
