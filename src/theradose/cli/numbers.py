"""Options that take several numbers, written one after another: `--time-h 4 24 72 168`.

The parser knows such an option only as one that is repeated (`--time-h 4 --time-h 24`). A command of this class accepts
both: declare the option as a list of numbers, and give the class where the verb is wired.

    def fit(*, time_h: Annotated[list[float], typer.Option("--time-h", help="Hours after injection.")]) -> None: ...

    app.command("fit", cls=NumbersCommand)(fit)

Negative numbers and `--time-h=4 24` work too; such a verb takes no plain number as argument right behind the list.
"""

from collections.abc import Collection, Sequence
from typing import Any

from typer.core import TyperCommand


def _is_number(word: str) -> bool:
    """Tell whether a word of the command line is a number rather than an option or a name."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def repeated(words: Sequence[str], options: Collection[str]) -> list[str]:
    """Return the words with each of `options` written before every number that follows it.

    >>> repeated(["--time-h", "4", "24", "--json"], {"--time-h"})
    ['--time-h', '4', '--time-h', '24', '--json']
    """
    spread: list[str] = []
    option, waits = "", False  # the option whose numbers are being read; whether it still waits for its first value
    for word in words:
        if option and _is_number(word):
            spread += [option, word]
            waits = False
            continue
        # Left without a number, the option goes on as it was written and the parser says what is wrong.
        spread += [option] if waits else []
        name, equals, value = word.partition("=")
        option, waits = (name, not equals) if name in options else ("", False)
        spread += [] if waits else [name, value] if option else [word]
    return spread + ([option] if waits else [])


class NumbersCommand(TyperCommand):
    """A command whose options of type list take their values one after another."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write lists of values the way the parser knows, then parse."""
        lists = {name for parameter in self.params if getattr(parameter, "multiple", False) for name in parameter.opts}
        return super().parse_args(ctx, repeated(args, lists))
