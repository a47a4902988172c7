"""Rounding by chance on several devices: each shard by chances of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc

SPECS = {"split": P("a"), "whole": P()}
SHIFT = 0.25 * 2.0**-7  # a quarter of the way from 1 to the next bfloat16: one in four is above


def on_eight(function, specs=SPECS, *, check_vma=True):
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    return jax.jit(
        jax.shard_map(
            function, mesh=mesh, in_specs=(specs,), out_specs=specs, check_vma=check_vma
        )
    )


def rounded_weights(g):
    tx, params = gc.stochastic_rounding(gc.scale(1.0)), jax.tree.map(jnp.ones_like, g)
    return tx.step(g, tx.init(params), params)[0]


def rounded_slots(g):
    tx = gc.storage(gc.average_updates(0.0, debias=False), "bfloat16", stochastic=True)
    g = jax.tree.map(lambda x: 1.0 + x.astype(jnp.float32), g)
    _, state = tx.update(g, tx.init(g))
    (kept,) = state["storage"]["inner"].values()
    return next(v for k, v in kept.items() if k != "count")


@pytest.mark.parametrize("rounded", [rounded_weights, rounded_slots], ids=["weights", "slots"])
def test_shards_round_by_chances_of_their_own(rounded):
    g = {
        "split": jnp.full((8, 512), SHIFT, jnp.bfloat16),
        "whole": jnp.full(64, SHIFT, jnp.bfloat16),
    }
    found = on_eight(rounded)(g)
    above = np.asarray(found["split"], np.float32) > 1
    assert abs(np.mean(above) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / above.size)
    alike = np.mean(above[:, None] == above[None], axis=-1)  # of independent ones 0.625
    assert np.max(alike - np.eye(8)) < 0.75
    # What devices have in common is alike on all, as on one.
    np.testing.assert_array_equal(found["whole"], rounded(g)["whole"])


def test_chances_are_refused_where_shards_are_not_known():
    with pytest.raises(ValueError, match=r"noise the same on each.*check_vma=True"):
        on_eight(rounded_weights, check_vma=False)(
            {
                "split": jnp.ones((8, 4), jnp.bfloat16),
                "whole": jnp.ones(3, jnp.bfloat16),
            }
        )
