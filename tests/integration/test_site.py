"""What the site does beside its text: how its examples run, and how its tables read."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from docutils.core import publish_doctree

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import fresh_jax  # noqa: E402 - they lie beside the pages
import tables  # noqa: E402


def test_an_example_does_not_change_jax_for_the_next():
    assert "fresh_jax.restore" in (DOCS / "conf.py").read_text()
    before = jax.config.values["jax_enable_x64"]
    try:
        jax.config.update("jax_enable_x64", not before)
        fresh_jax.restore({}, "the next")
        assert jax.config.values["jax_enable_x64"] == before
        assert (jnp.ones(()).dtype == jnp.float64) == before
    finally:
        jax.config.update("jax_enable_x64", before)


WIDE = """
==== ========= =====
name gradchain optax
==== ========= =====
Adam adam      adam
Muon           muon
==== ========= =====
"""


def test_a_cell_of_a_wide_table_names_its_column():
    page = publish_doctree(WIDE)
    tables.name_columns(None, page, "page")
    rows = [row.astext().split("\n\n") for row in page.findall(tables.nodes.row)]
    assert rows == [
        ["name", "gradchain", "optax"],
        ["Adam", "gradchain: adam", "optax: adam"],
        ["Muon", "", "optax: muon"],
    ]


def test_a_pair_of_columns_stays_as_it_is():
    page = publish_doctree("== ==\na  b\n== ==\n1  2\n== ==\n")
    before = page.astext()
    tables.name_columns(None, page, "page")
    assert page.astext() == before
