"""The steps cross_validate and judge_nested, one after the other, on made tables."""

from argparse import Namespace

import pytest

from theradose.errors import SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import NESTED, NESTED_PREDICTIONS
from theradose.settings import EXPERIMENTS, load_experiment, to_json
from theradose.steps import cross_validate, judge_nested
from theradose.steps.entry import MAY_OPEN_TRUTH
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, ORGAN_DOSE, SPLITS, read_table, write_table

SETTINGS = ExperimentSettings(
    name="organs", kind="organ_dose", title="Organs", organs=("kidneys", "liver"), baselines=("pet_scaled",),
    predictors=("hybrid",), nested={"scheme": "repeated", "folds": 3, "repeats": 2, "trials": 2, "inner_folds": 2},
)  # fmt: skip
SCHEMAS = {"covariates": COVARIATES, "covariate_manifest": COVARIATE_MANIFEST, "labels": ORGAN_DOSE, "splits": SPLITS}


@pytest.fixture(scope="module")
def done(tmp_path_factory, organ_tables):
    """Run both steps and return what they were given."""
    folder = tmp_path_factory.mktemp("nested")
    files = {
        name: write_table(table, folder / f"{name}.tsv", schema)
        for (name, schema), table in zip(SCHEMAS.items(), organ_tables(), strict=True)
    }
    absent = dict.fromkeys(("pairs", "stability", "outcomes", "doses", "participants", "images"))
    shared = {"settings": to_json(SETTINGS), "seed": 7}
    for name in SETTINGS.all_predictors:
        cross_validate.run(Namespace(**shared, **files, **absent, predictor=name, out=folder / name))
    predictions = [folder / name / "nested_predictions.tsv" for name in SETTINGS.all_predictors]
    chosen = Namespace(**shared, splits=files["splits"], predictions=predictions, out=folder / "nested.tsv")
    judge_nested.run(chosen)
    return chosen


def test_everyone_outside_the_test_is_predicted_in_every_repeat(done):
    splits = read_table(done.splits, SPLITS)
    for file in done.predictions:
        table = read_table(file, NESTED_PREDICTIONS)
        assert set(table["voi"]) == set(SETTINGS.organs)
        for _, rows in table.groupby(["repeat", "voi"]):
            assert sorted(rows["patient"]) == sorted(splits.loc[splits["partition"] != "test", "patient"])


def test_scores_of_all_predictors_are_written(done):
    table = read_table(done.out, NESTED)
    assert set(table["predictor"]) == set(SETTINGS.all_predictors)
    assert set(table["metric"]) == {"mape", "bias", "coverage", "log_width", "mape_minus_best_baseline"}
    assert set(table["experiment"]) == {"organs"}


def test_an_experiment_is_judged_whole(done):
    with pytest.raises(SettingsError, match="no nested predictions of hybrid"):
        judge_nested.run(Namespace(**{**vars(done), "predictions": done.predictions[:1]}))


def test_neither_step_may_open_the_truth():
    assert not {"cross_validate", "judge_nested"} & MAY_OPEN_TRUTH


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("organ_dose_nested", "repeated"), ("organ_dose_centres", "centre"), ("organ_dose_centres_combat", "centre")],
)
def test_experiments_of_the_house_are_read(name, scheme):
    settings = load_experiment(EXPERIMENTS, name)
    assert settings.nested.scheme == scheme
    assert (settings.harmonise.method == "combat") == name.endswith("combat")
