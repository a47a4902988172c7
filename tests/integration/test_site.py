"""What the site does beside its text: how its examples run."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import fresh_jax  # noqa: E402 - they lie beside the pages


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
