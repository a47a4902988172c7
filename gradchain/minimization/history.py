"""The history of a minimization: one row for each step."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.types import Tree

RECORDED = ("value", "grad_norm", "evals")

NO_ROW = jnp.iinfo(jnp.int32).max  # nothing is written there


def record(pages: dict[str, Tree], told: dict[str, Tree], row: jax.Array) -> dict[str, Tree]:
    """The history with one more row."""
    put = lambda page, x: page.at[row].set(x.astype(page.dtype), mode="drop")
    return {k: jax.tree.map(put, page, told[k]) for k, page in pages.items()}
