"""Tier-2 kinetics: calibration, conservation, agreement with the closed form, and what only receptors can show."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.stats import spearmanr

from theradose.cohort.virtual.body import body_of
from theradose.cohort.virtual.courses import BLADDER, LN2, ClosedForm, Course, effective_half_life_h
from theradose.cohort.virtual.kinetics import (
    REMAINDER,
    REMAINDER_T_BIO_H,
    Kinetics,
    kinetics_of,
    receptors,
    uptake_fractions,
)
from theradose.cohort.virtual.latents import draw_latents
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.ode import HORIZON_H, NODES_H, WEIGHTS_H, Injection, OdeCourse, solve_course
from theradose.cohort.virtual.ode_parameters import CHEMISTRY, REST_L, Chemistry
from theradose.cohort.virtual.organs import ORGAN_TABLE
from theradose.errors import SettingsError
from theradose.vocabulary import LESIONS

LU177_HALF_LIFE_H = 159.528
LU177_PER_H = LN2 / LU177_HALF_LIFE_H
MASSES_G = {name: organ.mass_g for name, organ in ORGAN_TABLE.items()}
GLANDS = ("parotids", "submandibulars")
FOLLOWED = ("kidneys", *GLANDS, LESIONS)


def reference(ligand: str, tumour_ml: float = 77.0, egfr: float = 81.0) -> tuple[Injection, ClosedForm]:
    """Return the reference patient in both tiers: all receptors 1, median masses and half-lives."""
    rows = LIGANDS[ligand].organs
    ones = dict.fromkeys(rows, 1.0)
    t_bio_h = {organ: row.t_bio_h for organ, row in rows.items()} | {REMAINDER: REMAINDER_T_BIO_H, "excreted": 10.0}
    uptake = uptake_fractions(LIGANDS[ligand], ones, MASSES_G, tumour_ml, egfr)
    kinetics = Kinetics(uptake, (uptake,), t_bio_h, {organ: row.uptake_half_time_h for organ, row in rows.items()})
    return Injection(ones, MASSES_G, tumour_ml, egfr, t_bio_h, LIGANDS[ligand].peptide_ug), ClosedForm(kinetics)


def coefficients_h(injection: Injection, ligand: str = "psma") -> dict[str, float]:
    return solve_course(ligand, [injection]).coefficients_h(LU177_PER_H, cycle=0)


PSMA, PSMA_CLOSED = reference("psma")


@cache
def usual() -> OdeCourse:
    return solve_course("psma", [PSMA])


@cache
def usual_fractions(time_h: float, lambda_per_h: float) -> dict[str, float]:
    return usual().fractions_at(time_h, lambda_per_h, cycle=0)


@cache
def both_tiers(ligand: str) -> list[tuple[OdeCourse, ClosedForm]]:
    """Return 40 patients' first therapy cycle in tier 2 and tier 1, with the same latents, masses and receptors."""
    row, found = LIGANDS[ligand], []
    for index in range(40):
        latents = draw_latents(4, index)
        body = body_of(latents, row)
        kinetics = kinetics_of(
            latents, body, ligand=row, mass_g=body.mass_g, tumour_volume_ml=body.tumour_volume_ml,
            texture_coupling=0.6, least_drift_sd=0.0,
        )  # fmt: skip
        injection = Injection(
            receptors(latents, row, 0.0, 1), body.mass_g, float(body.tumour_volume_ml),  # type: ignore[arg-type]
            float(body.egfr_ml_min), kinetics.t_bio_h, row.peptide_ug,  # type: ignore[arg-type]
        )  # fmt: skip
        found.append((solve_course(ligand, [injection]), ClosedForm(kinetics)))
    return found


@cache
def logs_h(ligand: str) -> dict[str, np.ndarray]:
    """Return by organ the log coefficients of 177Lu, shape (2, patients): tier 2, tier 1."""
    pairs = [
        (ode.coefficients_h(LU177_PER_H, cycle=0), closed.coefficients_h(LU177_PER_H, cycle=1))
        for ode, closed in both_tiers(ligand)
    ]
    return {organ: np.log([[float(tier[organ]) for tier in pair] for pair in pairs]).T for organ in FOLLOWED}


# --- the equations


def naive_hot(chemistry: Chemistry, injection: Injection, hot_nmol: float, times_h: list[float]) -> np.ndarray:
    """Return kidneys' and tumour's hot ligand as parts of the hot dose: hot and cold apart, decayed hot becoming cold.

    Written again from the equations and published rates per minute: species by species, organ by organ.
    """
    names = list(chemistry.organs)
    n = len(names)
    cold_nmol = injection.peptide_ug / chemistry.ug_per_nmol - hot_nmol
    volume_l = [
        (injection.tumour_volume_ml if name == LESIONS else injection.mass_g[name] / 1.04) / 1000.0 for name in names
    ]

    def change(_: float, y: np.ndarray) -> np.ndarray:
        amounts, flow = y.reshape(2, 3 * n + 3), np.zeros((2, 3 * n + 3))
        for j, (name, row) in enumerate(chemistry.organs.items()):
            free = volume_l[j] * row.density_nmol_per_l * row.capacity - amounts[:, n + j].sum()
            for s in (0, 1):
                plasma, c, b, i = amounts[s, [3 * n, j, n + j, 2 * n + j]]
                litre = row.interstitial * volume_l[j]
                into = row.ps_ml_per_min_g * volume_l[j] * 1.04 * 60.0 * (plasma / 3.4 - c / litre)
                bound = 0.046 * 60.0 / row.capacity * c / litre * free - 0.046 * 60.0 * chemistry.k_d_nmol_per_l * b
                flow[s, [j, n + j, 2 * n + j]] += (
                    into - bound, bound - 0.06 * b, 0.06 * b - np.log(2.0) / injection.t_bio_h[name] * i,
                )  # fmt: skip
                flow[s, 3 * n] -= into
        plasma, rest, cells = amounts[:, 3 * n], amounts[:, 3 * n + 1], amounts[:, 3 * n + 2]
        exchange, trapped = 72.0 * (plasma / 3.4 - rest / 11.0), chemistry.trapping_l_per_h * rest / 11.0
        flow[:, 3 * n] -= exchange + 0.66 * 0.96 * injection.egfr_ml_min * 0.06 * plasma / 3.4
        flow[:, 3 * n + 1] += exchange - trapped
        flow[:, 3 * n + 2] += trapped - np.log(2.0) / injection.t_bio_h[REMAINDER] * cells
        decayed = LU177_PER_H * amounts[0]
        return (flow + np.stack([-decayed, decayed])).ravel()

    start = np.zeros((2, 3 * n + 3))
    start[:, 3 * n] = hot_nmol, cold_nmol
    y = solve_ivp(change, (0.0, times_h[-1]), start.ravel(), method="BDF", t_eval=times_h, rtol=1e-6, atol=1e-8).y
    held = y[: 3 * n].reshape(3, n, -1).sum(axis=0)
    return np.asarray(held[[names.index("kidneys"), names.index(LESIONS)]] / hot_nmol)


def test_one_solution_times_decay_is_hot_ligand_beside_cold() -> None:
    times_h = [0.1, 1.0, 4.0, 24.0]
    expected = naive_hot(CHEMISTRY["psma"], PSMA, 10.0, times_h)
    found = [usual().fractions_at(time_h, LU177_PER_H, cycle=0) for time_h in times_h]
    assert [row["kidneys"] for row in found] == pytest.approx(expected[0].tolist(), rel=2e-4)
    assert [row[LESIONS] for row in found] == pytest.approx(expected[1].tolist(), rel=2e-4)


def test_ligand_is_conserved() -> None:
    states = usual().solved[0].solution(np.linspace(0.0, HORIZON_H, 400))
    assert np.abs(states.sum(axis=0) - 1.0).max() < 1e-6
    assert states.min() > -1e-8


@pytest.mark.parametrize("time_h", [0.0, 0.05, 1.0, 24.0, 168.0, 400.0, 720.0])
def test_never_more_activity_than_injected(time_h: float) -> None:
    for course, _ in [(usual(), None), *both_tiers("psma")[:5]]:
        found = course.fractions_at(time_h, LU177_PER_H, cycle=0)
        assert min(found.values()) >= 0.0
        assert sum(found.values()) <= np.exp(-LU177_PER_H * time_h) + 1e-9


def test_everything_starts_in_the_remainder_and_uptake_takes_time() -> None:
    start, soon, later = (usual().fractions_at(time_h, 0.0, cycle=0) for time_h in (0.0, 0.1, 1.0))
    assert start[REMAINDER] == pytest.approx(1.0)
    assert all(start[organ] == 0.0 for organ in (*LIGANDS["psma"].organs, BLADDER))
    for organ in ("kidneys", LESIONS):
        assert 0.0 < soon[organ] < later[organ]


def test_course_goes_on_where_the_solver_stops() -> None:
    before, after = (usual().fractions_at(HORIZON_H + step, 0.0, cycle=0) for step in (-1e-3, 1e-3))
    late = usual().fractions_at(720.0, 0.0, cycle=0)
    for organ in FOLLOWED:
        assert after[organ] == pytest.approx(before[organ], rel=1e-4)
        left = 2.0 ** (-(720.0 - HORIZON_H) / PSMA.t_bio_h[organ])
        assert late[organ] == pytest.approx(after[organ] * left, rel=1e-4)


@pytest.mark.parametrize("organ", ["kidneys", "liver", "lacrimals", LESIONS, REMAINDER, BLADDER])
@pytest.mark.parametrize("half_life_h", [LU177_HALF_LIFE_H, 1.13])  # 177Lu and 68Ga
def test_coefficients_are_the_integrals_of_the_courses(organ: str, half_life_h: float) -> None:
    def course(time_h: float) -> float:
        return usual_fractions(time_h, LN2 / half_life_h)[organ]

    edges = [0.0, 0.02, 0.2, 1.0, 4.0, 20.0, 100.0, HORIZON_H, 1000.0, 4000.0]
    integral = sum(quad(course, a, b, epsrel=1e-6, epsabs=1e-9)[0] for a, b in itertools.pairwise(edges))
    assert usual().coefficients_h(LN2 / half_life_h, cycle=0)[organ] == pytest.approx(integral, rel=1e-4)


def test_each_cycle_is_its_own_injection() -> None:
    course: Course = solve_course("psma", [PSMA, replace(PSMA, tumour_volume_ml=1000.0)])
    diagnostic, therapy = (course.coefficients_h(LU177_PER_H, cycle=cycle) for cycle in (0, 1))
    assert diagnostic == coefficients_h(PSMA)
    assert therapy["kidneys"] < diagnostic["kidneys"]


def test_few_steps_are_enough() -> None:
    # 15 to 20 ms on one core; the number of steps stands for it, because time itself depends on the machine.
    for ligand in LIGANDS:
        assert max(len(ode.solved[0].solution.ts) for ode, _ in both_tiers(ligand)) < 800


@pytest.mark.parametrize(
    "change",
    [{"tumour_volume_ml": 0.0}, {"egfr_ml_min": -1.0}, {"t_bio_h": PSMA.t_bio_h | {"liver": np.nan}}],  # type: ignore[operator]
)
def test_an_impossible_patient_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="impossible"):
        solve_course("psma", [replace(PSMA, **change)])  # type: ignore[arg-type]


def test_an_unknown_ligand_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown"):
        solve_course("fapi", [PSMA])


# --- agreement with the closed form


@pytest.mark.parametrize("ligand", list(LIGANDS))
def test_reference_patient_has_the_closed_forms_uptake(ligand: str) -> None:
    # Uptake of a course: what a closed form with its coefficient would have, coefficient / (1/l_eff - 1/l_up).
    injection, closed = reference(ligand)
    found, expected = coefficients_h(injection, ligand), closed.coefficients_h(LU177_PER_H, cycle=1)
    for organ in LIGANDS[ligand].organs:
        assert found[organ] == pytest.approx(expected[organ], rel=0.01), organ


@pytest.fixture
def flat_densities(monkeypatch: pytest.MonkeyPatch) -> dict[str, Chemistry]:
    """Return the published table after wiping what was calibrated."""
    published = dict(CHEMISTRY)
    for ligand, row in published.items():
        flat = {organ: replace(exchange, density_nmol_per_l=10.0) for organ, exchange in row.organs.items()}
        monkeypatch.setitem(CHEMISTRY, ligand, replace(row, trapping_l_per_h=1.0, organs=flat))
    return published


def calibrated(ligand: str, rounds: int = 12) -> Chemistry:
    """Scale every density by wanted / found coefficient, and trapping by wanted / found uptake, until they stand."""
    injection, closed = reference(ligand)
    wanted_h = closed.coefficients_h(LU177_PER_H, cycle=1)
    for _ in range(rounds):
        row, course = CHEMISTRY[ligand], solve_course(ligand, [injection])
        found_h = course.coefficients_h(LU177_PER_H, cycle=0)
        rest = course.solved[0].solution(NODES_H)[3 * len(row.organs) + 1]
        trapped = row.trapping_l_per_h / REST_L * float(WEIGHTS_H @ rest)
        organs = {
            name: replace(organ, density_nmol_per_l=organ.density_nmol_per_l * float(wanted_h[name]) / found_h[name])
            for name, organ in row.organs.items()
        }
        trapping = row.trapping_l_per_h * float(closed.kinetics.uptake[REMAINDER]) / trapped
        CHEMISTRY[ligand] = replace(row, trapping_l_per_h=trapping, organs=organs)
    return CHEMISTRY[ligand]


@pytest.mark.parametrize("ligand", list(LIGANDS))
def test_the_table_is_what_calibration_gives(ligand: str, flat_densities: dict[str, Chemistry]) -> None:
    published, found = flat_densities[ligand], calibrated(ligand)
    assert found.trapping_l_per_h == pytest.approx(published.trapping_l_per_h, rel=0.005)
    for organ, row in published.organs.items():
        assert found.organs[organ].density_nmol_per_l == pytest.approx(row.density_nmol_per_l, rel=0.01), organ


def test_calibrated_psma_densities_lie_within_the_published_spread() -> None:
    organs = CHEMISTRY["psma"].organs
    assert organs["kidneys"].density_nmol_per_l == pytest.approx(30.0, abs=10.0)
    assert [organs[name].density_nmol_per_l for name in GLANDS] == pytest.approx([60.0, 60.0], abs=20.0)


@pytest.mark.parametrize("organ", FOLLOWED)
@pytest.mark.parametrize("ligand", list(LIGANDS))
def test_tiers_rank_patients_alike(ligand: str, organ: str) -> None:
    ode, closed = logs_h(ligand)[organ]
    assert spearmanr(ode, closed).statistic > 0.9
    assert abs((ode - closed).mean()) < 0.10
    assert (ode - closed).std() < 0.15


@pytest.mark.parametrize("ligand", list(LIGANDS))
def test_late_effective_half_life_is_the_closed_forms(ligand: str) -> None:
    for ode, closed in both_tiers(ligand):
        early, late = (ode.fractions_at(time_h, LU177_PER_H, cycle=0) for time_h in (96.0, 168.0))
        for organ in FOLLOWED:
            found_h = 72.0 / np.log2(early[organ] / late[organ])
            expected_h = effective_half_life_h(closed.kinetics.t_bio_h[organ], LU177_HALF_LIFE_H)
            assert found_h == pytest.approx(float(expected_h), rel=0.02)


# --- what the closed form cannot show


def test_more_peptide_lowers_what_receptors_take_up() -> None:
    trace, little, much = (coefficients_h(replace(PSMA, peptide_ug=peptide)) for peptide in (0.0, 50.0, 250.0))
    for organ in FOLLOWED:
        assert trace[organ] > 1.2 * little[organ] > 1.2 * 1.5 * much[organ]
    assert little["liver"] < much["liver"] < 1.1 * little["liver"]  # not saturable: takes what the others leave


def test_tubular_uptake_of_dotatate_saturates_less_than_receptors() -> None:
    little, much = (
        coefficients_h(replace(reference("dotatate")[0], peptide_ug=peptide), "dotatate") for peptide in (50.0, 250.0)
    )
    assert 0.85 < much["kidneys"] / little["kidneys"] < 0.97
    assert max(much[organ] / little[organ] for organ in (LESIONS, "spleen")) < 0.65


def test_peptide_changes_the_ranking_of_organs_and_of_patients() -> None:
    spared = replace(PSMA, tumour_volume_ml=10.0, receptors={**PSMA.receptors, "kidneys": 0.95})
    sunk = replace(PSMA, tumour_volume_ml=800.0)
    organs, patients = [], []
    for peptide in (50.0, 250.0):
        first, second, middle = (coefficients_h(replace(row, peptide_ug=peptide)) for row in (spared, sunk, PSMA))
        patients.append(first["kidneys"] > second["kidneys"])
        organs.append(middle["kidneys"] > middle["liver"])
    assert patients == organs == [True, False]


def sink_slope_per_l(peptide_ug: float) -> float:
    """Return the slope of log kidney coefficient against tumour volume from 77 to 1000 mL."""
    usual_h, sunk_h = (
        coefficients_h(replace(PSMA, tumour_volume_ml=volume_ml, peptide_ug=peptide_ug))["kidneys"]
        for volume_ml in (77.0, 1000.0)
    )
    return float(np.log(sunk_h / usual_h) / 0.923)


def test_a_large_tumour_is_a_sink_for_every_organ() -> None:
    small, large, huge = (coefficients_h(replace(PSMA, tumour_volume_ml=volume)) for volume in (77.0, 400.0, 1500.0))
    for organ in ORGAN_TABLE:
        assert small[organ] > large[organ] > huge[organ]
    assert small[LESIONS] < large[LESIONS] < huge[LESIONS]
    assert huge[LESIONS] / large[LESIONS] < 1500.0 / 400.0


def test_the_sink_weakens_with_peptide() -> None:
    few, usual_mass, many = sink_slope_per_l(50.0), sink_slope_per_l(115.0), sink_slope_per_l(250.0)
    assert few < usual_mass - 0.1 < many - 0.2
    assert few < -0.2


def test_low_kidney_function_raises_every_organ_more_than_in_the_closed_form() -> None:
    low = coefficients_h(replace(PSMA, egfr_ml_min=40.0))
    closed = [reference("psma", egfr=egfr)[1].coefficients_h(LU177_PER_H, cycle=1) for egfr in (40.0, 81.0)]
    usual_h = coefficients_h(PSMA)
    for organ in ORGAN_TABLE:
        assert low[organ] / usual_h[organ] > float(closed[0][organ] / closed[1][organ]) > 1.2


def test_receptors_drive_uptake() -> None:
    doubled = coefficients_h(replace(PSMA, receptors={**PSMA.receptors, "kidneys": 2.0}))
    assert 1.6 < doubled["kidneys"] / coefficients_h(PSMA)["kidneys"] < 2.0
    assert doubled["parotids"] < coefficients_h(PSMA)["parotids"]
