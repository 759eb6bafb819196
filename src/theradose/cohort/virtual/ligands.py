"""What differs between PSMA and DOTATATE patients: who they are, and how organs and tumour take up the ligand."""

from dataclasses import dataclass

from theradose.vocabulary import LESIONS


@dataclass(frozen=True)
class Takeup:
    """How one organ takes up and keeps the ligand; spreads are coefficients of variation or sd of the log."""

    f0: float
    receptor_cv: float
    t_bio_h: float
    t_bio_cv: float
    drift_sd: float
    uptake_half_time_h: float
    source: str


@dataclass(frozen=True)
class Ligand:
    """A ligand and its patients.

    `tumour_weight_per_ml` is Q of a mL of tumour in the mass balance of `kinetics`. `no_bone_part` of the patients have
    no tumour in bone, the others a part u^`bone_power` of it, u uniform (as the lesions of 400 patients with images).
    """

    organs: dict[str, Takeup]
    tumour_weight_per_ml: float
    tumour_receptor_log_sd: float
    tumour_log_mean_ml: float
    tumour_log_sd: float
    age_mean_y: float
    age_sd_y: float
    female_part: float
    peptide_ug: float
    no_bone_part: float
    bone_power: float


# PSMA. F0, spreads, half-lives: design of the cohort, section 2 (receptor densities and release rates of a published
# PBPK model). Uptake half-times 0.5 to 2 h: same place. Tumour volume of therapy candidates: autoPET III, 333 cases of
# all comers have log-mean 3.81 and log-sd 2.25, candidates more. Peptide: 110 nmol of 1.04 kg/mol.
PSMA = Ligand(
    {
        "kidneys": Takeup(0.034, 0.33, 40.0, 0.19, 0.12, 0.5, "PBPK: 30 +- 10 nmol/L, release 2.88e-4/min"),
        "parotids": Takeup(0.0095, 0.33, 30.0, 0.16, 0.15, 1.0, "PBPK: 60 +- 20 nmol/L, release 3.9e-4/min"),
        "submandibulars": Takeup(0.0042, 0.33, 30.0, 0.16, 0.15, 1.0, "as parotids"),
        "lacrimals": Takeup(0.0009, 0.33, 30.0, 0.16, 0.15, 1.0, "as parotids; F0 set for the label's 2.1 Gy/GBq"),
        "liver": Takeup(0.045, 0.30, 38.0, 0.22, 0.18, 0.75, "prototype, 0.11 Gy/GBq"),
        "spleen": Takeup(0.003, 0.40, 45.0, 0.25, 0.22, 0.75, "half the prototype's 0.006: label 0.067 Gy/GBq"),
        "marrow": Takeup(0.010, 0.30, 30.0, 0.25, 0.25, 0.5, "2.5 times the prototype's 0.004: label 0.035 Gy/GBq"),
        LESIONS: Takeup(0.0, 0.0, 77.0, 0.35, 0.25, 2.0, "PBPK: release 1.5e-4/min"),
    },
    tumour_weight_per_ml=4.5e-4, tumour_receptor_log_sd=0.55, tumour_log_mean_ml=4.35, tumour_log_sd=1.55,
    age_mean_y=71.0, age_sd_y=8.0, female_part=0.0, peptide_ug=115.0, no_bone_part=0.0, bone_power=0.4,
)  # fmt: skip

# DOTATATE. Effective half-lives of 177Lu (kidneys 50 h, liver and spleen 68 h, tumour 77 to 100 h) and doses (kidneys
# 0.46 to 0.57 Gy/GBq, CV 0.35; spleen 0.85, CV 0.8; tumour 3.4, log-sd 0.7; marrow 0.035 to 0.057): design of the
# cohort, section 2. F0 are set for these doses. Glands hold little (from memory of the literature, unverified), as does
# the share of women.
DOTATATE = Ligand(
    {
        "kidneys": Takeup(0.0233, 0.30, 73.0, 0.20, 0.12, 0.5, "T_eff 50 h, 0.5 Gy/GBq"),
        "parotids": Takeup(0.0008, 0.33, 40.0, 0.20, 0.15, 1.0, "low, unverified"),
        "submandibulars": Takeup(0.0004, 0.33, 40.0, 0.20, 0.15, 1.0, "low, unverified"),
        "lacrimals": Takeup(0.00002, 0.33, 40.0, 0.20, 0.15, 1.0, "low, unverified"),
        "liver": Takeup(0.060, 0.35, 118.5, 0.25, 0.18, 0.75, "T_eff 68 h; 0.3 Gy/GBq, unverified"),
        "spleen": Takeup(0.0131, 0.70, 118.5, 0.25, 0.22, 0.75, "T_eff 68 h, 0.85 Gy/GBq, CV 0.8"),
        "marrow": Takeup(0.0197, 0.30, 30.0, 0.25, 0.25, 0.5, "0.045 Gy/GBq with cross-dose"),
        LESIONS: Takeup(0.0, 0.0, 196.0, 0.35, 0.25, 2.0, "T_eff 88 h, 3.4 Gy/GBq, log-sd 0.7"),
    },
    tumour_weight_per_ml=3.6e-4, tumour_receptor_log_sd=0.60, tumour_log_mean_ml=4.35, tumour_log_sd=1.55,
    age_mean_y=63.0, age_sd_y=10.0, female_part=0.45, peptide_ug=175.0, no_bone_part=0.48, bone_power=3.0,
)  # fmt: skip

LIGANDS: dict[str, Ligand] = {"psma": PSMA, "dotatate": DOTATATE}
