"""Options that take several numbers."""

import json
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from theradose.cli.numbers import NumbersCommand, repeated

app = typer.Typer()


@app.command(cls=NumbersCommand)
def show(
    name: Annotated[str, typer.Argument()] = "nobody",
    *,
    time_h: Annotated[list[float], typer.Option("--time-h")],
    shape: Annotated[list[int] | None, typer.Option("--shape")] = None,
    model: Annotated[str, typer.Option()] = "auto",
) -> None:
    typer.echo(json.dumps([name, time_h, shape, model]))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--time-h 4 24 72 168", ["nobody", [4, 24, 72, 168], None, "auto"]),
        ("--time-h 4 --time-h 24", ["nobody", [4, 24], None, "auto"]),
        ("--time-h=4 24 --model mono", ["nobody", [4, 24], None, "mono"]),
        ("--time-h -1 2.5e1 --shape 3 4 5 anna", ["anna", [-1, 25], [3, 4, 5], "auto"]),
        ("--model 7 --time-h 1", ["nobody", [1], None, "7"]),
    ],
)
def test_numbers_follow_their_option(words, expected):
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize("words", ["--time-h", "--time-h four", "--time-h --model mono", "--time-h 1 --shape 1.5", ""])
def test_nonsense_is_refused_in_words(words):
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2
    assert "Error" in done.output
    assert "Traceback" not in done.output


def test_words_of_other_options_are_left_alone():
    assert repeated(["--std", "1", "2"], {"--time-h"}) == ["--std", "1", "2"]
