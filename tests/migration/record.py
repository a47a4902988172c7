"""Record the numbers of the other side: ``python -m tests.migration.record pytorch keras``.

Needs the library that it records; the tests need only the JSON files that this writes.
"""

import importlib
import json
import sys

import jax

from tests.migration.case import HERE


def record(library: str) -> None:
    rows = importlib.import_module(f"tests.migration.{library}_rows").ROWS
    there = importlib.import_module(f"tests.migration.{library}_loops")
    found = {row.theirs: there.numbers(row) for row in rows if row.ours}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(x)}" for name, x in found.items())
    text = f'{{"origin": {json.dumps(there.origin())}, "rows": {{\n{lines}\n}}}}\n'
    (HERE / f"{library}.json").write_text(text)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for name in sys.argv[1:]:
        record(name)
