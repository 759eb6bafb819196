"""Text of a header in a message: what numbers and times are made of is shown; anything else may be of a name."""

import re
from collections.abc import Iterable

OTHER = re.compile(r"[^0-9.:+\-T eE]")
LONGEST = 40


def quoted(value: object) -> str | None:
    """Return a header's value, `?` for each character that neither numbers nor times hold; None stays None.

    >>> quoted("20240110 11:30"), quoted("DOE^1950"), quoted([1.5, None])
    ('20240110 11:30', '??E?1950', '1.5 ???e')
    """
    if value is None:
        return None
    many = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return OTHER.sub("?", " ".join(map(str, value)) if many else str(value))[:LONGEST]  # type: ignore[call-overload]
