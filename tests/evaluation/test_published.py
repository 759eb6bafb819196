"""Published figures: each has its source, and those that the budget's profiles use are the same numbers."""

from types import SimpleNamespace

from theradose.evaluation.published import TITLE, published, published_sheet, published_sheets
from theradose.physics.uncertainty import PROFILES


def test_every_figure_has_a_meaning_a_place_and_a_source() -> None:
    table = published()
    assert (table[["what", "site", "source"]] != "").all(axis=None)
    assert set(table["bound"]) == {"", "<"}
    assert not table["source"].str.contains("the same").any()


def test_figures_are_those_that_budgets_are_held_against() -> None:
    percent = {site: own["percent"].tolist() for site, own in published().groupby("site")}
    assert percent["kidney"] == [100 * PROFILES["published"][n]["dose"] for n in (3, 1)]
    bars = {100 * bar for name in ("paper_workflow", "paper_step") for bar in PROFILES[name][1].values()}
    assert set(percent["any"]) == bars


def test_six_figures_of_five_organs_are_given_to_none() -> None:
    rows = [[cell.text for cell in row] for row in published_sheet().rows]
    assert rows[0][0] == "12, 17, 14, 17, 20, 25"
    assert rows[0][2].startswith("unassigned")
    assert [row[0] for row in rows[1:]] == ["< 5", "< 10", "13", "19"]


def test_the_report_shows_them_once_apart() -> None:
    kinds = {"tiac": "tiac", "organ_dose": "organ_dose", "nested": "organ_dose"}
    found = [SimpleNamespace(name=name, about={"kind": kind}) for name, kind in kinds.items()]
    shown = [published_sheets(SimpleNamespace(experiments=found), one) for one in found]
    assert [[title for title, _ in sheets] for sheets in shown] == [[], [TITLE], []]
