"""Replicas: devices along one axis, with data of their own.

Under ``jit`` alone a gradient is the mean of all replicas before an optimizer sees it. Inside
``shard_map`` over their axis each sees its own, and how they exchange them can be chosen. An array
that differs between replicas has a dimension in front, outside ``shard_map`` as long as there are
replicas, inside 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import core, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gradchain.core.errors import quote
from gradchain.core.facts import slots_in
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Params, State, Tree
from gradchain.distributed.layouts import sizes_of
from gradchain.numerics.reductions import apart, axes_in_type, manual_axes
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import named_leaves


def is_along(axis: str, where: str) -> bool:
    """Whether there are replicas along an axis here.

    Outside ``shard_map`` there is one, and no axis.

    Args:
        axis: the name of a mesh axis.
        where: who asks, for errors.

    Raises:
        ValueError: inside ``shard_map`` over other axes, where replicas would drift apart.
    """
    try:
        lax.axis_size(axis)
    except NameError:
        others = manual_axes()
        if not others:
            return False
        raise ValueError(
            f"{where}: axis={axis!r} is no axis of the shard_map around it, whose axes are"
            f" {quote(sorted(others))}. Pass one of them, or name {axis!r} in axis_names of"
            " shard_map."
        ) from None
    return True


def unreduced(params: Params, axis: str = "data") -> Params:
    """Parameters whose gradients stay each replica's own.

    Inside ``shard_map`` JAX itself adds up gradients of parameters that are the same on all
    replicas. These count as different ones, so that ``exchange`` has something to send. Outside
    ``shard_map`` they are as they were.

    Args:
        params: tree of arrays.
        axis: the mesh axis of the replicas.

    Returns:
        The same arrays.

    Raises:
        ValueError: inside ``shard_map`` over other axes alone.

    Example:
        >>> import gradchain as gc
        >>> from jax.sharding import AxisType, PartitionSpec as P
        >>> def gradient(w, x):
        ...     loss = lambda w: jnp.mean(w * x)
        ...     return jax.grad(loss)(gc.distributed.unreduced(w))[None]
        >>> mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
        >>> specs = dict(in_specs=(P(), P("data")), out_specs=P("data"))
        >>> print(jax.shard_map(gradient, mesh=mesh, **specs)(1.0, jnp.ones(2)))
        [1.]
    """
    if not is_along(axis, "unreduced"):
        return params
    return map_leaves(lambda x: as_own(jnp.asarray(x), axis), params)


def as_own(x: jax.Array, axis: str) -> jax.Array:
    """An array that counts as different on each replica."""
    is_common = axis in manual_axes() and axis not in axes_in_type(x)
    return lax.pcast(x, axis, to="varying") if is_common else x


def as_own_tree(tree: Tree, axis: str) -> Tree:
    """A tree that counts as different on each replica."""
    return map_leaves(lambda x: as_own(x, axis), tree)


def replica_specs(
    tx: GradientTransformation,
    params: Params,
    axis: str = "data",
) -> Tree:
    """Specs of a state for ``shard_map`` over replicas.

    They are for ``in_specs`` and ``out_specs``: what each replica has for itself is split along its
    first dimension, all else is the same on each.

    Args:
        tx: the transformation.
        params: tree of arrays or of their shapes.
        axis: the mesh axis of the replicas.

    Returns:
        A tree like the state, of ``PartitionSpec``.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(gc.distributed.exchange("int8", error_feedback=1.0), gc.add_momentum(0.9))
        >>> specs = gc.distributed.replica_specs(tx, jnp.ones(2))
        >>> specs["exchange"]["residual"], specs["add_momentum"]["momentum"]
        (P('data',), P())
    """
    own = own_paths(tx)
    spec_of = lambda path, _: PartitionSpec(axis) if is_in(own, path) else PartitionSpec()
    return jax.tree_util.tree_map_with_path(spec_of, jax.eval_shape(tx.init, params))


def set_replicas(
    tx: GradientTransformation,
    state: State,
    replicas: int,
) -> State:
    """The state for another number of replicas.

    A new state is for one replica. Of what each replica has for itself, all get the mean: what is
    left of gradients that were not sent yet reaches the parameters as it would have.

    Args:
        tx: the transformation.
        state: what ``init`` or an update returned.
        replicas: the number of replicas from now on, at least 1.

    Returns:
        The state; only what differs between replicas is changed.

    Raises:
        ValueError: if ``replicas`` is less than 1, or replicas meet in ``tx`` now and then.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.distributed.exchange("int8", error_feedback=1.0)
        >>> state = gc.distributed.set_replicas(tx, tx.init(jnp.ones(3)), 4)
        >>> state["exchange"]["residual"].shape
        (4, 3)
    """
    check_number("set_replicas", replicas)
    if _meeting_path(tx) is not None:
        raise ValueError(
            "set_replicas: with diloco or local_sgd in tx all of a state differs between replicas:"
            " a new one is repeated by stack_replicas((params, state), replicas), and one for"
            " another number goes through restart_replicas(tx, params, state, replicas)."
        )
    own = own_paths(tx)

    def spread(path: tuple, x: jax.Array) -> jax.Array:
        if not is_in(own, path):
            return x
        mean = jnp.mean(x, 0, keepdims=True).astype(x.dtype)
        return jnp.broadcast_to(mean, (replicas, *x.shape[1:]))

    return jax.tree_util.tree_map_with_path(spread, state)


def check_number(where: str, number: int, name: str = "replicas") -> None:
    """Refuse all but whole numbers from one."""
    is_whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    if not is_whole:
        raise TypeError(f"{where}: {name} must be an integer, 1 or more, not {number!r}.")
    if number < 1:
        raise ValueError(f"{where}: {name} must be at least 1, not {number!r}.")


def _check_stacked(
    arguments: tuple[Any, ...],
    replicas: int,
    axis: str,
) -> None:
    """Refuse arrays whose first dimension does not count replicas."""
    for i, tree in enumerate(arguments, start=1):
        for path, x in named_leaves(tree):
            if x is None or jnp.shape(x)[:1] == (replicas,):
                continue
            place = f"argument {i}" + (f" at {path!r}" if path else "")
            raise ValueError(
                f"on_replicas: {place} has shape {list(jnp.shape(x))}, but its first dimension"
                f" must count the replicas, of which the mesh has {replicas} along {axis!r}. A"
                f" tree for one becomes one for all by stack_replicas(tree, {replicas}); one for"
                f" another number by restart_replicas(tx, params, state, {replicas})."
            )


def own_paths(tx: GradientTransformation) -> list[tuple[str, ...]]:
    """Where a state has what differs between replicas."""
    slots = slots_in(tx.facts)
    return [path for path, slot in slots if slot is not None and slot.relation == "per_replica"]


def _meeting_path(tx: GradientTransformation) -> tuple[str, ...] | None:
    """Where a state has what replicas last agreed on."""
    paths = [path for path, _ in slots_in(tx.facts)]
    return next((path for path in paths if path[-2:] == ("diloco", "slow_params")), None)


def is_in(places: list[tuple[str, ...]], path: tuple) -> bool:
    """Whether a leaf is in one of those places."""
    keys = tuple(getattr(key, "key", None) for key in path)
    return any(keys[: len(place)] == place for place in places)


def stack_replicas(
    tree: Tree,
    replicas: int,
    mesh: Mesh | None = None,
    axis: str = "replica",
) -> Tree:
    """Repeat a tree for each replica, along a new dimension.

    Args:
        tree: tree of arrays, for example parameters and a state.
        replicas: how many there are, at least 1.
        mesh: the mesh over whose axis the copies lie, one on each device, split over its other axes
            as before. ``None``: the one that is set, if it has such an axis; else all copies lie
            where the array does.
        axis: its axis of replicas.

    Raises:
        TypeError: if ``replicas`` is no integer.
        ValueError: if ``replicas`` is less than 1, or the mesh has another number along the axis.

    Example:
        >>> import gradchain as gc
        >>> gc.distributed.stack_replicas(jnp.ones(3), 4).shape
        (4, 3)
    """
    check_number("stack_replicas", replicas)
    is_set = axis in jax.sharding.get_abstract_mesh().axis_names
    if mesh is None and is_set and axis not in manual_axes():
        mesh = _mesh_around(tree)
    if mesh is None:
        spread = lambda x: jnp.broadcast_to(jnp.asarray(x)[None], (replicas, *jnp.shape(x)))
        return map_leaves(spread, tree)
    _check_axis("stack_replicas", axis, mesh)
    if replicas != mesh.shape[axis]:
        raise ValueError(
            f"stack_replicas: replicas={replicas}, but the mesh has {mesh.shape[axis]} devices"
            f" along {axis!r}. Pass replicas={mesh.shape[axis]}, or another mesh."
        )
    stack = jax.shard_map(
        lambda tree: map_leaves(lambda x: as_own(x, axis)[None], tree),
        mesh=mesh,
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(axis),
        axis_names={axis},
    )
    return jax.jit(stack)(map_leaves(lambda x: _on_mesh(jnp.asarray(x), mesh), tree))


def _mesh_around(tree: Tree) -> Any:
    """The mesh that is set, also while ``jit`` traces."""
    is_traced = any(isinstance(x, core.Tracer) for x in jax.tree.leaves(tree))
    return jax.sharding.get_abstract_mesh() if is_traced else jax.sharding.get_mesh()


def _on_mesh(x: jax.Array, mesh: Mesh) -> jax.Array:
    """An array that lies on a mesh."""
    is_there = isinstance(x, core.Tracer) or getattr(x.sharding, "mesh", None) == mesh
    return x if is_there else jax.device_put(x, NamedSharding(mesh, PartitionSpec()))


def _check_axis(where: str, axis: str, mesh: Mesh) -> None:
    if axis not in sizes_of(mesh, None, where):
        raise ValueError(
            f"{where}: axis={axis!r} is no axis of the mesh, whose axes are"
            f" {quote(mesh.axis_names)}."
        )


def restart_replicas(
    tx: GradientTransformation, params: Params, state: State, replicas: int
) -> tuple[Params, State]:
    """Parameters and a state of local training, for other replicas.

    All go on from where they last met: call it after a meeting, or the steps since are lost. A
    replica that joins takes the inner optimizer of one that was there. Of residuals all get the
    mean.

    Args:
        tx: a transformation with ``diloco`` or ``local_sgd`` in it.
        params: the parameters on each replica, with a dimension for them in front.
        state: the state on each replica, likewise.
        replicas: the number of replicas from now on, at least 1.

    Returns:
        Parameters and state, with a dimension as long as that in front.

    Raises:
        ValueError: if ``replicas`` is less than 1, or no replicas meet in ``tx``.

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.distributed.local_sgd(gc.sgd(0.1), every=8), jnp.ones(3)
        >>> params, state = gc.distributed.stack_replicas((params, tx.init(params)), 2)
        >>> params, state = gc.distributed.restart_replicas(tx, params, state, 3)
        >>> params.shape
        (3, 3)
    """
    check_number("restart_replicas", replicas)
    met = _meeting_path(tx)
    if met is None:
        raise ValueError(
            "restart_replicas: no diloco or local_sgd is in tx, and so no place where replicas last"
            " met; set_replicas is for states of exchange."
        )
    if any(jnp.ndim(x) == 0 for x in jax.tree.leaves((params, state))):
        raise ValueError(
            "restart_replicas: params or state is that of one replica, without a dimension for them"
            f" in front. It begins with stack_replicas((params, state), {replicas})."
        )

    def spread(path: tuple, x: jax.Array) -> jax.Array:
        if is_in([(*met[:-1], "residual")], path):
            mean = jnp.mean(x, 0, keepdims=True).astype(x.dtype)
            return jnp.broadcast_to(mean, (replicas, *x.shape[1:]))
        return x[jnp.arange(replicas) % x.shape[0]]

    state = jax.tree_util.tree_map_with_path(spread, state)
    meeting: Any = state
    for key in met:
        meeting = meeting[key]
    return map_leaves(lambda p, x: x.astype(p.dtype), params, meeting), state


def on_replicas(
    step: Callable[..., Any], mesh: Mesh, axis: str = "replica"
) -> Callable[..., Any]:
    """Run a function on each replica, with its arrays.

    This is ``shard_map`` over one axis. All arguments and results have a first dimension as long as
    there are replicas, as ``stack_replicas`` makes it; the function sees them without it, and other
    axes of the mesh remain JAX's own to split over. Norms and other sums are each replica's.

    Args:
        step: a function of trees of arrays.
        mesh: the mesh.
        axis: its axis of replicas.

    Raises:
        ValueError: if the mesh has no such axis; when the function is called, naming the path, if
            the first dimension of an array does not count the replicas.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.distributed.diloco(gc.sgd(0.1), gc.sgd(1.0), every=10)
        >>> mesh = jax.make_mesh((1,), ("replica",), axis_types=(jax.sharding.AxisType.Auto,))
        >>> step = jax.jit(gc.distributed.on_replicas(tx.step, mesh))
        >>> params = jnp.ones(2)
        >>> params, state = gc.distributed.stack_replicas((params, tx.init(params)), 1)
        >>> params, state = step(jnp.ones((1, 2)), state, params)
        >>> print(params)
        [[0.9 0.9]]
    """
    _check_axis("on_replicas", axis, mesh)

    def on_one(*arguments: Any) -> Any:
        own = jax.tree.map(lambda x: jnp.squeeze(x, 0), arguments)
        with apart(axis):
            made = step(*own)
        return jax.tree.map(lambda x: as_own(jnp.asarray(x), axis)[None], made)

    spec = PartitionSpec(axis)
    on_all = jax.shard_map(
        on_one,
        mesh=mesh,
        in_specs=spec,
        out_specs=spec,
        axis_names={axis},
    )

    def on_stacked(*arguments: Any) -> Any:
        _check_stacked(arguments, mesh.shape[axis], axis)
        return on_all(*arguments)

    return on_stacked
