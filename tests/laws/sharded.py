"""The laws of several devices: splitting the leaves over 8 of them, simulated, gives the unsharded
answer.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import gradchain as gc
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


def split_over_devices(tx: gc.GradientTransformation) -> tuple[Mesh, Any]:
    """A mesh, and how the leaves are split: a matrix rule has its matrices whole."""
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    whole = {**SPLIT, "dense": {"bias": P("b"), "kernel": P()}, "last": P()}
    return mesh, whole if tx.locality == "matrix" else SPLIT


def _split_state(state: Any, split: Any) -> Any:
    """How a state is split: each slot as its parameter is, without a dimension or with one more."""
    names = lambda tree: {
        jax.tree_util.keystr(path, simple=True, separator="/"): x
        for path, x in jax.tree_util.tree_leaves_with_path(
            tree, is_leaf=lambda x: isinstance(x, P | tuple)
        )
    }
    specs, shapes = names(split), names(SPLIT_SHAPES)

    def spec_of(path: tuple, x: jax.Array) -> P:
        name = "/" + jax.tree_util.keystr(path, simple=True, separator="/")
        name = name.removesuffix("/codes")  # which have the shape of what is kept in them
        for param, spec in specs.items():
            if name.endswith("/" + param) and x.ndim:
                full = (*spec, *(None,) * (len(shapes[param]) - len(spec)))
                if x.ndim > len(full):
                    return P(None, *full)
                return P(*full[: x.ndim])
        return P()

    return jax.tree_util.tree_map_with_path(spec_of, state)


def is_the_same_when_split_under_jit(row: Row) -> None:
    tx = row.make()
    mesh, split = split_over_devices(tx)
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
    tx = row.make()
    mesh, split = split_over_devices(tx)
    p, grads = params(jnp.float32, SPLIT_SHAPES), gradients(jnp.float32, shapes=SPLIT_SHAPES)
    specs = (
        jax.tree.map(lambda spec: P(None, *spec), split),
        split,
        _split_state(tx.init(p), split),
    )
    split_run = jax.jit(
        jax.shard_map(
            partial(samples.run, tx, **row.run),
            mesh=mesh,
            in_specs=(split, specs[0]),
            out_specs=specs,
        )
    )
    assert_close(
        split_run(p, grads), compiled_run(tx, p, grads, **row.run), row.tolerance * ROUNDING
    )


LAWS = [is_the_same_when_split_under_jit, is_the_same_when_split_under_shard_map]
