"""The bars of the design on fixed seeds, that each can be missed, and what a bar is."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from theradose.cohort.virtual import bars as module
from theradose.cohort.virtual.bars import (
    ANY,
    BY_ITSELF,
    TUNED,
    Bar,
    Row,
    arithmetic,
    bars,
    doses,
    kidney_limits,
    marrow_cross_gy_per_gbq,
    outcomes,
    scans,
    world_of,
)
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.limits import World
from theradose.cohort.virtual.tier_one import TierOne
from theradose.errors import SettingsError

PATIENTS = 5000


@cache
def found(ligand: str) -> dict[str, Bar]:
    every = bars(ligand, PATIENTS, imaged=2)
    assert len({bar.name for bar in every}) == len(every)
    return {bar.name: bar for bar in every}


@pytest.mark.parametrize("ligand", list(LIGANDS))
def test_every_bar_is_held(ligand: str) -> None:
    assert [bar for bar in found(ligand).values() if bar.judged and not bar.held] == []


@pytest.mark.slow
@pytest.mark.parametrize("ligand", list(LIGANDS))
def test_every_bar_is_held_by_many_patients(ligand: str) -> None:
    assert [bar for bar in bars(ligand, 60_000) if bar.judged and not bar.held] == []


def test_the_bars_are_those_of_the_design() -> None:
    bounds = {name: (bar.low, bar.high) for name, bar in found("psma").items() if bar.judged}
    assert bounds["kidneys: mean dose, Gy/GBq"] == (0.40, 0.55)
    assert bounds["kidneys: CV of dose"] == (0.30, 0.45)
    assert bounds["kidneys: r(eGFR, dose)"] == (-0.40, -0.15)
    assert bounds["kidneys: best single scan, h"] == (48.0, 48.0)
    assert bounds["kidneys: limit, %, table, coupling 0"] == (15.0, 17.5)
    assert bounds["kidneys: limit, %, with LoG, coupling 0.6"] == (12.5, 14.5)
    assert bounds["kidneys: LoG lowers s by, coupling 0"] == (-0.005, 0.005)
    assert bounds["kidneys: LoG lowers s by, coupling 0.6"] == (0.012, np.inf)
    assert [high for name, (_, high) in bounds.items() if "sink" in name] == [0.0] * len(LIGANDS["psma"].organs)
    assert bounds["kidney toxicity, Bayes AUC"] == pytest.approx((0.718, 0.758))
    other = {name: (bar.low, bar.high) for name, bar in found("dotatate").items() if bar.judged}
    assert other["kidneys: mean dose, Gy/GBq"] == (0.46, 0.57)
    assert other["kidneys: best single scan, h"] == (72.0, 72.0)
    assert other["marrow: mean dose with that from elsewhere, Gy/GBq"] == (0.035, 0.057)


def test_who_and_how() -> None:
    psma = found("psma")
    assert {bar.how for bar in psma.values()} == {BY_ITSELF, TUNED}
    assert psma["marrow toxicity, part"].how == TUNED
    assert psma["kidneys: mean dose, Gy/GBq"].how == BY_ITSELF
    assert psma["kidneys: mean dose, Gy/GBq"].patients == PATIENTS
    assert psma["marrow: mean dose with that from elsewhere, Gy/GBq"].patients == 2
    assert {bar.seed for bar in psma.values()} == {world_of("psma").seed}
    assert not any("toxicity" in name or "latency" in name for name in found("dotatate"))  # set on PSMA patients


def test_bounds_hold_at_their_ends_and_nothing_else() -> None:
    bar = Bar("x", 0.5, 0.4, 0.6, "", BY_ITSELF, 10, 1)
    assert bar.judged
    for value, held in ((0.4, True), (0.6, True), (0.39, False), (0.61, False), (float("nan"), False)):
        assert replace(bar, value=value).held is held
    assert not Bar("x", 0.5, *ANY, "", BY_ITSELF, 10, 1).judged
    assert Bar("x", 0.5, 0.6, np.inf, "", BY_ITSELF, 10, 1).judged


def test_an_unknown_ligand_is_refused() -> None:
    with pytest.raises(SettingsError, match="psma, dotatate"):
        bars("fapi", 1000)


# --- every kind of bar can be missed


def missed(rows: list[Row]) -> set[str]:
    every = [Bar(*row, PATIENTS, 1) for row in rows]
    return {bar.name for bar in every if bar.judged and not bar.held}


def psma_with(monkeypatch: pytest.MonkeyPatch, seed: int, **kidneys: float) -> World:
    """Return a world with other kidneys; patients are kept by world, so every one has a seed of its own."""
    organs = LIGANDS["psma"].organs
    changed = replace(LIGANDS["psma"], organs={**organs, "kidneys": replace(organs["kidneys"], **kidneys)})
    monkeypatch.setitem(LIGANDS, "psma", changed)
    return replace(world_of("psma"), seed=seed)


def cohort(world: World, cycles: int = 1) -> TierOne:
    return world.cohort(PATIENTS, cycles)


def test_kidneys_that_hold_twice_as_much_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = psma_with(monkeypatch, 1, f0=0.068)
    assert missed(doses(cohort(twice))) == {"kidneys: mean dose, Gy/GBq"}
    assert {"kidney BED, median, Gy", "kidney toxicity, part", "latency, median, months"} <= missed(
        outcomes(cohort(twice, 4))
    )


def test_kidneys_that_differ_more_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "kidneys: CV of dose" in missed(doses(cohort(psma_with(monkeypatch, 2, receptor_cv=0.6))))


def test_kidneys_that_keep_it_longer_ask_for_a_later_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = cohort(psma_with(monkeypatch, 3, t_bio_h=80.0))
    assert missed(list(scans(slow))) == {"kidneys: best single scan, h"}


def test_kidneys_that_drift_more_and_a_texture_that_tells_nothing_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    world = replace(psma_with(monkeypatch, 4, drift_sd=0.2), texture_coupling=0.1)
    assert missed(list(kidney_limits(world, 1000))) == {
        "kidneys: limit, %, table, coupling 0",
        "kidneys: limit, %, with LoG, coupling 0.1",
        "kidneys: LoG lowers s by, coupling 0.1",
    }


def test_a_tumour_that_is_no_sink_is_found() -> None:
    usual = cohort(world_of("psma"))
    rising = {organ: (dose[0] * usual.body.tumour_volume_ml**0.2,) for organ, dose in usual.dose_gy_per_gbq.items()}
    names = missed(doses(replace(usual, dose_gy_per_gbq=rising)))
    assert {f"{organ}: sink, log dose per log tumour volume" for organ in LIGANDS["psma"].organs} <= names


def test_the_limit_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missed(arithmetic()) == set()
    monkeypatch.setattr(module, "floor_mape", lambda s: 0.8 * s)  # the median's error, sqrt(2 / pi) s
    assert len(missed(arithmetic())) == 4


def test_marrow_gets_from_elsewhere_what_images_show() -> None:
    found_gy = marrow_cross_gy_per_gbq(world_of("dotatate"), 2)
    assert found_gy.shape == (2,)
    assert (found_gy > 0.003).all()
    assert (found_gy < 0.03).all()
