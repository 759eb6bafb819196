"""The smallest possible errors of a virtual study: of its world by several ways, and of each of its patients."""

from argparse import Namespace

import pandas as pd

from theradose.cohort.virtual.limit_tables import label_log_sds, of_second_tier, of_world
from theradose.cohort.virtual.limits import World, outcome_limits
from theradose.cohort.virtual.observables import Clinic
from theradose.cohort.virtual.oracle import habit_of, oracle_rows, possible_doses
from theradose.evaluation.organ_dose import true_doses
from theradose.physics.nuclides import nuclide
from theradose.provenance import write_provenance
from theradose.sections import CohortSettings, VirtualSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import read_table, write_table
from theradose.truth_schemas import LATENTS, LIMITS, ORACLE, OUTCOME_LIMITS, RECOVERY_CHECK


def of_patients(latents: pd.DataFrame, chosen: Namespace, virtual: VirtualSettings) -> pd.DataFrame:
    """Return the oracle's predictions of every patient and organ."""
    truth, rows = true_doses(chosen.truth), []
    habits = virtual.model_dump(include={"ligand", "texture_coupling", "difficulty"})
    rate = nuclide(chosen.radionuclide).lambda_per_h
    for patient, own in latents.groupby("patient", sort=False):
        habit = habit_of(own, **habits, cycles=1)
        dose = {organ: gy for (name, organ), gy in truth.items() if name == patient}
        possible = possible_doses(own, habit, dose, kind=virtual.kinetics, lambda_per_h=rate, seed=chosen.seed)
        rows += oracle_rows(str(patient), possible)
    return pd.DataFrame(rows)


def run(chosen: Namespace) -> None:
    """Compute and write limits.tsv, oracle.tsv and outcome_limits.tsv."""
    virtual = from_json(CohortSettings, chosen.settings).virtual
    latents = read_table(chosen.truth / "latents.parquet", LATENTS)
    oracle = of_patients(latents, chosen, virtual)
    write_table(oracle, chosen.out / "oracle.tsv", ORACLE)
    clinic = Clinic(virtual.centres, virtual.spacing_mm, virtual.difficulty)
    world = World(virtual.ligand, chosen.radionuclide, virtual.texture_coupling, clinic, chosen.seed)
    spreads = label_log_sds(read_table(chosen.recovery, RECOVERY_CHECK))
    organs = [organ for organ in dict.fromkeys(oracle["voi"]) if organ in world.organs()]
    closed = virtual.kinetics == "closed_form"
    limits = of_world(world, organs, spreads, chosen.patients) if closed else of_second_tier(oracle, spreads)
    write_table(limits, chosen.out / "limits.tsv", LIMITS)
    found = outcome_limits(world, patients=chosen.patients // 3, cycles=virtual.planned_cycles)
    rows = [{"target": name, "score": score, "value": v} for name, own in found.items() for score, v in own.items()]
    write_table(pd.DataFrame(rows), chosen.out / "outcome_limits.tsv", OUTCOME_LIMITS)
    inputs = [chosen.recovery, chosen.truth / "latents.parquet", chosen.truth / "truth_voi.parquet"]
    write_provenance(chosen.out, "limit", inputs, {"seed": chosen.seed, "virtual": virtual.model_dump(mode="json")})


if __name__ == "__main__":
    paths, numbers = ("truth", "recovery", "out"), ("seed", "patients")
    start(arguments(__doc__, texts=("settings", "radionuclide"), numbers=numbers, paths=paths), run)
