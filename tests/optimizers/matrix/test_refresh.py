"""Each method that renews costly factors takes a schedule for when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES

SHAPES = {"a": (6, 4), "b": (4, 6), "c": (5, 5), "d": (2, 4, 6)}
OPTIONS = {"scale_by_shampoo": {"block_size": 4}, "in_eigenbasis": {"inner": gc.scale_by_adam()}}
METHODS = sorted(
    name
    for name, factory in FACTORIES.items()
    if {"refresh", "where"} <= factory.kinds.keys()
    and (name in OPTIONS or name.startswith("scale_by_"))
)


def trajectory(name: str, steps: object, staggered: bool):
    """The updates of 12 steps."""
    refresh = gc.refresh.every(steps, staggered=staggered)
    tx = getattr(gc, name)(refresh=refresh, where="*", **OPTIONS.get(name, {}))
    rng = np.random.default_rng(0)
    params = {k: jnp.asarray(rng.normal(size=v), jnp.float32) for k, v in SHAPES.items()}
    state, update, made = tx.init(params), jax.jit(tx.update), []
    for _ in range(12):
        g = {k: jnp.asarray(rng.normal(size=v), jnp.float32) for k, v in SHAPES.items()}
        u, state = update(g, state, params)
        made.append(u)
    return made


@pytest.mark.rotated(2)
@pytest.mark.parametrize("name", METHODS)
def test_a_constant_schedule_is_its_number(name):
    number = trajectory(name, 3, False)
    jax.tree.map(np.testing.assert_array_equal, number, trajectory(name, lambda t: 3, False))


@pytest.mark.rotated(2)
@pytest.mark.parametrize("name", METHODS)
def test_a_staggered_schedule_runs(name):
    made = trajectory(name, gc.linear_schedule(1, 4, 10), True)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(made))


def test_a_rule_on_whole_trees_refuses_a_schedule():
    p = jnp.ones((2, 2))
    tx = gc.scale_by_psgd_lra(refresh=gc.refresh.every(lambda t: 3))
    with pytest.raises(TypeError, match=r"follows a schedule.*take every\(n\) of a number"):
        tx.update(p, tx.init(p), p)
