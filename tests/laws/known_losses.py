"""Losses in JAX, and their slopes and curvature written out in NumPy.

The loss is the sum of sqrt(1 + |p|^2); the residuals are p sqrt(1 + |p|^2).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.twins import Tree, square


def bowl_value(p: Tree) -> float:
    return float(sum(np.sum(np.sqrt(1 + square(x))) for x in p.values()))


def bowl_curvature(x: np.ndarray) -> tuple:
    r = np.sqrt(1 + square(x))
    return 1 / r**3, 1 / r


def residual_curvature(x: np.ndarray) -> tuple:
    r = np.sqrt(1 + square(x))
    return (r + square(x) / r) ** 2, r**2


def along_and_across(x: np.ndarray, v: np.ndarray, along: Any, across: Any) -> np.ndarray:
    """The two parts of ``v``, each times its number."""
    if x.dtype.kind != "c":
        return along * v
    unit = x / np.abs(x)
    part = unit * (unit.conj() * v).real
    return along * part + across * (v - part)


def uphill(p: Tree) -> Tree:
    """The gradient of the loss; of a complex parameter its conjugate cogradient, which points
    uphill.
    """
    return {k: x / np.sqrt(1 + square(x)) for k, x in p.items()}


def residuals(params):
    """p sqrt(1 + |p|^2)"""
    return jax.tree.map(lambda x: x * jnp.sqrt(1 + gc.numerics.abs2(x)).astype(x.dtype), params)


def bowl(params):
    """sum(sqrt(1 + |p|^2)); of all shards where the parameters are split."""
    roots = [
        gc.numerics.total(jnp.sqrt(1 + gc.numerics.abs2(x))) for x in jax.tree.leaves(params)
    ]
    return sum(roots, jnp.zeros((), jnp.result_type(*roots) if roots else None))
