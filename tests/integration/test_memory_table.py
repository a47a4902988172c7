"""The table of the memory that recipes take is what ``estimate`` says."""

import sys
from pathlib import Path

import pytest

from gradchain.inspection import estimate, transformer_shapes

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import memory  # noqa: E402


@pytest.mark.parametrize("name", ["`adamw`", "`master_weights(adamw)`"])
def test_a_row_says_what_fits(name, monkeypatch):
    monkeypatch.setattr(memory, "RECIPES", {name: memory.RECIPES[name]})
    *_, row = memory.memory().splitlines()
    _, first, dtype, state, held, transient, *fits, _ = (cell.strip() for cell in row.split("|"))
    assert (first, dtype) == (name, memory.RECIPES[name][0])
    assert float(held) == 16.0 and float(transient) < 0.01
    assert float(state) == (8.0 if dtype == "float32" else 12.0)
    for gib, fit in zip(memory.CARDS, fits, strict=True):
        shapes = transformer_shapes(float(fit) * 1e9, dtype)
        found = estimate(memory.RECIPES[name][1](), shapes).peak_bytes / 2**30
        assert found == pytest.approx(gib, rel=0.1)


def test_the_page_takes_the_table_in():
    assert "{include} generated/memory.md" in (DOCS / "inspection.md").read_text()


def test_each_recipe_is_named_by_what_it_is():
    for name, (dtype, make) in memory.RECIPES.items():
        outer = name.strip("`").split("(")[0]
        assert make().factory.name == outer and dtype in ("float32", "bfloat16")
