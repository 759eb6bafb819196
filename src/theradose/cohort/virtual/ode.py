"""Tier-2 kinetics: receptors, peptide mass and plasma of one patient, as ordinary differential equations.

Per organ, amounts C (interstitium), B (bound), I (internalised), R receptors in nmol; v interstitial volume, P plasma:

    dC/dt = PS (P/V_p - C/v) - k_on C/v (R - B) + k_off B
    dB/dt = k_on C/v (R - B) - (k_off + l_int) B
    dI/dt = l_int B - l_rel I                         l_rel = ln2 / t_bio, out of the body
    dP/dt = -sum PS (P/V_p - C/v) - phi f_exc GFR P/V_p - exchange with the remainder's interstitium

The remainder's cells take up from its interstitium and let go with their own half-life. Hot and cold ligand are alike,
and what has decayed still sits on its receptor: so the whole ligand is solved once, as a fraction of the injected
amount, and exp(-l_phys t) makes it the activity of any radionuclide. Organs hold C + B + I; `bladder` what was filtered
in the last hour; `remainder` plasma and the rest of the body.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import OdeSolution, solve_ivp

from theradose.cohort.virtual.courses import BLADDER, LN2, VOIDING_INTERVAL_H
from theradose.cohort.virtual.kinetics import REMAINDER
from theradose.cohort.virtual.ode_parameters import (
    CHEMISTRY,
    EXCRETED_PART,
    FILTERED_PART,
    INTERNALISATION_PER_H,
    K_ON_L_PER_NMOL_H,
    L_PER_H_PER_ML_PER_MIN,
    PLASMA_L,
    REST_L,
    REST_PS_L_PER_H,
    Chemistry,
)
from theradose.cohort.virtual.organs import SOFT_TISSUE_G_PER_ML
from theradose.errors import SettingsError, Where
from theradose.vocabulary import LESIONS

ML_PER_L = 1000.0
HORIZON_H = 336.0
"""Solved up to here; from then on every pool falls with its own release (bound ligand is down to exp(-20))."""
RELATIVE_ERROR, ABSOLUTE_ERROR = 1e-5, 1e-9  # of the injected amount; 1e-9 and 1e-13 move coefficients by 1e-5

# Gauss-Legendre nodes in panels that widen with time; the first minutes change fastest.
_EDGES_H = np.concatenate([[0.0], np.geomspace(0.02, HORIZON_H, 40)])
_X, _W = np.polynomial.legendre.leggauss(4)
NODES_H = (_EDGES_H[:-1, None] + np.diff(_EDGES_H)[:, None] * (_X + 1.0) / 2.0).ravel()
WEIGHTS_H = (np.diff(_EDGES_H)[:, None] * _W / 2.0).ravel()


@dataclass(frozen=True)
class Injection:
    """What one injection meets.

    `receptors`: density relative to the median, by organ and `lesions`; `mass_g` by organ; `t_bio_h`: half-life of the
    internalised ligand by organ and `lesions`, and of `remainder`; `peptide_ug`: hot and cold ligand, 0 for a trace.
    """

    receptors: Mapping[str, float]
    mass_g: Mapping[str, float]
    tumour_volume_ml: float
    egfr_ml_min: float
    t_bio_h: Mapping[str, float]
    peptide_ug: float


@dataclass(frozen=True)
class Solved:
    """One solved injection: amounts over time as fractions of the injected one, without decay.

    `sums` adds states up to pools (`names`: organs, remainder and, for the bladder, all that was excreted);
    `release_per_h` is each pool's late rate.
    """

    names: tuple[str, ...]
    solution: OdeSolution
    sums: np.ndarray
    release_per_h: np.ndarray

    def pools(self, time_h: float) -> np.ndarray:
        """Return the fraction of the injected ligand in every pool, shape (pools,)."""
        solved_h = min(time_h, HORIZON_H)
        return np.asarray(self.sums @ self.solution(solved_h) * np.exp(-self.release_per_h * (time_h - solved_h)))


@dataclass(frozen=True)
class OdeCourse:
    """The courses of tier 2 for one patient: one solved injection per cycle, 0 is the diagnostic one."""

    solved: tuple[Solved, ...]

    def fractions_at(self, time_h: float, lambda_per_h: float, *, cycle: int) -> dict[str, float]:
        """Return the fraction of the injected activity in each organ, in `remainder` and in `bladder` at `time_h`.

        `lambda_per_h` is the decay constant of the radionuclide; 0 gives decay-corrected fractions.
        """
        solved = self.solved[cycle]
        pools = solved.pools(time_h)
        pools[-1] -= solved.pools(max(time_h - VOIDING_INTERVAL_H, 0.0))[-1]
        found = np.maximum(pools, 0.0) * np.exp(-lambda_per_h * time_h)  # the solver's error may lie below 0
        return dict(zip(solved.names, found.tolist(), strict=True))

    def coefficients_h(self, lambda_per_h: float, *, cycle: int) -> dict[str, float]:
        """Return the integrals of `fractions_at` from 0 to infinity in h; `lambda_per_h` > 0.

        The bladder holds E(t) - E(t - tau) of the excreted E, whose integral is (1 - exp(-l tau)) times that of E.
        """
        solved = self.solved[cycle]
        decayed_h = WEIGHTS_H * np.exp(-lambda_per_h * NODES_H)
        late_h = np.exp(-lambda_per_h * HORIZON_H) / (solved.release_per_h + lambda_per_h)
        found_h = solved.sums @ solved.solution(NODES_H) @ decayed_h + solved.pools(HORIZON_H) * late_h
        found_h[-1] *= -np.expm1(-lambda_per_h * VOIDING_INTERVAL_H)
        return dict(zip(solved.names, found_h.tolist(), strict=True))


def _checked(injection: Injection, organs: Sequence[str]) -> None:
    """Raise SettingsError unless every mass, volume and half-life is a positive number."""
    values = {"tumour_volume_ml": injection.tumour_volume_ml, "egfr_ml_min": injection.egfr_ml_min}
    values |= {f"t_bio_h of {organ}": injection.t_bio_h[organ] for organ in (*organs, REMAINDER)}
    values |= {f"mass_g of {organ}": injection.mass_g[organ] for organ in organs if organ != LESIONS}
    for field, value in values.items():
        if not 0.0 < value < np.inf:
            raise SettingsError(
                "an injection meets an impossible patient", where=Where(field=field), got=value,
                expected="a positive number", code="impossible_value",
            )  # fmt: skip


def _per_organ(chemistry: Chemistry, injection: Injection) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return interstitial water, L; PS, L/h; receptors, nmol; and k_on / v, 1/(nmol h), each of shape (organs,)."""
    rows, names = chemistry.organs.values(), chemistry.organs
    masses_g = {**injection.mass_g, LESIONS: injection.tumour_volume_ml * SOFT_TISSUE_G_PER_ML}
    mass_g = np.array([masses_g[name] for name in names])
    volume_l = mass_g / SOFT_TISSUE_G_PER_ML / ML_PER_L
    capacity = np.array([row.capacity for row in rows])
    density = [injection.receptors[name] * row.density_nmol_per_l for name, row in names.items()]
    water_l = volume_l * [row.interstitial for row in rows]
    ps_l_h = mass_g * [row.ps_ml_per_min_g for row in rows] * L_PER_H_PER_ML_PER_MIN
    return water_l, ps_l_h, capacity * density * volume_l, K_ON_L_PER_NMOL_H / capacity / water_l


def _system(chemistry: Chemistry, injection: Injection) -> tuple[np.ndarray, np.ndarray]:
    """Return the linear rates, 1/h, shape (states, states), and what C x B (fractions) adds per h, shape (organs,).

    States: C, B, I of every organ, plasma, the remainder's interstitium and cells, excreted, released. Every flow
    leaves one state and enters another: columns add up to 0, ligand is conserved.
    """
    water_l, ps_l_h, receptors_nmol, binding = _per_organ(chemistry, injection)
    filtered_l_h = FILTERED_PART * EXCRETED_PART * injection.egfr_ml_min * L_PER_H_PER_ML_PER_MIN
    c, b, i = np.arange(3 * water_l.size).reshape(3, -1)
    plasma, rest, cells, excreted, released = range(3 * water_l.size, 3 * water_l.size + 5)
    rates = np.zeros((released + 1, released + 1))
    rates[c, plasma] = ps_l_h / PLASMA_L
    rates[plasma, c] = ps_l_h / water_l
    rates[b, c] = binding * receptors_nmol
    rates[c, b] = K_ON_L_PER_NMOL_H * chemistry.k_d_nmol_per_l
    rates[i, b] = INTERNALISATION_PER_H
    rates[released, i] = LN2 / np.array([injection.t_bio_h[name] for name in chemistry.organs])
    rates[rest, plasma] = REST_PS_L_PER_H / PLASMA_L
    rates[plasma, rest] = REST_PS_L_PER_H / REST_L
    rates[cells, rest] = chemistry.trapping_l_per_h / REST_L
    rates[released, cells] = LN2 / injection.t_bio_h[REMAINDER]
    rates[excreted, plasma] = filtered_l_h / PLASMA_L
    return rates - np.diag(rates.sum(axis=0)), binding * injection.peptide_ug / chemistry.ug_per_nmol


def _integrated(rates: np.ndarray, occupied_per_h: np.ndarray) -> OdeSolution:
    """Return the states over time from all ligand in plasma; occupied receptors give back `occupied_per_h` C B."""
    organs = occupied_per_h.size
    c, b = np.arange(2 * organs).reshape(2, organs)

    def change(_: float, state: np.ndarray) -> np.ndarray:
        unbound = occupied_per_h * state[c] * state[b]
        flow = rates @ state
        flow[c] += unbound
        flow[b] -= unbound
        return flow

    def jacobian(_: float, state: np.ndarray) -> np.ndarray:
        matrix = rates.copy()
        by_c, by_b = occupied_per_h * state[b], occupied_per_h * state[c]
        matrix[c, c] += by_c
        matrix[c, b] += by_b
        matrix[b, c] -= by_c
        matrix[b, b] -= by_b
        return matrix

    start = np.zeros(len(rates))
    start[3 * organs] = 1.0
    solved = solve_ivp(
        change, (0.0, HORIZON_H), start, method="LSODA", jac=jacobian, dense_output=True,
        rtol=RELATIVE_ERROR, atol=ABSOLUTE_ERROR,
    )  # fmt: skip
    if solved.sol is None or not solved.success:
        raise SettingsError("the kinetics of an injection cannot be solved", got=solved.message, code="no_solution")
    return solved.sol


def _solved(chemistry: Chemistry, injection: Injection) -> Solved:
    """Return one injection's pools over time."""
    names = tuple(chemistry.organs)
    _checked(injection, names)
    organs = len(names)
    solution = _integrated(*_system(chemistry, injection))
    rest = np.zeros((2, 3 * organs + 5))
    rest[0, 3 * organs : 3 * organs + 3] = 1.0
    rest[1, 3 * organs + 3] = 1.0
    held = np.hstack([np.tile(np.eye(organs), 3), np.zeros((organs, 5))])
    release_per_h = np.array([LN2 / injection.t_bio_h[name] for name in (*names, REMAINDER)] + [0.0])
    return Solved((*names, REMAINDER, BLADDER), solution, np.vstack([held, rest]), release_per_h)


def solve_course(ligand: str, injections: Sequence[Injection]) -> OdeCourse:
    """Return the courses of a patient's injections: the diagnostic one first, then the therapy cycles.

    SettingsError when the ligand is unknown, or a mass, volume, eGFR or half-life is not positive.
    """
    if ligand not in CHEMISTRY:
        raise SettingsError("ligand is unknown", got=ligand, expected=sorted(CHEMISTRY), code="unknown_ligand")
    return OdeCourse(tuple(_solved(CHEMISTRY[ligand], injection) for injection in injections))
