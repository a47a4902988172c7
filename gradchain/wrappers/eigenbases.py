"""Factors of matrices, their eigenbases, and what follows these."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.refresh import Parts
from gradchain.core.types import Dtype
from gradchain.numerics import kronecker, matrix_roots
from gradchain.numerics.arithmetic import abs2, ema, in_turn
from gradchain.numerics.polar import adjoint, identity_like, multiply
from gradchain.numerics.roots import root

#: The factor of each side, its basis, and its eigenvalues.
GRAMS = {"rows": kronecker.gram_of_rows, "columns": kronecker.gram_of_columns}
BASES = {"rows": "row_basis", "columns": "column_basis"}
VALUES = {"rows": "row_values", "columns": "column_values"}
_OWN = frozenset((*BASES, *BASES.values()))


def first_bases(factors: Parts) -> Parts:
    """The eigenvectors, one decomposition after the other."""
    made, last = {}, None
    for name, factor in factors.items():
        factor = factor if last is None else in_turn(factor, last)
        last, _ = matrix_roots.eigenbasis(factor)
        made[BASES[name]] = last
    return made


def renewed(
    method: str,
    is_sorted: bool,
    squares: frozenset[str],
    count: jax.Array,
    parts: Parts,
) -> Parts:
    """Bases found anew, and slots that follow them.

    At the first step bases are fresh already, and slots are those of the usual basis.
    """
    made, last = dict(parts), None
    is_first = count == 0
    for name, basis in BASES.items():
        if name not in parts:
            continue
        factor = parts[name] if last is None else in_turn(parts[name], last)
        old, order = parts[basis], None
        if method == "eigh":
            last, _ = matrix_roots.eigenbasis(factor)
        else:
            last, order = matrix_roots.refined_eigenbasis(factor, old, is_sorted)
        made[basis] = last = jnp.where(is_first, old, last)
        before = jnp.where(is_first, identity_like(old), old)
        change = multiply(adjoint(before), last)
        dim = -2 if name == "rows" else -1
        for key in made.keys() - _OWN:
            if key not in squares:
                made[key] = _followed(made[key], change, dim)
            elif order is not None:
                index = jnp.expand_dims(order, -3 - dim)
                moved = jnp.take_along_axis(made[key], index, dim)
                made[key] = jnp.where(is_first, made[key], moved)
    return made


def _followed(x: jax.Array, change: jax.Array, dim: int) -> jax.Array:
    """Matrices after a change of the basis of a dimension."""
    return multiply(adjoint(change), x) if dim == -2 else multiply(x, change)


def grams_of(x: jax.Array, old: Parts, count: jax.Array) -> Parts:
    """New parts of factors: products of matrices with themselves.

    If there are eigenvalues, what is known of the other side is divided out before.
    """
    if not any(name in old for name in VALUES.values()):
        return {k: GRAMS[k](x) for k in GRAMS if k in old}
    root = {k: _first_one(old.get(name), count, x.real.dtype) for k, name in VALUES.items()}
    low = {k: old.get(name) for k, name in BASES.items()}
    half = {
        "rows": kronecker.to_basis(x, None, low["columns"]) / root["columns"][:, None, :],
        "columns": kronecker.to_basis(x, low["rows"], None) / root["rows"][:, :, None],
    }
    length = {"rows": x.shape[-1], "columns": x.shape[-2]}
    return {k: GRAMS[k](half[k]) / length[k] for k in GRAMS if k in old}


def _first_one(values: jax.Array | None, count: jax.Array, dtype: Dtype) -> jax.Array:
    """The roots of eigenvalues; 1 at first, or without any."""
    if values is None:
        return jnp.ones((1, 1), dtype)
    return jnp.where(count == 0, 1.0, root(values))


def values_of(x: jax.Array, old: Parts, decay: Any, count: jax.Array) -> Parts:
    """The eigenvalues after a step, from squares in the bases.

    There are none if none are kept. Their inverse roots are bounded: by the length of the side,
    between 10 and 4000.
    """
    kept = {k: old[name] for k, name in VALUES.items() if name in old}
    if not kept:
        return {}
    squares = abs2(kronecker.to_basis(x, *(old.get(name) for name in BASES.values())))
    made = {}
    for side, values in kept.items():
        other = "columns" if side == "rows" else "rows"
        dim = -1 if side == "rows" else -2
        weights = jnp.expand_dims(kept[other], -3 - dim) if other in kept else 1.0
        new = ema(jnp.mean(squares / weights, dim), values, decay)
        most = max(10, min(values.shape[-1], 4000))
        made[VALUES[side]] = jnp.where(count == 0, values, jnp.maximum(new, 1 / most / most))
    return made


def staleness(parts: Parts) -> jax.Array:
    """The factors' share off the diagonal, on the worse side."""
    shares = [
        matrix_roots.off_diagonal_share(parts[name], parts[basis])
        for name, basis in BASES.items()
        if name in parts
    ]
    return functools.reduce(jnp.maximum, shares)
