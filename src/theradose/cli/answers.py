"""What a verb prints for programs and for people: one JSON object or lines, and a refusal in the same form."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from theradose.errors import EXIT_REFUSED, TheradoseError
from theradose.vocabulary import RESEARCH_USE_ONLY


@contextmanager
def refusal(as_json: bool) -> Iterator[None]:
    """With `--json` print a refused request as {"refused": code, "reason": sentence} and end with code 2."""
    try:
        yield
    except TheradoseError as error:
        if not as_json or error.exit_code != EXIT_REFUSED:
            raise
        print(json.dumps({"refused": getattr(error, "reason", error.code), "reason": str(error)}))
        raise typer.Exit(EXIT_REFUSED) from error


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: what is missing or not finite is null."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def answer(report: dict[str, Any], as_json: bool, lines: Sequence[str]) -> None:
    """Print the report as JSON, or its lines for people below the notice."""
    if as_json:
        print(json.dumps(plain({**report, "notice": RESEARCH_USE_ONLY}), indent=2, allow_nan=False))
    else:
        print("\n".join([RESEARCH_USE_ONLY, *lines]))
