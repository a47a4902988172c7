"""Values, sizes and tables as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from gradchain.core.call import Call


def short(x: object, width: int = 60) -> str:
    """A value as one line of text.

    It has no addresses, and is cut where it is longer than ``width``.
    """
    if callable(x) and not isinstance(x, Call):
        text = getattr(x, "__qualname__", type(x).__qualname__).replace(
            "<locals>.",
            "",
        )
    else:
        text = re.sub(
            r" at 0x[0-9a-f]+",
            "",
            " ".join(repr(x).split()),
        )
    return text if len(text) <= width else f"{text[: width - 3]}..."


def table(
    header: Sequence[str], rows: Iterable[tuple[str, ...] | str], right: tuple[int, ...] = ()
) -> str:
    """Rows as aligned lines; a string is its own line."""
    lines = [tuple(header), *rows]
    cells = [row for row in lines if not isinstance(row, str)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]

    def line(row: tuple[str, ...] | str) -> str:
        if isinstance(row, str):
            return row
        pairs = enumerate(zip(row, widths, strict=True))
        align = lambda i, x, width: x.rjust(width) if i in right else x.ljust(width)
        return "  ".join(align(i, *pair) for i, pair in pairs)

    return "\n".join(line(row).rstrip() for row in lines)


def size_text(count: int) -> str:
    """A number of bytes: ``4.0 MiB``."""
    power = (
        min(
            int(math.log2(count)) // 10,
            5,
        )
        if count
        else 0
    )
    return f"{count / 1024**power:.1f} {' KMGTP'[power]}iB" if power else f"{count} B"


def counted(count: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many}"


def examples(paths: Sequence[str]) -> str:
    """The first two of several paths."""
    more = f", ... {len(paths) - 2} more" if len(paths) > 2 else ""
    return ", ".join(paths[:2]) + more
