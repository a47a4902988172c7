"""The laws of several devices: splitting the leaves over 8 of them, simulated, gives the unsharded
answer.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import gradchain as gc
from gradchain.core.facts import slots_in
from gradchain.core.slot_specs import spec_of_slot
from tests.laws import samples
from tests.laws.laws import ROUNDING
from tests.laws.row import Row
from tests.laws.samples import assert_close, compiled_run, gradients, params

SPLIT_SHAPES = {
    "dense": {"bias": (8,), "kernel": (8, 4)},
    "empty": (0, 2),
    "hole": None,
    "last": (3, 8),
    "scale": (),
    "stack": (8, 3, 2),
}
SPLIT = {
    "dense": {"bias": P("b"), "kernel": P("a", "b")},
    "empty": P(),
    "hole": None,
    "last": P(None, ("b", "a")),
    "scale": P(),
    "stack": P(("a", "b")),
}


def split_over_devices() -> tuple[Mesh, Any]:
    """A mesh, and how the leaves are split."""
    return jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2), SPLIT


def split_state(tx: gc.GradientTransformation, state: Any, sizes: Any) -> Any:
    """How a state is split: each slot as its parameter is."""
    name_of = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    named = lambda tree: {
        name_of(path): x
        for path, x in jax.tree_util.tree_leaves_with_path(
            tree, is_leaf=lambda x: isinstance(x, P | tuple)
        )
    }
    specs, shapes = named(SPLIT), named(SPLIT_SHAPES)
    slots = {"/".join(path): slot for path, slot in slots_in(tx.facts)}

    def spec_of(path: tuple, x: jax.Array) -> P:
        name = name_of(path).removesuffix("/codes")  # which have the shape of what they keep
        for param, spec in specs.items():
            above = name.removesuffix("/" + param)
            is_declared = above in slots or x.shape == shapes[param]  # or of a pair of functions
            if above != name and is_declared:
                return spec_of_slot(slots.get(above), x.shape, shapes[param], spec, sizes)
        return P()

    return jax.tree_util.tree_map_with_path(spec_of, state)


def is_the_same_when_split_under_jit(row: Row) -> None:
    tx = row.make()
    mesh, split = split_over_devices()
    p, grads = params(jnp.float32, SPLIT_SHAPES), gradients(jnp.float32, shapes=SPLIT_SHAPES)
    put = lambda tree, lead: jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, P(*lead, *spec))), tree, split
    )
    expected = compiled_run(tx, p, grads, **row.run)
    split_p, split_grads = put(p, ()), put(grads, (None,))
    assert len(split_p["stack"].sharding.device_set) == 8
    assert_close(
        compiled_run(tx, split_p, split_grads, **row.run), expected, row.tolerance * ROUNDING
    )


def is_the_same_when_split_under_shard_map(row: Row) -> None:
    """Beside ``specs``, with which members that need whole leaves gather them."""
    tx = row.make()
    mesh, split = split_over_devices()
    p, grads = params(jnp.float32, SPLIT_SHAPES), gradients(jnp.float32, shapes=SPLIT_SHAPES)
    extra = (*row.extra.items(), ("specs", split))
    run = lambda p, grads, state: samples.run(tx, p, grads, extra=extra, state=state)
    state = jax.jit(tx.init)(p)
    of_state = split_state(tx, state, mesh.shape)
    of_grads = jax.tree.map(lambda spec: P(None, *spec), split)
    split_run = jax.jit(
        jax.shard_map(
            run,
            mesh=mesh,
            in_specs=(split, of_grads, of_state),
            out_specs=(of_grads, split, of_state),
        )
    )
    assert_close(
        split_run(p, grads, state),
        compiled_run(tx, p, grads, **row.run),
        row.tolerance * ROUNDING,
    )


def is_each_replicas_own(row: Row) -> None:
    """With ``on_replicas`` each of two, with data of its own, goes where it would go alone."""
    tx, seeds = row.make(), (0, 2)
    starts = [params(jnp.float32, seed=seed) for seed in seeds]
    all_grads = [gradients(jnp.float32, seed=seed + 1) for seed in seeds]
    mesh = jax.make_mesh((2,), ("replica",), axis_types=(jax.sharding.AxisType.Auto,))
    run = lambda p, grads, state: samples.run(tx, p, grads, state=state, **row.run)
    given = (starts, all_grads, [jax.jit(tx.init)(p) for p in starts])
    stacked = (jax.tree.map(lambda *x: jnp.stack(x), *of_each) for of_each in given)
    found = jax.jit(gc.distributed.on_replicas(run, mesh))(*stacked)
    for i, (p, grads) in enumerate(zip(starts, all_grads, strict=True)):
        expected = compiled_run(tx, p, grads, **row.run)
        assert_close(samples.at(i, found), expected, row.tolerance * ROUNDING)


LAWS = [
    is_the_same_when_split_under_jit,
    is_the_same_when_split_under_shard_map,
    is_each_replicas_own,
]
