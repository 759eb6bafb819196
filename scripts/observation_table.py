"""Measure what PET shows of virtual patients' organs, and write the table that tier 1 uses in place of images.

For every organ, centre and grid: log of mean uptake as seen over true, as a line in log mass; the scatter about it; and
the part of the variance of the texture latent that LoG responses, coefficient of variation and neighbour correlation
explain (cross-validated R2). Seed and number of patients stand in the file's head. Virtual patients; research use only.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from theradose.cohort.virtual.observation import COLUMNS, TABLE, texture_features
from theradose.cohort.virtual.organs import ORGAN_TABLE
from theradose.cohort.virtual.patient import VirtualPatient, virtual_patient
from theradose.cohort.virtual.scanner import CENTRES
from theradose.cohort.virtual.scans import FIRST_PET_H, pet_scan
from theradose.physics.units import BQ_PER_MBQ
from theradose.vocabulary import LESIONS, organ_of, voi_of_label

SEED = 20260601


def seen(patient: VirtualPatient, centre: str) -> dict[str, tuple[float, float, float, np.ndarray]]:
    """Return organ -> mass in g, log of seen over true mean uptake, texture latent, texture features."""
    image = pet_scan(patient, "xue_like", "Ga-68", FIRST_PET_H).values / np.exp(CENTRES[centre].pet.log_bias)
    true = BQ_PER_MBQ * patient.activity_map_mbq_per_ml(FIRST_PET_H, 0.0, cycle=0)
    labels, found = patient.anatomy.labels, {}
    present = [label for label in np.unique(labels).tolist() if label]
    for organ in (*ORGAN_TABLE, LESIONS):
        inside = np.isin(labels, [label for label in present if organ_of(voi_of_label(label)) == organ])
        z = patient.latents.z("tumour_texture") if organ == LESIONS else patient.latents.z("texture", organ)
        mass_g = 1.04 * float(inside.sum()) * patient.anatomy.grid.voxel_ml
        ratio = np.log(image[inside].mean() / true[inside].mean())
        features = texture_features(image, inside, patient.anatomy.grid.spacing_mm[0])
        found[organ] = (mass_g, float(ratio), float(z), features)
    return found


def explained(features: np.ndarray, z: np.ndarray) -> float:
    """Return the cross-validated R2 of the texture latent, at least 0; features without spread are left out."""
    usable = features[:, np.isfinite(features).all(axis=0) & (np.nan_to_num(features).std(axis=0) > 0)]
    if not usable.shape[1]:
        return 0.0
    pairs = np.hstack([usable, usable**2])
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 3, 9)))
    guess = cross_val_predict(model, pairs, z, cv=5)
    return max(0.0, 1.0 - float(np.mean((z - guess) ** 2)) / float(np.var(z)))


def main() -> None:
    """Measure all centres on the asked grids."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=150)
    parser.add_argument("--spacing-mm", type=float, nargs="+", default=[8.0, 4.0])
    parser.add_argument("--out", type=Path, default=TABLE)
    chosen = parser.parse_args()
    lines = [
        f"# seed {SEED}, {chosen.patients} patients a centre, by scripts/observation_table.py; virtual; Apache-2.0"
    ]
    lines.append(",".join(COLUMNS))
    for spacing_mm in chosen.spacing_mm:
        for centre in CENTRES:
            drawn = {"centres": (centre,), "spacing_mm": spacing_mm, "difficulty": "xue_like", "texture_coupling": 0.6}
            views = [seen(virtual_patient(SEED, i, **drawn), centre) for i in range(chosen.patients)]
            for organ in views[0]:
                mass_g, ratio, z = np.array([view[organ][:3] for view in views]).T
                x = np.log(mass_g / np.median(mass_g))
                slope, level = np.polyfit(x, ratio, 1)
                scatter = float(np.std(ratio - level - slope * x, ddof=2))
                r2 = explained(np.array([view[organ][3] for view in views]), z)
                row = [organ, centre, f"{spacing_mm:g}", f"{np.median(mass_g):.4g}"]
                lines.append(",".join([*row, *(f"{value:.4f}" for value in (level, slope, scatter, r2))]))
                print(lines[-1], flush=True)
    chosen.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
