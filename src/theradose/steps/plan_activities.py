"""Plan the activity of every patient of an experiment from predicted organ doses, and see which limits are kept."""

from argparse import Namespace

from theradose.errors import SettingsError, Where
from theradose.evaluation.plans import plans
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import PLANS
from theradose.models.patient_plan import PlanRequest
from theradose.models.store import load_trained
from theradose.provenance import write_provenance
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import PREDICTIONS, read_table, write_table


def run(chosen: Namespace) -> None:
    """Read predictions and the errors that models know of themselves; write plans.tsv."""
    settings = from_json(ExperimentSettings, chosen.settings)
    asked = settings.planning
    if asked is None:
        raise SettingsError("no therapy to plan", where=Where(field=f"{settings.name}.planning"))
    request = PlanRequest(asked.cycles, asked.probability, asked.joint, case=asked.case, t_eff_h=settings.t_eff_h)
    models = {str(one.card["predictor"]): one for one in map(load_trained, chosen.models)}
    table = plans(read_table(chosen.predictions, PREDICTIONS), models, request, radionuclide=chosen.radionuclide)
    write_table(table, chosen.out, PLANS)
    files = [chosen.predictions, *(folder / "model.json" for folder in chosen.models)]
    write_provenance(chosen.out.parent / "plans", "plan_activities", files, settings.model_dump(mode="json"))
    doubted = int((table["doubt"] != "").sum())
    print(f"plan_activities: {settings.name}: {len(table)} plans, {doubted} of them refused for doubt", flush=True)


if __name__ == "__main__":
    paths, texts = ("predictions", "out"), ("settings", "radionuclide")
    start(arguments(__doc__, texts=texts, paths=paths, lists=("models",)), run)
