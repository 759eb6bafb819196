"""How many lesions a patient has, how large they are, and where they sit."""

from dataclasses import dataclass, replace

import numpy as np

from theradose.cohort.virtual.latents import MAX_LESIONS, Latents
from theradose.cohort.virtual.organs import Shape
from theradose.vocabulary import LESION_LABEL_FROM, lesion_name

# Count rises with the total volume: about 6 lesions at the median volume of 77 mL (autoPET III: quartiles 2, 6, 35
# lesions a case; at most 12 are drawn here, so widespread disease is shown as fewer, larger lesions).
MEDIAN_COUNT, MEDIAN_TOTAL_ML, COUNT_POWER, COUNT_LOG_SD = 6.0, 77.0, 0.5, 0.6
VOLUME_LOG_SD = 1.16  # within a patient (autoPET III, 8771 lesions)
RECEPTOR_LOG_SD = 0.46  # SUVmean within a patient (same)
NECROTIC_PART, NECROTIC_FROM_ML, NECROTIC_UPTAKE = 0.20, 10.0, 0.2
FORM_LOG_SD = 0.15


@dataclass(frozen=True)
class Site:
    """A place where lesions grow: share of lesions, centre and spread (z, y, x), CT number, and whether in bone."""

    share: float
    centre_mm: tuple[float, float, float]
    spread_mm: tuple[float, float, float]
    hu: float
    bone: bool


# Shares are plausible (bone and nodes lead in castration-resistant disease, the liver in neuroendocrine), not taken
# from one publication. CT numbers: design of the cohort, section 1.
PSMA_SITES: dict[str, Site] = {
    "thoracic_spine": Site(0.20, (70, 62, 0), (55, 6, 8), 250, bone=True),
    "lumbar_spine": Site(0.14, (-120, 62, 0), (45, 6, 8), 250, bone=True),
    "sacrum": Site(0.08, (-268, 66, 0), (14, 6, 16), 250, bone=True),
    "ilium_left": Site(0.10, (-270, 42, 88), (18, 14, 10), 250, bone=True),
    "ilium_right": Site(0.10, (-270, 42, -88), (18, 14, 10), 250, bone=True),
    "rib_left": Site(0.05, (50, 40, 148), (45, 16, 5), 250, bone=True),
    "rib_right": Site(0.05, (50, 40, -148), (45, 16, 5), 250, bone=True),
    "pelvic_node_left": Site(0.07, (-262, -10, 55), (18, 10, 8), 60, bone=False),
    "pelvic_node_right": Site(0.07, (-262, -10, -55), (18, 10, 8), 60, bone=False),
    "retroperitoneal_node": Site(0.07, (-150, 22, 10), (35, 8, 14), 60, bone=False),
    "supraclavicular_node": Site(0.03, (168, 5, 48), (8, 8, 8), 60, bone=False),
    "liver": Site(0.04, (-38, -12, -78), (22, 22, 28), 60, bone=False),
}
NET_SHARES = {"liver": 0.62, "retroperitoneal_node": 0.18, "thoracic_spine": 0.06, "lumbar_spine": 0.06}
NET_SITES = {name: replace(PSMA_SITES[name], share=share) for name, share in NET_SHARES.items()} | {
    "mesenteric_node": Site(0.08, (-165, -30, 5), (25, 15, 25), 60, bone=False),
}
SITES: dict[str, dict[str, Site]] = {"psma": PSMA_SITES, "dotatate": NET_SITES}


@dataclass(frozen=True)
class Lesion:
    """A lesion: where, which form, how large, how much receptor compared with the others, CT number."""

    voi: str
    site: str
    shape: Shape
    volume_ml: float
    receptors: float
    necrotic: bool
    hu: float
    bone: bool


def lesion_count(latents: Latents, total_ml: float) -> int:
    """Return the number of lesions, 1 to 12, for a total volume in mL."""
    median = MEDIAN_COUNT * (total_ml / MEDIAN_TOTAL_ML) ** COUNT_POWER
    return int(np.clip(round(median * np.exp(COUNT_LOG_SD * float(latents.z("lesion_count")))), 1, MAX_LESIONS))


def site_of(uniform: float, sites: dict[str, Site]) -> str:
    """Return the site whose share of [0, 1) holds `uniform`."""
    edges = np.cumsum([site.share for site in sites.values()])
    return list(sites)[min(int(np.searchsorted(edges / edges[-1], uniform, side="right")), len(sites) - 1)]


def _lesion(latents: Latents, name: str, site: Site, drawn: str, volume_ml: float) -> Lesion:
    """Return the lesion at a site that the draws named `drawn` describe, still under that name."""
    shift = [float(latents.z(f"shift_{axis}", drawn)) for axis in "zyx"]
    z, y, x = (c + s * move for c, s, move in zip(site.centre_mm, site.spread_mm, shift, strict=True))
    radius_mm = (3000.0 * volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    form = np.exp(FORM_LOG_SD * np.array([0.0, float(latents.z("form_y", drawn)), float(latents.z("form_x", drawn))]))
    half_z, half_y, half_x = (radius_mm * form / form.prod() ** (1.0 / 3.0)).tolist()
    necrotic = float(latents.uniform("necrosis", drawn)) < NECROTIC_PART and volume_ml >= NECROTIC_FROM_ML
    receptors = float(np.exp(RECEPTOR_LOG_SD * float(latents.z("receptors", drawn))))
    shape = Shape((z, y, x), (half_z, half_y, half_x))
    return Lesion(drawn, name, shape, volume_ml, receptors, necrotic, site.hu, site.bone)


def lesions_of(latents: Latents, total_ml: float, ligand: str) -> list[Lesion]:
    """Return the lesions of a patient, largest first; their volumes add up to `total_ml`."""
    names = [lesion_name(LESION_LABEL_FROM + i) for i in range(lesion_count(latents, total_ml))]
    weights = np.exp(VOLUME_LOG_SD * np.array([float(latents.z("volume", name)) for name in names]))
    volumes_ml = total_ml * weights / weights.sum()
    found = []
    for rank, drawn in enumerate(np.argsort(-volumes_ml, kind="stable").tolist()):
        site = site_of(float(latents.uniform("site", names[drawn])), SITES[ligand])
        lesion = _lesion(latents, site, SITES[ligand][site], names[drawn], float(volumes_ml[drawn]))
        found.append(replace(lesion, voi=names[rank]))
    return found
