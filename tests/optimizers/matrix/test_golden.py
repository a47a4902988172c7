"""Fifty steps in float64 end where other implementations of matrix methods, recorded, end.

Each file in ``tests/golden/matrix`` is one trajectory: ``origin`` says who made it and with which
settings, ``make`` is ours, ``shapes`` and ``seed`` give the weights and the gradients, and
``early`` and ``final`` are the weights after some steps and after all; ``value_fn`` is the loss, of
those that ask for it. A ``tolerance`` above 1e-6 needs a ``deviation``, which says why.
"""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests import golden

FILES = sorted((Path(golden.__file__).parent / "matrix").glob("*.json"))


def drawn(shapes, seed, steps):
    """The weights at the start, and the gradients of each step."""
    rng = np.random.default_rng(seed)
    draw = lambda: [rng.standard_normal(shape) for shape in shapes]
    return draw(), [draw() for _ in range(steps)]


def as_tree(arrays):
    return {f"layer_{i}": {"kernel": jnp.asarray(x)} for i, x in enumerate(arrays)}


@pytest.mark.rotated(2)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_follows_the_recorded_trajectory(file):
    recorded = json.loads(file.read_text())
    tolerance = recorded.get("tolerance", 1e-6)
    assert recorded["origin"]
    assert tolerance <= 1e-6 or recorded["deviation"]
    steps = recorded["steps"]
    expected = {**recorded.get("early", {}), str(steps): recorded["final"]}
    weights, gradients = drawn(recorded["shapes"], recorded["seed"], steps)
    with jax.enable_x64(True):
        tx = eval(recorded["make"], {"gc": gc})
        params = as_tree(weights)
        state = tx.init(params)
        loss = recorded.get("value_fn")
        extra = {"value_fn": eval(loss, {"jax": jax, "jnp": jnp})} if loss else {}
        step = jax.jit(partial(tx.step, **extra))
        for t, g in enumerate(gradients, start=1):
            params, state = step(as_tree(g), state, params)
            for i, theirs in enumerate(expected.get(str(t), [])):
                ours = np.asarray(params[f"layer_{i}"]["kernel"])
                error = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
                assert error <= tolerance, f"step {t}, matrix {i}: {error:.1e}"
