"""Tests of multipliers beside the laws."""

import jax
import jax.numpy as jnp

import gradchain as gc
from tests.support.runs import once

LAYERS = {
    "embed": {"table": 1.0},
    "layers_0": {"kernel": 1.0},
    "layers_1": {"kernel": 1.0},
    "layers_11": {"kernel": 1.0},
    "head": {"kernel": 1.0},
}


def factors(tx):
    tree = jax.tree.map(jnp.float32, LAYERS)
    return {k: float(*jax.tree.leaves(v)) for k, v in once(tx, tree).items()}


def test_depths_come_from_paths_globs_or_a_function():
    found = factors(gc.layerwise_decay(0.5))
    assert found == {
        "embed": 1.0,
        "layers_0": 0.5**11,
        "layers_1": 0.5**10,
        "layers_11": 1.0,
        "head": 1.0,
    }
    found = factors(gc.layerwise_decay(0.5, {"embed/*": -1}, last=12))
    assert found == {
        "embed": 0.5**13,
        "layers_0": 0.5**12,
        "layers_1": 0.5**11,
        "layers_11": 0.5,
        "head": 1.0,
    }
    found = factors(gc.layerwise_decay(0.5, lambda path: 0 if "layers" in path else 1))
    assert found == {
        "embed": 1.0,
        "layers_0": 0.5,
        "layers_1": 0.5,
        "layers_11": 0.5,
        "head": 1.0,
    }


def test_the_longest_glob_that_matches_gives_the_factor():
    found = factors(gc.scale_by_path({"layers_1/*": 2.0, "layers_*": 3.0}, 0.5))
    assert found == {
        "embed": 0.5,
        "layers_0": 3.0,
        "layers_1": 2.0,
        "layers_11": 3.0,
        "head": 0.5,
    }
