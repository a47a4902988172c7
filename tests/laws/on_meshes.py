"""The laws of meshes: with axes of either type, a state lies as its parameters do, and numbers are
those of one device.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

from tests.laws import samples
from tests.laws.laws import ROUNDING
from tests.laws.row import Row
from tests.laws.samples import assert_close, compiled_run, gradients, params
from tests.laws.sharded import SPLIT, SPLIT_SHAPES


def mesh_of(kind: AxisType) -> Mesh:
    return jax.make_mesh((4, 2), ("a", "b"), axis_types=(kind,) * 2)


def put(mesh: Mesh, tree: Any, lead: tuple = ()) -> Any:
    """A tree of the shapes that are split, each leaf in its parts."""
    one = lambda x, spec: jax.device_put(x, NamedSharding(mesh, P(*lead, *spec)))
    return jax.tree.map(one, tree, SPLIT)


def shape_of(x: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def assert_same_layout(a: Any, b: Any, when: str, *, may_split: bool = False) -> None:
    """Equal shardings, leaf by leaf.

    ``may_split``: what is whole in ``b`` may be split.
    """
    names = jax.tree_util.tree_leaves_with_path(a)
    for (path, x), y in zip(names, jax.tree.leaves(b), strict=True):
        alike = x.sharding.is_equivalent_to(y.sharding, x.ndim)
        alike |= may_split and y.sharding.is_fully_replicated
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        assert alike, f"{name} {when}: {x.sharding.spec}, and at first {y.sharding.spec}"


def keeps_the_layout_of_its_state(row: Row) -> None:
    tx = row.make()
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = mesh_of(kind)
        p = put(mesh, params(jnp.float32, SPLIT_SHAPES))
        g = put(mesh, samples.at(0, gradients(jnp.float32, shapes=SPLIT_SHAPES)))
        with jax.set_mesh(mesh):
            first = tx.init(p)
            assert_same_layout(jax.jit(tx.init)(p), first, f"{kind}, compiled")
            assert_same_layout(tx.init(jax.tree.map(shape_of, p)), first, f"{kind}, of shapes")
            _, after = tx.update(g, first, p, **row.extra)
            # On axes of its own the compiler may split what is whole: a basis, or a gram matrix.
            free = kind == AxisType.Auto
            assert_same_layout(after, first, f"{kind}, after a step", may_split=free)


def is_the_same_on_explicit_axes(row: Row) -> None:
    tx, mesh = row.make(), mesh_of(AxisType.Explicit)
    p, grads = params(jnp.float32, SPLIT_SHAPES), gradients(jnp.float32, shapes=SPLIT_SHAPES)
    expected = compiled_run(tx, p, grads, **row.run)
    with jax.set_mesh(mesh):
        made = compiled_run(tx, put(mesh, p), put(mesh, grads, (None,)), **row.run)
    assert_close(made, expected, row.tolerance * ROUNDING)


LAWS = [keeps_the_layout_of_its_state, is_the_same_on_explicit_axes]
