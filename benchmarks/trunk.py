"""A heterogeneous trunk made of ellipsoids: soft tissue, organs, spine, lungs, and lesions in liver, bone and lung.

The same shapes and uptake as in scripts/monte_carlo/validate.py, which compares the engine with Monte Carlo on them;
kept apart since that package is GPL.
"""

import numpy as np

ORGANS = {
    "remainder": 1, "lung": 2, "spine": 3, "kidney": 4, "liver": 5, "lesion in liver": 6, "bone lesion": 7,
    "lesion in lung": 8,
}  # fmt: skip
# Concentrations relative to the remainder of the body, as 177Lu-PSMA leaves them.
UPTAKE = {
    "remainder": 1, "lung": 0.5, "spine": 2, "kidney": 60, "liver": 12, "lesion in liver": 80, "bone lesion": 80,
    "lesion in lung": 80,
}  # fmt: skip
SIZE_ZYX_MM = (320, 240, 360)
# Soft tissue, lung and cancellous bone in g/mL (ICRU Report 44, 1989); air outside.
TISSUE, LUNG, BONE, AIR = 1.04, 0.26, 1.4, 0.0012
Place = tuple[float, float, float]


def trunk(spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (ORGANS; 0 outside) and density in g/mL, (z, y, x), of cubic voxels."""
    shape = tuple(int(mm / spacing_mm) for mm in SIZE_ZYX_MM)
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * spacing_mm for n in shape], indexing="ij")

    def ball(at: Place, radii: Place) -> np.ndarray:
        return sum(((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), at, radii, strict=True)) <= 1

    labels = np.where((y / 110) ** 2 + (x / 165) ** 2 <= 1, ORGANS["remainder"], 0)
    for name, mask in (
        ("lung", ball((110, 0, -80), (90, 70, 55)) | ball((110, 0, 80), (90, 70, 55))),
        ("spine", ((y - 60) / 18) ** 2 + (x / 20) ** 2 <= 1),
        ("kidney", ball((-70, 40, -75), (55, 28, 30)) | ball((-70, 40, 75), (55, 28, 30))),
        ("liver", ball((-20, -20, -70), (70, 65, 70)) & ~ball((-70, 40, -75), (60, 33, 35))),
        ("lesion in liver", ball((-20, -30, -70), (16, 16, 16))),
        ("bone lesion", ball((-40, 60, 0), (14, 14, 14))),
        ("lesion in lung", ball((110, 0, 80), (12, 12, 12))),
    ):
        labels = np.where(mask & (labels > 0), ORGANS[name], labels)
    density = np.where(labels == 0, AIR, TISSUE)
    for name, rho in (("lung", LUNG), ("spine", BONE), ("bone lesion", BONE)):
        density[labels == ORGANS[name]] = rho
    return labels, density


def tia_mbq_h(labels: np.ndarray) -> np.ndarray:
    """Return time-integrated activity per voxel in MBq.h: uniform in each organ, UPTAKE x 1e-3."""
    return np.array([0.0, *(UPTAKE[organ] * 1e-3 for organ in ORGANS)])[labels]


def organ_means(image: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the mean of an image in every organ."""
    counts = np.bincount(labels.ravel())
    sums = np.bincount(labels.ravel(), image.ravel())
    return {organ: float(sums[label] / counts[label]) for organ, label in ORGANS.items()}
