"""Blocks that wait rest, have no state, and all are trained in the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.inspection import estimate

DEPTH = 8
LAYERS = {"bias": jnp.zeros((DEPTH, 4)), "kernel": jnp.ones((DEPTH, 16, 4))}


def size(tree):
    return sum(x.nbytes for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("blocks", [1, 2, 4, 8])
def test_bytes_are_those_of_one_block(blocks):
    tx = gc.block_training(gc.adam(1e-3), blocks)
    state = tx.init(LAYERS)
    numbers = sum(x.size for x in jax.tree.leaves(LAYERS))
    clocks = 3 * 4  # its own, that of Adam, that of the rate
    assert size(state) == 8 * numbers // blocks + clocks
    assert gc.describe(tx, LAYERS).total_bytes == size(state)
    after = tx.update(LAYERS, state, LAYERS)[1]
    assert size(after) == size(state)


def test_bytes_of_a_last_block_that_reaches_back():
    state = gc.block_training(gc.add_momentum(0.9), 3).init(jnp.ones((8, 5)))
    assert size(state) == 3 * 5 * 4 + 4


def test_peak_falls_with_the_state():
    shapes = jax.eval_shape(lambda: {"w": jnp.zeros((32, 128, 128))})
    usual = estimate(gc.adamw(1e-3), shapes)
    found = estimate(gc.block_training(gc.adamw(1e-3), 32), shapes)
    assert found.state_bytes == usual.parameter_bytes * 2 // 32 + 12
    assert found.peak_bytes < usual.peak_bytes - 1.5 * usual.parameter_bytes


@pytest.mark.parametrize("every", [1, 3])
def test_blocks_that_wait_rest(every):
    tx = gc.block_training(gc.adamw(1e-2), 4, every)
    params, state, step = LAYERS, tx.init(LAYERS), jax.jit(tx.step)
    for t in range(4 * every + 1):
        old, grads = params, jax.tree.map(jnp.ones_like, params)
        params, state = step(grads, state, params)
        moved = {
            k: np.any(np.asarray(params[k] != old[k]), axis=(1, 2)[: old[k].ndim - 1])
            for k in old
        }
        expected = np.arange(DEPTH) // 2 == t // every % 4
        for flags in moved.values():
            np.testing.assert_array_equal(flags, expected)


def test_a_block_starts_anew():
    tx = gc.block_training(gc.scale_by_adam(), 2, every=3)
    state = tx.init(LAYERS)
    for t in range(7):
        _, state = tx.update(jax.tree.map(jnp.ones_like, LAYERS), state, LAYERS)
        assert state["block_training"]["inner"]["scale_by_adam"]["count"] == t % 3 + 1


def layers_loss(layers, x, y):
    forward = lambda x, p: (x + jnp.tanh(x @ p["up"]) @ p["down"], None)
    return jnp.mean((jax.lax.scan(forward, x, layers)[0] - y) ** 2)


def test_it_trains_a_scanned_model_and_groups_the_rest():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "layers": {
            "up": jax.random.normal(keys[0], (4, 8, 8)) / 3,
            "down": jax.random.normal(keys[1], (4, 8, 8)) / 9,
        },
        "scale": jnp.ones(8),
    }
    x, y = jax.random.normal(keys[2], (32, 8)), jax.random.normal(keys[3], (32, 8))
    loss_fn = lambda p: layers_loss(p["layers"], x, y * p["scale"][None])
    in_blocks = gc.block_training(gc.storage(gc.adamw(1e-2), "bfloat16"), 4, every=10)
    tx = gc.groups([("layers/*", in_blocks)], default=gc.sgd(1e-3))

    @jax.jit
    def step(params, state):
        loss, grads = jax.value_and_grad(loss_fn)(params)
        return *tx.step(grads, state, params), loss

    state, losses, start = tx.init(params), [], params
    for _ in range(120):
        params, state, loss = step(params, state)
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
    moved = jax.tree.map(lambda a, b: bool(jnp.all(jnp.any(a != b, -1))), params, start)
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("codec", ["bfloat16", "int8"])
def test_storage_around_it_keeps_the_state_of_one_block(codec):
    tx = gc.storage(gc.block_training(gc.adam(1e-2), 4, every=2), codec, least_size=1)
    state, params, step = tx.init(LAYERS), LAYERS, jax.jit(tx.step)
    before = size(state)
    for _ in range(5):
        params, state = step(jax.tree.map(jnp.ones_like, params), state, params)
    assert size(state) == before < 0.6 * size(gc.block_training(gc.adam(1e-2), 4).init(LAYERS))
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(params))


def test_parameters_that_the_inner_state_copies_are_those_of_the_block():
    tx = gc.block_training(gc.lookahead(gc.sgd(1.0), 2), 2, every=2)
    params = jnp.arange(4.0)
    state = tx.init(params)
    for _ in range(3):
        params, state = tx.step(jnp.zeros(4), state, params)
    slow = state["block_training"]["inner"]["lookahead"]["slow_params"]
    np.testing.assert_array_equal(slow, [2.0, 3.0])
    np.testing.assert_array_equal(params, jnp.arange(4.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(blocks=0), "block_training: blocks must be 1 or more, not 0"),
        (dict(blocks=2, every=0), "block_training: every must be 1 or more, not 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gc.block_training(gc.adam(1e-3), **arguments)


def test_blocks_in_blocks_are_refused():
    tx = gc.chain(gc.clip(1.0), gc.block_training(gc.adam(1e-3), 2))
    with pytest.raises(ValueError, match=r"block_training: there is another .* multiply"):
        gc.block_training(tx, 3).init(LAYERS)
