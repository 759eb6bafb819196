"""The one entrance of all steps: arguments from the rule's shell line, faults as one sentence and an exit code."""

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from theradose.cohort.truth_folder import keep_out
from theradose.errors import TheradoseError, storage_error

MAY_OPEN_TRUTH = frozenset({"simulate", "limit", "evaluate", "evaluate_labels"})
"""The steps that write the planted truth of virtual patients or judge by it."""


def arguments(
    text: str,
    *,
    paths: Sequence[str] = (),
    lists: Sequence[str] = (),
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> argparse.ArgumentParser:
    """Return the parser of a step: `--name` for each path, list of paths, text (settings as JSON) and whole number."""
    parser = argparse.ArgumentParser(description=text)
    kinds: list[tuple[Sequence[str], dict[str, object]]] = [
        (paths, {"type": Path}),
        (lists, {"type": Path, "nargs": "+"}),
        (texts, {"type": str}),
        (numbers, {"type": int}),
    ]
    for names, kind in kinds:
        for name in names:
            flag = "--" + name.replace("_", "-")
            parser.add_argument(flag, dest=name, required=name not in optional, default=None, **kind)  # type: ignore[arg-type]
    return parser


def start(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None]) -> None:
    """Run a step with its arguments; a known fault ends with its sentence and code instead of a traceback.

    Only the steps of MAY_OPEN_TRUTH, known by the file of `run`, can open the planted truth.
    """
    step = Path(inspect.getfile(run)).stem
    if step not in MAY_OPEN_TRUTH:
        keep_out(step)
    chosen = parser.parse_args()
    try:
        run(chosen)
    except TheradoseError as error:
        refused = error
    except OSError as error:
        refused = storage_error(error)
    else:
        return
    sys.stderr.write(f"ERROR {refused}\n")
    sys.exit(refused.exit_code)
