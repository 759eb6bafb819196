"""How sure the doses are: the uncertainty budget of each organ, and the bars it is held against."""

import math
from typing import Any

import pandas as pd

from theradose.evaluation.figures import sort_organs, words
from theradose.evaluation.report_tables import Cell, Head, Sheet, count, median_range, number_cell, percent
from theradose.evaluation.results import StudyResults
from theradose.physics.uncertainty import OWN_STEPS, PROFILES, interval, judge
from theradose.vocabulary import BUDGET_STEPS, LESION_PREFIX

STEP_WORDS = {"tia": "TIA", "s": "S value"}
ENTRIES = tuple(step for step in OWN_STEPS if step != "s")  # the S value holds the volume again
WORKFLOW_BAR = PROFILES["paper_workflow"][1]["dose"]


def step_words(step: str) -> str:
    """Return a step for readers.

    >>> step_words("tia"), step_words("volume")
    ('TIA', 'volume')
    """
    return STEP_WORDS.get(step, step)


def budget_frame(study: StudyResults) -> pd.DataFrame:
    """Return the budgets of the organs, first cycle, a row a patient and organ: relative standard uncertainties.

    Columns patient, voi, n_scans and the steps of the vocabulary; without rows when there is no budget.
    """
    table, scans = study.table("budget"), study.table("tac")
    own = table[(table["level"] == "organ") & (table["cycle"] == 1)]
    wide = own.pivot_table(index=["patient", "voi"], columns="step", values="relative_std")
    wide = wide.reindex(columns=list(BUDGET_STEPS)).reset_index()
    n_scans = scans[scans["cycle"] == 1].groupby("patient")["time_h"].nunique()
    return wide.assign(n_scans=wide["patient"].map(n_scans).astype(int))


def budget_table(frame: pd.DataFrame) -> Sheet:
    """Return the budget of each organ in %, a column a step; the step that brings in most is set off."""
    heads = [Head("Organ", number=False), Head("Patients")]
    heads += [Head(step_words(step)[0].upper() + step_words(step)[1:], "%") for step in BUDGET_STEPS]
    rows = []
    for organ in sort_organs(frame["voi"]):
        own = frame[frame["voi"] == organ]
        medians = 100 * own[list(BUDGET_STEPS)].median()
        largest = medians[list(ENTRIES)].idxmax()
        found = [number_cell(float(medians[step]), "warn" * (step == largest)) for step in BUDGET_STEPS[:-1]]
        rows.append([Cell(words(organ)), Cell(str(len(own))), *found, median_range(100 * own[BUDGET_STEPS[-1]])])
    return Sheet(
        heads,
        rows,
        "Relative standard uncertainty in %, median over the patients; below the dose lowest to highest. Coloured: the "
        f"largest of {', '.join(map(step_words, ENTRIES))}. Activity, TIA and dose hold the steps before them. A wrong "
        "volume moves counts, recovery and S value together and partly cancels, so the steps are not to be summed.",
    )


def bar_words(profile: str) -> str:
    """Return the bars of a profile in words.

    >>> bar_words("published")
    'dose < 19 %; from 3 scans: dose < 13 %'
    >>> bar_words("paper_step")
    'each step < 10 %'
    """
    found = []
    for n_scans, bars in PROFILES[profile].items():
        if set(bars) == set(OWN_STEPS) and len(set(bars.values())) == 1:
            text = f"each step < {100 * next(iter(bars.values())):g} %"
        else:
            text = ", ".join(f"{step_words(step)} < {100 * bar:g} %" for step, bar in bars.items())
        found.append(text if n_scans == 1 else f"from {n_scans} scans: {text}")
    return "; ".join(found)


def verdict_cell(own: pd.DataFrame, profile: str) -> Cell:
    """Return whether the patients' budgets of an organ pass a profile, and the steps at which they fail (medians)."""
    verdicts = [
        judge({step: float(row[step]) for step in BUDGET_STEPS}, profile, int(row["n_scans"]))
        for row in own.to_dict("records")
    ]
    passed = sum(all(found.passes for found in patient) for patient in verdicts)
    failing = dict.fromkeys(found.step for patient in verdicts for found in patient if not found.passes)
    note = ", ".join(f"{step_words(step)} {percent(100 * float(own[step].median()))}" for step in failing)
    if passed == len(own):
        return Cell("pass", "ok")
    return Cell("fail", "bad", note) if not passed else Cell(f"pass in {passed} of {len(own)}", "warn", note)


def verdict_table(frame: pd.DataFrame) -> Sheet:
    """Return the verdict of every named profile on every organ."""
    heads = [Head("Organ", number=False)]
    heads += [Head(words(profile).capitalize(), bar_words(profile), number=False) for profile in PROFILES]
    rows = []
    for organ in sort_organs(frame["voi"]):
        own = frame[frame["voi"] == organ]
        rows.append([Cell(words(organ)), *(verdict_cell(own, profile) for profile in PROFILES)])
    return Sheet(
        heads,
        rows,
        "Relative standard uncertainty of each patient's budget against the bar of the profile. Pass: all patients; "
        "fail: none; small: steps that fail in any, median of all. Published: kidneys, Staanum et al., EJNMMI "
        "Phys 8:78 (2021); for other organs a yardstick only.",
    )


def budget_words(frame: pd.DataFrame) -> list[str]:
    """Return sentences on how sure the doses are, what they owe it to, and why a profile may fail."""
    medians = frame.groupby("voi")[list(BUDGET_STEPS)].median()
    organs = sort_organs(medians.index)
    told = ", ".join(f"{words(organ)} {percent(100 * float(medians['dose'][organ]))}" for organ in organs)
    first = organs[0]
    low, high = interval(1.0, float(medians["dose"][first]))
    largest = medians[list(ENTRIES)].idxmax(axis=1)
    by_step = {step: [words(o) for o in organs if largest[o] == step] for step in ENTRIES}
    weighs = "; ".join(f"{step_words(step)} in {', '.join(names)}" for step, names in by_step.items() if names)
    calibration = float(frame["calibration"].median())
    left = WORKFLOW_BAR**2 - calibration**2
    rest = (
        f"leaves {percent(100 * math.sqrt(left))} to all other steps together"
        if left > 0
        else "alone is more than that"
    )
    return [
        f"Standard uncertainty of the dose, median over the patients: {told}. Errors are factors: the 95 % interval "
        f"goes from {low:.2f} to {high:.2f} times the dose for {words(first)}. Largest single step: {weighs}.",
        "A profile may fail, and the numbers stand as they are: a chain cannot be better than its parts. Calibration "
        f"is one factor for all scans and in every dose in full ({percent(100 * calibration)}): of the "
        f"{100 * WORKFLOW_BAR:g} % for a whole workflow it {rest}. A step that is not known to 10 %, such as the "
        "volume of a small VOI on coarse voxels, fails its own bar whatever the other steps do.",
    ]


def lesion_words(study: StudyResults) -> list[str]:
    """Return a sentence on single lesions, whose own errors do not average, nothing without any."""
    table = study.table("budget")
    own = table[(table["level"] == "voi") & (table["cycle"] == 1) & (table["step"] == "dose")]
    own = own[own["voi"].str.startswith(LESION_PREFIX)]
    if own.empty:
        return []
    low, middle, high = (percent(100 * float(own["relative_std"].quantile(q))) for q in (0.0, 0.5, 1.0))
    return [
        "Lesions stand for all lesions of a patient together. Their outlines and half-lives err one by one: a single "
        f"lesion is known to {middle} (median of {count(len(own), 'lesion')}, {low} to {high})."
    ]


def budget_section(study: StudyResults) -> dict[str, Any] | None:
    """Return what the page shows of uncertainty budgets, None without any."""
    frame = budget_frame(study)
    if frame.empty:
        return None
    return {
        "why": budget_words(frame) + lesion_words(study),
        "table": budget_table(frame),
        "verdicts": verdict_table(frame),
    }
