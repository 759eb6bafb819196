"""Constants of the tier-2 kinetics: what was published, and the table that was calibrated against the closed form."""

from dataclasses import dataclass

from theradose.vocabulary import LESIONS

# Published PBPK model of PSMA, file PSMA.sbml of PyCNO (github.com/qurit/PyCNO), 1/min there: k_on 0.046 L/nmol/min,
# internalisation 1e-3 (both used for DOTATATE as well, unverified), phi 0.66 (part of the GFR that the ligand follows),
# f_exc 0.96 (part of the filtrate that is not taken back).
MIN_PER_H = 60.0
K_ON_L_PER_NMOL_H = 0.046 * MIN_PER_H
INTERNALISATION_PER_H = 1e-3 * MIN_PER_H
FILTERED_PART, EXCRETED_PART = 0.66, 0.96
L_PER_H_PER_ML_PER_MIN = MIN_PER_H / 1000.0

# Plasma 2.8 L/m2 x (1 - 0.4) x 2.02 m2 (PyCNO). Interstitial water of everything that is no organ here: 11 L (textbooks
# of physiology, from memory). Its exchange: 0.02 mL/min/g of muscle (PyCNO) x 60 kg = 72 L/h.
PLASMA_L, REST_L, REST_PS_L_PER_H = 3.4, 11.0, 72.0


@dataclass(frozen=True)
class Exchange:
    """How an organ meets the ligand.

    `density_nmol_per_l`: receptors per volume of organ. `ps_ml_per_min_g`: exchange between plasma and interstitium.
    `interstitial`: part of the organ's volume. `capacity`: so many times more receptors bind so many times more slowly:
    the same uptake of a trace amount, and no saturation when it is large.
    """

    density_nmol_per_l: float
    ps_ml_per_min_g: float
    interstitial: float
    capacity: float = 1.0


@dataclass(frozen=True)
class Chemistry:
    """A ligand (hot and cold alike): molar mass, dissociation constant, loss to the remainder's cells, organs."""

    ug_per_nmol: float
    k_d_nmol_per_l: float
    trapping_l_per_h: float
    organs: dict[str, Exchange]


# Exchange 2 mL/min/g (glands, liver, marrow), 0.6 (tumour); interstitium 0.15 (kidney), 0.23 (glands), 0.2 (liver),
# 0.38 (tumour), 0.43 (marrow): PyCNO. Kidneys: what they filter, phi x 81 mL/min / 310 g (in PyCNO, too, it is the
# filtrate that meets their receptors). The spleen's row is assumed. Uptake without receptors (liver, marrow) is linear:
# capacity 1000. DOTATATE's kidneys take it up by tubular reabsorption beside receptors, which saturates late: capacity
# 10, assumed.
# Densities and `trapping_l_per_h` are calibrated: the reference patient (receptors 1, masses of ORGAN_TABLE, tumour
# 77 mL, eGFR 81 mL/min, the ligand's own peptide and half-lives) gets the closed form's 177Lu coefficient in every
# organ, and its uptake in the remainder; `calibrated` in tests/cohort/virtual/test_ode.py does it again and compares.
# Published densities: kidneys 30 +- 10, glands 60 +- 20 nmol/L (design of the cohort, section 2).
CHEMISTRY: dict[str, Chemistry] = {
    # K_D: K_i of PSMA-617, 2.34 nmol/L (Benesova 2015, from memory). PyCNO's 8 (k_off 0.368/min) would ask for
    # 68 nmol/L in the kidneys.
    "psma": Chemistry(1.04, 2.34, 0.795, {
        "kidneys": Exchange(28.7, 0.17, 0.15),
        "parotids": Exchange(45.7, 2.0, 0.23),
        "submandibulars": Exchange(40.4, 2.0, 0.23),
        "lacrimals": Exchange(154.8, 2.0, 0.23),
        "liver": Exchange(3.47, 2.0, 0.20, capacity=1000.0),
        "spleen": Exchange(4.72, 2.0, 0.20),
        "marrow": Exchange(0.814, 2.0, 0.43, capacity=1000.0),
        LESIONS: Exchange(108.9, 0.6, 0.38),
    }),
    # K_D: IC50 of Lu-DOTATATE at sst2, 2.0 +- 0.8 nmol/L (Gunther 2018, Pharmacol Rev 70:763, table 12).
    "dotatate": Chemistry(1.40, 2.0, 0.8115, {
        "kidneys": Exchange(11.87, 0.17, 0.15, capacity=10.0),
        "parotids": Exchange(3.74, 2.0, 0.23),
        "submandibulars": Exchange(3.74, 2.0, 0.23),
        "lacrimals": Exchange(3.31, 2.0, 0.23),
        "liver": Exchange(4.95, 2.0, 0.20, capacity=1000.0),
        "spleen": Exchange(23.35, 2.0, 0.20),
        "marrow": Exchange(1.68, 2.0, 0.43, capacity=1000.0),
        LESIONS: Exchange(90.9, 0.6, 0.38),
    }),
}  # fmt: skip
