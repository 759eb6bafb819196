"""Projections of PET and of every SPECT time point of a patient, the latter on one grey scale."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from theradose.evaluation.figures import MUTED, WIDTH_IN, canvas, image_axis, styled
from theradose.evaluation.figures_planes import colour_bar, coronal_mip, side_marks
from theradose.imaging.volume import Volume

BQ_PER_KBQ = 1000.0
MIP_CEILING = 99.5
"""Percentile of the projections at which the grey scale ends, so that one hot voxel does not hide the organs."""
ACTIVITY_MAP = "gray_r"


def _mip_row(figure: Figure, axes: Sequence[Axes], images: Sequence[tuple[str, Volume]], label: str) -> None:
    """Draw projections that share one grey scale in kBq/mL, with its bar."""
    planes = [coronal_mip(image.with_values(image.values / BQ_PER_KBQ, "kBq/mL")) for _, image in images]
    high = max(float(np.percentile(np.concatenate([p.values.ravel() for p in planes]), MIP_CEILING)), 1e-9)
    for axis, plane, (title, _) in zip(axes, planes, images, strict=True):
        image_axis(axis)
        axis.imshow(
            plane.values, cmap=ACTIVITY_MAP, vmin=0, vmax=high, extent=plane.extent_mm, origin="lower",
            interpolation="bilinear",
        )  # fmt: skip
        side_marks(axis, plane, MUTED)
        axis.set_title(title)
    colour_bar(figure, axes, ACTIVITY_MAP, (0, high), label)


@styled
def projections(pet: Sequence[tuple[str, Volume]], spect: Sequence[tuple[str, Volume]]) -> Figure:
    """Return coronal maximum-intensity projections: PET on its scale, all SPECT time points on one; images in Bq/mL."""
    shown = (*pet, *spect)
    left, right, bottom, top = coronal_mip(shown[0][1]).extent_mm
    rows = [(images, label) for images, label in ((pet, "PET (kBq/mL)"), (spect, "SPECT (kBq/mL)")) if images]
    panel_in = min((WIDTH_IN - 0.8 * len(rows)) / max(len(shown), 4), 2.6)
    figure = canvas(panel_in * len(shown) + 0.8 * len(rows), panel_in * (top - bottom) / (right - left) + 0.4)
    axes = np.atleast_1d(figure.subplots(1, len(shown))).tolist()
    for images, label in rows:
        _mip_row(figure, axes[: len(images)], images, label)
        axes = axes[len(images) :]
    return figure
