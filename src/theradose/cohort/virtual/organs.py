"""The table of organs: shape, place, CT number and mass of each, with its source."""

from dataclasses import dataclass

SOFT_TISSUE_G_PER_ML = 1.04
"""Density of soft tissue, which the planted doses and `settings.dose.density_g_per_ml` share (ICRU report 44)."""

REFERENCE_BSA_M2 = 2.02
MASS_EXPONENT = 0.7
"""Organ masses follow (body surface / 2.02 m2)^0.7; 2.02 m2 is the reference patient (84 kg, 176 cm)."""


@dataclass(frozen=True)
class Shape:
    """One superquadric sum |(x - centre) / half axis|^power <= 1.

    `centre_mm` and `half_axes_mm` are in the order (z, y, x): +z towards the head, +y towards the back, +x to the
    patient's left (LPS). Half axes give the form only; the size follows from the drawn mass.
    """

    centre_mm: tuple[float, float, float]
    half_axes_mm: tuple[float, float, float]
    power: float = 2.0


@dataclass(frozen=True)
class Organ:
    """An organ with a drawn mass: its VOIs, their shapes, CT number, mass median and coefficient of variation."""

    shapes: dict[str, Shape]
    hu: float
    mass_g: float
    mass_cv: float
    core_uptake: float = 1.0
    source: str = ""


def _pair(name: str, z: float, y: float, x: float, half_axes_mm: tuple[float, float, float]) -> dict[str, Shape]:
    """Return the left and right shapes of a paired organ that lies `x` mm beside the midline."""
    return {
        f"{name}_left": Shape((z, y, x), half_axes_mm),
        f"{name}_right": Shape((z, y, -x), half_axes_mm),
    }


# In the order in which they claim voxels: small organs first. Half axes and CT numbers: design of the cohort,
# section 1, except the spine (made shorter and square so that 1170 g of marrow fit between skull and pelvis).
# Centres: chosen once, on a body 768 mm long from the top of the head to the pelvic floor.
ORGAN_TABLE: dict[str, Organ] = {
    "lacrimals": Organ(
        _pair("lacrimal_gland", 322, -62, 36, (6, 4, 4)), 30, 1.4, 0.25,
        source="mass of the pair: about 0.7 g a gland, from memory of anatomy texts, unverified",
    ),
    "parotids": Organ(
        _pair("parotid_gland", 262, 0, 54, (25, 16, 16)), 20, 50.0, 0.25, source="ICRP 89; CV unverified"
    ),
    "submandibulars": Organ(
        _pair("submandibular_gland", 226, -32, 30, (14, 9, 9)), 20, 25.0, 0.25, source="ICRP 89; CV unverified"
    ),
    "kidneys": Organ(
        {
            "kidney_left": Shape((-108, 45, 70), (55, 28, 30)),
            "kidney_right": Shape((-122, 45, -70), (55, 28, 30)),
        },
        35, 310.0, 0.20, core_uptake=0.7,
        source="ICRP 89, ICRP 110; CV and uptake of medulla against cortex (ligand binds in the cortex) unverified",
    ),
    "spleen": Organ({"spleen": Shape((-38, 50, 118), (50, 30, 30))}, 45, 165.0, 0.45, source="ICRP 89: 150-180 g"),
    "liver": Organ({"liver": Shape((-38, -12, -78), (80, 75, 95))}, 55, 1750.0, 0.22, source="ICRP 89: 1700-1800 g"),
    "marrow": Organ(
        {"red_marrow": Shape((-45, 62, 0), (290, 20, 24), 4.0)}, 180, 1170.0, 0.15,
        source="ICRP 89, active marrow, here all of it in the spine",
    ),
}  # fmt: skip
CORE_VOLUME = 0.3
"""Part of an organ or lesion that counts as its core (kidney medulla about 30 % of the volume, unverified)."""

BLADDER = Shape((-318, -25, 0), (35, 35, 35))
BLADDER_HU = 5.0

LUNGS = {
    "lung_left": Shape((80, 5, 82), (88, 80, 58)),
    "lung_right": Shape((80, 5, -82), (88, 80, 62)),
}
LUNG_HU = -750.0

# The design's single superquadric has no neck; head, neck and trunk together hold the glands where they belong.
BODY_PARTS = {
    "head": Shape((285, -5, 0), (98, 96, 78), 2.5),
    "neck": Shape((195, 15, 0), (80, 62, 62), 4.0),
    "trunk": Shape((-125, 0, 0), (300, 120, 190), 3.5),
}
BODY_HU = 20.0
BODY_HU_SD = 5.0
AIR_HU = -1000.0

SHIFT_SD_MM = 6.0
HALF_AXIS_LOG_SD = 0.08
EXTENT_ZYX_MM = (768.0, 384.0, 512.0)
"""The field of view: from the top of the head to the pelvic floor; legs and most of the arms lie outside."""
