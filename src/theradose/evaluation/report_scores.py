"""The report's pages on experiments: scores beside baselines, predicted against true, maps, training, search."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open

from theradose.evaluation.compare import DECIDES, DOSE_KINDS
from theradose.evaluation.figures import Picture, as_png, as_svg, sort_organs, words
from theradose.evaluation.figures_dosemaps import dose_maps
from theradose.evaluation.figures_scores import bland_altman, predicted_against_true, scores
from theradose.evaluation.figures_training import learning_curves, scores_by_patients, tuning_trials
from theradose.evaluation.metric_names import CLOSER_TO_ZERO, COLUMNS, HIGHER_IS_BETTER, METRIC_NAMES, NOT_RANKED
from theradose.evaluation.published import published_sheets
from theradose.evaluation.report_nested import nested_sheets
from theradose.evaluation.report_pairs import pair_sheets
from theradose.evaluation.report_risk import risk_parts
from theradose.evaluation.report_tables import Cell, Head, Sheet, interval, three, three_signed
from theradose.evaluation.report_uptake import uptake_sheets
from theradose.evaluation.results import ExperimentResults, StudyResults

ALL, TEST, OUT_OF_FOLD = "all", "test", "train"
REFERENCE_COLUMNS = {"truth": "truth_gy_per_gbq", "label": "label_gy_per_gbq"}
SHOWN_ORGANS = 3
SEEN = {"label": "against what was seen"}


def metric_rows(metrics: pd.DataFrame, metric: str, partition: str) -> pd.DataFrame:
    """Return the rows of one metric and partition that have a value."""
    return metrics[(metrics["metric"] == metric) & (metrics["partition"] == partition) & metrics["value"].notna()]


def overall(metrics: pd.DataFrame) -> str:
    """Return the VOI that stands for everything in an experiment: `all`, or the body of dose maps."""
    vois = list(dict.fromkeys(metrics["voi"]))
    return ALL if ALL in vois else vois[0]


def _best(values: "pd.Series[float]", metric: str) -> float:
    """Return the best value of a column, nan for a metric that has no better."""
    if metric in NOT_RANKED or values.dropna().empty:
        return float("nan")
    if metric in CLOSER_TO_ZERO:
        return float(min(values.dropna(), key=abs))
    return float(values.max() if metric in HIGHER_IS_BETTER else values.min())


def score_sheet(
    experiment: ExperimentResults, reference: str, partition: str, voi: str, chosen: str = ""
) -> Sheet | None:
    """Return the table of all predictors against one reference, the best of each column set off; None without rows."""
    metrics = experiment.metrics
    own = metrics[(metrics["reference"] == reference) & (metrics["partition"] == partition) & (metrics["voi"] == voi)]
    if own.empty:
        return None
    scored = {(str(row["predictor"]), str(row["metric"])): row for _, row in own.iterrows()}
    units = own.drop_duplicates("metric").set_index("metric")["unit"]
    names = [name for name in COLUMNS[experiment.about["kind"]] if name in units.index]
    best = {name: _best(own.loc[own["metric"] == name, "value"], name) for name in names}
    rows = []
    for predictor in experiment.predictors:
        note = "baseline" if predictor in experiment.baselines else "model"
        row = [Cell(words(predictor), "chosen" if predictor == chosen else "", note)]
        for name in names:
            found = scored.get((predictor, name))
            value = float("nan") if found is None else float(found["value"])
            limits = "" if found is None else interval(float(found["low"]), float(found["high"]))
            row.append(Cell(three(value), "best" if value == best[name] else "", limits))
        rows.append(row)
    heads = [
        Head("Predictor", number=False),
        *(Head(METRIC_NAMES.get(name, words(name)), str(units[name])) for name in names),
    ]
    return Sheet(heads, rows)


def score_sheets(experiment: ExperimentResults, chosen: str) -> list[tuple[str, Sheet]]:
    """Return titled tables: test patients against truth and label, then out of fold."""
    people = {TEST: "test patients", OUT_OF_FOLD: "training patients, out of fold"}
    against = {"truth": "against the planted truth", "label": "against the label from SPECT"}
    voi = overall(experiment.metrics)
    # Chances of different events are no one thing: each has a table of its own.
    shown = [(voi, "", against), *((event, f"{words(event).capitalize()}: ", SEEN) for event in _events(experiment))]
    found = []
    for one, name, beside in shown:
        for (partition, who), (reference, what) in product(people.items(), beside.items()):
            sheet = score_sheet(experiment, reference, partition, one, chosen)
            if sheet is not None:
                n = int(_count(experiment.metrics, reference, partition, one))
                found.append((f"{name}{n} {who}, {what}", sheet))
    return found


def _events(experiment: ExperimentResults) -> list[str]:
    """Return the events whose chances an experiment predicts."""
    scored = experiment.metrics[experiment.metrics["metric"] == "auc"]
    return [str(voi) for voi in dict.fromkeys(scored["voi"]) if voi != ALL]


def _count(metrics: pd.DataFrame, reference: str, partition: str, voi: str) -> int:
    """Return how many patients a block of scores counts."""
    own = metrics[(metrics["reference"] == reference) & (metrics["partition"] == partition) & (metrics["voi"] == voi)]
    return int(own["n"].max())


def verdict_words(study: StudyResults, experiment: ExperimentResults) -> str:
    """Return in a few sentences which predictor was chosen and what it earns over the best baseline."""
    found = study.verdicts.get(experiment.name)
    if not found:
        return "The predictors of this experiment were not compared."
    best, baseline, metric = found["best"], found["best_baseline"], found["metric"]
    text = f"Chosen on out-of-fold predictions of the training patients: {words(best)}."
    own = _score_words(found["test"].get(best), metric)
    if best == baseline:
        return f"{text} On the test patients: {own}. No model does better than this baseline."
    rival = _score_words(found["test"].get(baseline), metric)
    text += f" On the test patients: {own}; best baseline, {words(baseline)}: {rival}."
    difference = found.get("test_minus_best_baseline") or {}
    if difference.get("value") is None or difference.get("low") is None:
        return text
    value, low, high = (three_signed(float(difference[name])) for name in ("value", "low", "high"))
    unsure = difference["low"] <= 0 <= difference["high"]
    meaning = "too few patients to tell them apart" if unsure else "better" if difference["value"] < 0 else "worse"
    return f"{text} Difference patient by patient {value} {difference['unit']} ({low} to {high}): {meaning}."


def _score_words(score: dict[str, Any] | None, metric: str) -> str:
    """Return a score with its interval in words."""
    if not score or score.get("value") is None:
        return "no score"
    unit = "" if score["unit"] == "1" else f" {score['unit']}"
    limits = (
        interval(score["low"], score["high"]) if score.get("low") is not None and score.get("high") is not None else ""
    )
    return f"{METRIC_NAMES.get(metric, metric)} {three(score['value'])}{unit}" + (f" ({limits})" if limits else "")


def audit_words(experiment: ExperimentResults) -> str:
    """Return in a sentence or two what shuffling the labels found; empty when it was not asked for."""
    table = experiment.audit
    if table.empty:
        return ""
    leaks = table[table["verdict"] == "leak"]
    named = ", ".join(f"{words(str(r['predictor']))} ({words(str(r['voi']))})" for r in leaks.to_dict("records"))
    found = f"held-out labels have been seen by {named}: do not believe its scores" if named else "no leak was found"
    return (
        f"Leakage audit: with labels shuffled by patient {int(table['permutations'].min())} times and all of it fitted "
        f"again, predictors have at most a mean skill of {three_signed(float(table['null_mean'].max()))}, where chance "
        f"gives 0 or less; {found}."
    )


def _reference(predictions: pd.DataFrame) -> str:
    """Return what predictions are drawn against: the truth where it is known, else the label."""
    return REFERENCE_COLUMNS["truth" if predictions["truth_gy_per_gbq"].notna().any() else "label"]


def _scores_picture(experiment: ExperimentResults) -> Picture | None:
    """Return the deciding metric of every organ with intervals, None when there is but one VOI."""
    metric = DECIDES[experiment.about["kind"]]
    rows = metric_rows(experiment.metrics, metric, TEST)
    rows = rows if not rows.empty else metric_rows(experiment.metrics, metric, OUT_OF_FOLD)
    if rows.empty:
        return None
    order = {name: i for i, name in enumerate(experiment.predictors)}
    rows = rows.sort_values("predictor", key=lambda names: names.map(order), kind="stable")
    unit, name = str(rows["unit"].iloc[0]), METRIC_NAMES.get(metric, metric)
    who = "test patients" if (rows["partition"] == TEST).all() else "training patients, out of fold"
    return as_svg(
        scores(rows, experiment.baselines, f"{name} ({unit})"),
        f"{name} of every predictor by organ",
        f"{name} on {who} with 95 % bootstrap intervals; lower is better. Baselines grey, models coloured. Filled: "
        "against "
        "the planted truth; open: against the label from SPECT, whose own error counts in.",
    )


def _dose_pictures(study: StudyResults, experiment: ExperimentResults) -> list[Picture]:
    """Return predicted against true for the leading organs, and Bland-Altman of the chosen predictor."""
    predictions = experiment.predictions
    test = predictions[predictions["partition"] == TEST]
    rows = test if not test.empty else predictions
    if rows.empty:
        return []
    reference = _reference(rows)
    rows = rows[rows[reference].notna()]
    organs = sort_organs(rows["voi"])
    chosen = study.verdicts.get(experiment.name, {}).get("best", experiment.predictors[-1])
    pictures = [
        as_svg(
            predicted_against_true(rows, organ, experiment.baselines, reference),
            f"Predicted against true dose of the {words(organ)}",
            f"{words(organ).capitalize()}: one mark a patient, bar: prediction interval, dashed: identity, grey: ±20 "
            "%.",
        )
        for organ in organs[:SHOWN_ORGANS]
    ]
    own = rows[rows["predictor"] == chosen]
    pictures.append(
        as_svg(
            bland_altman(own, organs, reference),
            f"Differences of {words(chosen)} against the mean",
            f"Bland-Altman plots of {words(chosen)}: dashed line and band are the mean difference and its limits of "
            "agreement "
            "(± 1.96 standard deviations), printed in the corner.",
        )
    )
    return pictures


def _kept_maps(path: Path) -> tuple[str, dict[str, np.ndarray], tuple[float, float]]:
    """Return the first patient whose maps were kept, the maps by name, (n, h, w), and their spacing (y, x) in mm."""
    with safe_open(path, framework="np") as handle:
        about = json.loads((handle.metadata() or {})["about"])["patients"]
        patient = sorted(about)[0]
        names = [str(name) for name in handle.keys() if name.startswith(f"{patient}/")]  # noqa: SIM118 - no mapping
        maps = {name.removeprefix(f"{patient}/"): handle.get_tensor(name) for name in names}
    _, y_mm, x_mm = about[patient]["spacing_zyx_mm"]
    return patient, maps, (float(y_mm), float(x_mm))


def _maps_picture(experiment: ExperimentResults) -> Picture | None:
    """Return one slice of truth, label and predictions with their differences, None when no maps were kept."""
    path = experiment.folder / "maps.safetensors"
    if not path.is_file():
        return None
    patient, maps, spacing_yx_mm = _kept_maps(path)
    index = int((maps["label"] * (maps["mask"] > 0)).sum(axis=(1, 2)).argmax())
    titles = {"truth": "planted truth", "label": "label (SPECT)"}
    references = {title: maps[name][index] for name, title in titles.items() if name in maps}
    named = {name: f"predicted/{name}" for name in experiment.predictors}
    predictions = {words(name): maps[key][index] for name, key in named.items() if key in maps}
    return as_png(
        dose_maps(references, predictions, maps["mask"][index] > 0, spacing_yx_mm),
        f"Dose maps of patient {patient}: references, predictions and differences",
        f"Patient {patient}, the axial slice with the highest total dose. Upper row: dose per administered activity "
        "on one "
        "scale. Lower row: difference from the first map, on one scale.",
    )


def _histories(experiment: ExperimentResults) -> dict[str, pd.DataFrame]:
    """Return the loss tables of every predictor that iterates."""
    tables = {name: experiment.history(name) for name in experiment.predictors}
    return {name: table for name, table in tables.items() if "train_loss" in table and len(set(table["epoch"])) > 1}


def _trials(experiment: ExperimentResults) -> dict[str, pd.DataFrame]:
    """Return the trials of every predictor that was searched for, those that came to a score."""
    tables = {name: experiment.trials(name) for name in experiment.predictors}
    known = {name: table[np.isfinite(table["value"].astype(float))] for name, table in tables.items()}
    return {name: table for name, table in known.items() if len(set(table["number"])) > 1}


def experiment_page(study: StudyResults, experiment: ExperimentResults) -> dict[str, Any]:
    """Return what the page of one experiment shows."""
    chosen = study.verdicts.get(experiment.name, {}).get("best", "")
    histories, trials = _histories(experiment), _trials(experiment)
    pictures: Sequence[Picture | None] = [_scores_picture(experiment)] if experiment.about["kind"] in DOSE_KINDS else []
    training = []
    if histories:
        text = "Loss by epoch of the final fit; the mark is the epoch whose weights were kept."
        training.append(as_svg(learning_curves(histories), "Loss by epoch", text))
    if trials:
        text = "Each trial's score on inner folds, the best so far as a line."
        training.append(as_svg(tuning_trials(trials), "Trials of the search", text))
    if len(set(experiment.learning_curve["patients"])) > 1:
        text = (
            "Score on untouched test patients (what the search lowers; of doses the mean |log error|) by the number "
            "of patients learned from, the last point the model itself; line: mean of draws, band: lowest to highest."
        )
        training.append(as_svg(scores_by_patients(experiment.learning_curve), "Would more patients help?", text))
    kind, nested = experiment.about["kind"], nested_sheets(experiment.nested, experiment.baselines)
    drawn: list[Picture | None] = [*_dose_pictures(study, experiment)] if kind in DOSE_KINDS else []
    drawn += [_maps_picture(experiment)] if kind == "dose_map" else []
    # Only predictions of doses have the columns that a reference is one of.
    doses = kind in DOSE_KINDS
    risk, pictured = risk_parts(study, experiment, _reference(experiment.predictions)) if doses else ([], [])
    own = [*nested, *risk, *published_sheets(study, experiment), *uptake_sheets(experiment)]
    return {
        "name": experiment.name, "title": experiment.title, "verdict": verdict_words(study, experiment),
        "sheets": [*score_sheets(experiment, chosen), *pair_sheets(experiment), *own],
        "figures": [p for p in [*pictures, *drawn, *pictured] if p is not None],
        "training": training, "audit": audit_words(experiment),
    }  # fmt: skip
