"""Compare the reference dosimetry of virtual patients with what was planted in them."""

from argparse import Namespace

from theradose.evaluation.labels import recovery_check, recovery_summary
from theradose.provenance import write_json, write_provenance
from theradose.steps.entry import arguments, start
from theradose.tables import ORGAN_DOSE, TIAC, read_table, write_table
from theradose.truth_schemas import RECOVERY_CHECK, TRUTH_VOI


def run(chosen: Namespace) -> None:
    """Join, compare, write the table and its summary; `truth` is the cohort's folder below truth/."""
    truth = chosen.truth / "truth_voi.parquet"
    tiac, doses = read_table(chosen.tiac, TIAC), read_table(chosen.labels, ORGAN_DOSE)
    check = recovery_check(tiac, doses, read_table(truth, TRUTH_VOI))
    summary = recovery_summary(check)
    write_table(check, chosen.out / "recovery.tsv", RECOVERY_CHECK)
    write_json(chosen.out / "recovery.json", summary)
    write_provenance(chosen.out, "evaluate_labels", [chosen.tiac, chosen.labels, truth], {})
    for organ, found in summary["organ"].items():
        shown = {kind: found["tia_mbq_h"][kind] for kind in ("corrected", "uncorrected")}
        words = ", ".join(f"{kind} {100 * n['mean']:+.1f} +- {100 * n['sd']:.1f} %" for kind, n in shown.items())
        print(f"evaluate_labels: TIA of {organ}, recovered against planted: {words}")


if __name__ == "__main__":
    start(arguments(__doc__, paths=("tiac", "labels", "truth", "out")), run)
