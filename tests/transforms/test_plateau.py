"""The reduction on a plateau, with values that change."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax.contrib
import pytest

import gradchain as gc
from tests.golden import schedules as golden
from tests.transforms.plateau import ReduceOnPlateau

RECORDED = json.loads(golden.FILE.read_text())
G = {"w": np.ones(2)}


def scales(tx, values):
    """The scale that each value leaves behind."""
    g = jax.tree.map(jnp.asarray, G)

    def step(state, value):
        updates, state = tx.update(g, state, value=value)
        return state, updates["w"][0]

    return np.asarray(jax.lax.scan(step, tx.init(g), jnp.asarray(values))[1])


def scales_of_twin(twin, values):
    return [twin.update(G, G, value=value)["w"][0] for value in values]


@pytest.mark.parametrize("case", golden.PLATEAUS, ids=[case.name for case in golden.PLATEAUS])
def test_it_is_that_of_torch(case):
    recorded = np.array(RECORDED[case.name]["values"])
    assert len(set(recorded)) > 2
    with jax.enable_x64(True):
        ours = golden.RATE * scales(case.ours(), [golden.loss(t) for t in range(golden.STEPS)])
    np.testing.assert_allclose(
        ours[:-1], recorded[1:], rtol=1e-12
    )  # theirs is seen before the step


@pytest.mark.parametrize("size", [1, 3])
def test_it_follows_its_twin_and_optax(size):
    values = [golden.loss(t) for t in range(100)]
    arguments = dict(
        factor=0.5,
        patience=2,
        rtol=0.01,
        atol=0.001,
        cooldown=2,
        accumulation_size=size,
        min_scale=0.01,
    )
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        ours = scales(gc.reduce_on_plateau(**arguments), values)
        theirs = scales(
            gc.GradientTransformation(*optax.contrib.reduce_on_plateau(**arguments)), values
        )
    assert len(set(ours)) > 2
    np.testing.assert_allclose(
        ours, scales_of_twin(ReduceOnPlateau(**arguments), values), rtol=1e-12
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("size", [1, 2])
def test_a_value_that_is_not_finite_spoils_its_window_and_no_other(bad, size):
    values = [3.0, 3.0, 2.0, bad, 2.0, 2.0, 1.0, 1.0, bad, 1.0, bad, 1.0]
    arguments = dict(factor=0.5, patience=2, accumulation_size=size)
    ours = scales(gc.reduce_on_plateau(**arguments), values)
    np.testing.assert_allclose(
        ours, scales_of_twin(ReduceOnPlateau(**arguments), values), rtol=1e-6
    )
    assert ours[-1] == (0.125 if size == 1 else 0.5)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("every", [1, 3])
def test_it_looks_at_every_few_values_only(every, size):
    values = [golden.loss(t) if t % every == 0 else math.nan for t in range(100)]
    arguments = dict(factor=0.5, patience=2, cooldown=1, accumulation_size=size, every=every)
    ours = scales(gc.reduce_on_plateau(**arguments), values)
    assert len(set(ours)) > 2
    np.testing.assert_allclose(
        ours, scales_of_twin(ReduceOnPlateau(**arguments), values), rtol=1e-6
    )


def test_negative_values_have_to_fall_too():
    values = [-1.0, -1.00001, -1.00002, -2.0, -3.0]
    assert list(scales(gc.reduce_on_plateau(0.5, patience=2), values)) == [
        1.0,
        1.0,
        0.5,
        0.5,
        0.5,
    ]


def test_its_state_is_scalars():
    state = gc.reduce_on_plateau().init({"w": jnp.zeros((3, 2))})["reduce_on_plateau"]
    assert {x.shape for x in jax.tree.leaves(state)} == {()}


def test_it_asks_for_the_value():
    tx = gc.chain(gc.sgd(0.1), gc.reduce_on_plateau())
    with pytest.raises(TypeError, match=r"'reduce_on_plateau' needs the extra argument 'value'"):
        tx.update(jnp.ones(1), tx.init(jnp.ones(1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(factor=1.0), r"factor must be in \(0, 1\), not 1\.0"),
        (dict(patience=0), r"patience must be 1 or more, not 0"),
        (dict(rtol=-0.1), r"rtol must be 0 or more"),
        (dict(atol=-0.1), r"atol must be 0 or more"),
        (dict(cooldown=-1), r"cooldown must be 0 or more"),
        (dict(accumulation_size=0), r"accumulation_size must be 1 or more"),
        (dict(every=0), r"every must be 1 or more"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        gc.reduce_on_plateau(**arguments).init(jnp.ones(1))
