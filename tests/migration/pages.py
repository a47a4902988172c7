"""Write the tables of rows into the pages: ``python -m tests.migration.pages``."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.migration import keras_rows, pytorch_rows
from tests.migration.case import Row

DOCS = Path(__file__).parents[2] / "docs"
HEADS = {"pytorch": "in PyTorch", "keras": "in Keras"}
TABLE = re.compile(r"(<!-- rows: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(library: str) -> Path:
    return DOCS / f"coming_from_{library}.md"


def code(text: str) -> str:
    """A cell of code; a bar would end it."""
    return f"`{text}`".replace("|", "\\|") if text else "none"


def table(rows: Sequence[Row], head: str) -> str:
    lines = [f"| {head} | in gradchain | what differs |", "|---|---|---|"]
    lines += [f"| {code(r.theirs)} | {code(r.ours)} | {r.differs or 'nothing'} |" for r in rows]
    return "\n".join(lines) + "\n"


def with_tables(text: str, rows: Sequence[Row]) -> str:
    """The page with the tables that its marks ask for; every row has to have a place."""
    named = {match[2] for match in TABLE.finditer(text)}
    assert named == {row.table for row in rows}, named ^ {row.table for row in rows}
    head = HEADS["keras" if rows is keras_rows.ROWS else "pytorch"]

    def fill(match: re.Match) -> str:
        return match[1] + table([r for r in rows if r.table == match[2]], head) + match[3]

    return TABLE.sub(fill, text)


if __name__ == "__main__":
    for library, rows in (("pytorch", pytorch_rows.ROWS), ("keras", keras_rows.ROWS)):
        path = page(library)
        path.write_text(with_tables(path.read_text(), rows))
