"""Matrix methods against the trajectories of their authors' code.

Gradients are random numbers, the same at any point: ``origin`` in each file names the code that
made the final weights, in float64.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

FILES = sorted(Path(__file__).parents[2].joinpath("golden", "matrix").glob("*.json"))


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in FILES])
def test_weights_are_those_of_the_authors(file):
    case = json.loads(file.read_text())
    rng = np.random.default_rng(case["seed"])
    draw = lambda: [rng.normal(size=shape) for shape in case["shapes"]]
    with jax.enable_x64(True):
        tx = eval(case["make"], {"gc": gc})
        params = list(map(jnp.asarray, draw()))
        state, update = tx.init(params), jax.jit(tx.update)
        for step in range(1, case["steps"] + 1):
            updates, state = update(list(map(jnp.asarray, draw())), state, params)
            params = gc.apply_updates(params, updates)
            if str(step) in case.get("after", {}):
                close(params, case["after"][str(step)])
        close(params, case["final"])


def close(params, expected):
    for p, x in zip(params, expected, strict=True):
        np.testing.assert_allclose(p, np.asarray(x), rtol=0, atol=1e-6)
