"""Decompositions end, and show what is not finite."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradchain.numerics import decompositions

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("svd", "svdvals", "eigh", "eigvalsh", "qr", "triangle", "qdwh")
#: In a process of its own, since what never ends cannot be stopped in this one.
PROGRAM = f"""
import jax, jax.numpy as jnp
from gradchain.numerics import decompositions

infinite = (jnp.ones((4, 4)) + jnp.eye(4)).at[1, 1].set(jnp.inf)
for name in {FUNCTIONS}:
    made = jax.tree.leaves(getattr(decompositions, name)(infinite))
    print(name, all(bool(jnp.isnan(x).any()) for x in made))
"""


def test_none_seeks_the_values_of_an_infinite_matrix_for_ever():
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        timeout=60,
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.splitlines() == [f"{name} True" for name in FUNCTIONS]


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "qdwh"])
def test_each_matrix_of_a_batch_stands_for_itself(name):
    fine = jnp.array([[3.0, 1.0], [1.0, 2.0]])
    bad = fine.at[0, 0].set(jnp.inf)
    function = getattr(decompositions, name)
    alone = jax.tree.leaves(function(fine))
    for x, expected in zip(jax.tree.leaves(function(jnp.stack([bad, fine]))), alone, strict=True):
        np.testing.assert_allclose(x[1], expected, rtol=1e-6)
