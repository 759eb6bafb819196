"""Time-activity curves against what physics allows: what cannot be is flagged, kept, and never learned from."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from theradose.imaging.plausible import HIGHEST_PART
from theradose.physics.decay import decay_constant_per_h, decay_factor
from theradose.vocabulary import IMPOSSIBLE_ACTIVITY, IMPOSSIBLE_HALF_LIFE, IMPOSSIBLE_SUM, IMPOSSIBLE_TIA

ROUNDING = 1e-9
CURVE, SCAN = ["patient", "cycle", "voi"], ["patient", "cycle", "time_h"]


def longest_tiac_h(half_life_h: float) -> float:
    """Return the TIA per administered activity (h) when all of it stays for ever: T/ln 2.

    >>> round(longest_tiac_h(159.528), 2)   # Lu-177
    230.15
    """
    return 1.0 / decay_constant_per_h(half_life_h)


def _keys(table: pd.DataFrame, names: list[str]) -> list[tuple[Any, ...]]:
    """Return some columns of a table as one tuple a row."""
    return list(table[names].itertuples(index=False, name=None))


def _crowded(tac: pd.DataFrame, parts: list[float]) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """Return curves (patient, cycle, VOI) that hold too much alone, and cycles whose other VOIs do so together."""
    alone = {curve for curve, part in zip(_keys(tac, CURVE), parts, strict=True) if part > HIGHEST_PART}
    together: dict[tuple[Any, ...], float] = {}
    for curve, scan, part in zip(_keys(tac, CURVE), _keys(tac, SCAN), parts, strict=True):
        together[scan] = together.get(scan, 0.0) + (0.0 if curve in alone else part)
    return alone, {scan[:2] for scan, part in together.items() if part > HIGHEST_PART}


def with_impossible(
    tiac: pd.DataFrame, tac: pd.DataFrame, administered_mbq: Mapping[str, float], half_life_h: float
) -> pd.DataFrame:
    """Return the kinetics table (schema TIAC) with flags on what physics does not allow; numbers stay as they are.

    A TIA per activity above T/ln 2, an effective half-life above T (h), a VOI with more than 105 % of the decayed
    administered activity (MBq, by patient) at a scan; all VOIs of a scan that hold more together, those aside that do
    so alone. `tac` has the schema TAC.
    """
    points = zip(tac["patient"], tac["time_h"], tac["activity_mbq"], strict=True)
    alone, crowded = _crowded(tac, [mbq / administered_mbq[p] / decay_factor(half_life_h, t) for p, t, mbq in points])
    flags = []
    for curve, row in zip(_keys(tiac, CURVE), tiac.to_dict("records"), strict=True):
        raised = {
            IMPOSSIBLE_TIA: row["tiac_h"] > longest_tiac_h(half_life_h),
            IMPOSSIBLE_HALF_LIFE: row["t_eff_h"] > half_life_h * (1.0 + ROUNDING),
            IMPOSSIBLE_ACTIVITY: curve in alone,
            IMPOSSIBLE_SUM: curve not in alone and curve[:2] in crowded,
        }
        flags.append(";".join(filter(None, (row["flags"], *(name for name, is_so in raised.items() if is_so)))))
    return tiac.assign(flags=flags)
