"""Blocks in most steps, whole matrices now and then."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain.distributed import block_periodic
from tests.laws.samples import assert_close
from tests.support import hlo

AUTO = (jax.sharding.AxisType.Auto,)
MESH = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4], axis_types=AUTO)
SPECS = {"down": P(None, "data"), "up": P("data"), "whole": P()}
G = {
    "down": jax.random.normal(jax.random.key(0), (8, 4)),
    "up": jax.random.normal(jax.random.key(1), (8, 16)),
    "whole": jax.random.normal(jax.random.key(2), (3, 4)),
}
POLAR = gc.orthogonalize("svd")
EVERY = 3


def step_on_devices(tx):
    run = lambda g, s: tx.update(g, s, specs=SPECS)
    return jax.jit(jax.shard_map(run, mesh=MESH, in_specs=(SPECS, P()), out_specs=(SPECS, P())))


def of_blocks():
    """The polar factor of each block."""
    one = lambda x: POLAR.update({"kernel": x}, {})[0]["kernel"]
    return {
        "down": jnp.concatenate([one(x) for x in jnp.split(G["down"], 4, 1)], 1),
        "up": jnp.concatenate([one(x) for x in jnp.split(G["up"], 4)]),
        "whole": one(G["whole"]),
    }


def test_matrices_are_whole_at_every_third_step():
    tx = block_periodic(POLAR, EVERY)
    state, step = tx.init(G), step_on_devices(tx)
    whole, blocks = POLAR.update(G, {})[0], of_blocks()
    for t in range(5):
        updates, state = step(G, state)
        assert_close(updates, blocks if t % EVERY else whole, 1e-5)


def test_blocks_are_updated_without_communication():
    tx = block_periodic(gc.orthogonalize(), EVERY)
    text = step_on_devices(tx).lower(G, tx.init(G)).compile().as_text()
    kinds = ("all-to-all", "all-gather", "all-reduce")
    assert hlo.places(text, *kinds)
    assert set(hlo.places(text, *kinds)) <= hlo.below(text, "conditional")


def test_on_one_device_matrices_are_always_whole():
    tx = block_periodic(POLAR, EVERY)
    state = tx.init(G)
    for _ in range(2):
        updates, state = tx.update(G, state)
        assert_close(updates, POLAR.update(G, {})[0], 1e-6)


def test_a_member_with_a_state_is_refused():
    with pytest.raises(
        ValueError, match=r"block_periodic: the state of a member.*average_updates"
    ):
        block_periodic(gc.scale_by_muon()).init(G)
