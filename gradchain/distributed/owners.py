"""Owners: each device updates whole matrices of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import core, lax
from jax.sharding import NamedSharding, PartitionSpec

from gradchain.core.columns import Columns
from gradchain.core.folding import Fold
from gradchain.core.lift import Lift
from gradchain.core.matrices import PerMatrix, Stack, dtype_of
from gradchain.core.meshes import placed
from gradchain.core.selection import matrices_in
from gradchain.core.shards import (
    Parts,
    gather,
    own_part,
    split_leaves,
    taking_leaves_as_whole,
    whole_shape,
)
from gradchain.core.slots import like_param
from gradchain.core.stage import Body, Extra, PairBody, Ran, Stage, run_inside, widest
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Glob, Pair, Params, State, Where
from gradchain.core.walk import walk
from gradchain.numerics.reductions import manual_axes
from gradchain.tree.paths import Leaf, flatten
from gradchain.tree.selecting import select


@transform
def owners(
    inner: GradientTransformation | Pair,
    axis: str = "data",
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Let each device update whole matrices of its own.

    Inside ``jax.shard_map`` the :math:`k` matrices of one shape stand in a stack, of which each of
    the :math:`d` devices along ``axis`` has :math:`\lceil k/d \rceil`. So each is updated once, and
    its state lies with its owner alone. How leaves come and go is read from their types:

    - Leaves that all devices have in common: each takes its own matrices, and updates are gathered.
    - Leaves that are split over ``axis`` (FSDP) along rows or columns: whole matrices are exchanged
      by one all-to-all, updated, and exchanged back. ``update`` then needs ``specs=``, a
      ``PartitionSpec`` for each parameter. Leaves that are split in another way are gathered.

    Elsewhere, and on a mesh without ``axis``, one device owns all.

    The state has a stack for each shape, for example ``"256x1024"``, split over ``axis`` along its
    first dimension. ``init`` has to know the mesh: call it inside ``shard_map``, or outside with
    ``jax.set_mesh(mesh)``. ``owned`` says how each of its arrays is split.

    Args:
        inner: what is done with each matrix by itself: members that look at elements or at single
            matrices, such as momentum, ``orthogonalize``, ``scale_by_shampoo`` or ``in_eigenbasis``
            (SOAP). What looks at whole trees belongs before or behind.
        axis: the axis of the mesh that matrices are divided among.
        where: the leaves that are matrices, by default ``weight_matrices(embeddings=False)``; the
            others pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Raises:
        ValueError: naming the member, if one looks at more than a matrix; naming the path, if a
            leaf is split and ``specs`` is missing.

    Source: Anil et al., "Scalable Second Order Optimization for Deep Learning", 2020,
    https://arxiv.org/abs/2002.09018; Ahn et al., "Dion: Distributed Orthonormalized Updates", 2025,
    https://arxiv.org/abs/2504.05295

    Example:
        >>> import gradchain as gc
        >>> tx = owners(gc.scale_by_muon())
        >>> params = {"first": jnp.ones((4, 8)), "second": jnp.ones((4, 8))}
        >>> tx.init(params)["owners"]["inner"]["average_updates"]["average"]["4x8"].shape
        (2, 4, 8)
    """
    for part in walk(inner):
        if not _is_by_matrix(part.body):
            raise ValueError(
                f"owners: {part.factory} looks at more than one matrix, and a device owns only"
                " some. Put it before or behind: chain(owners(...), ...)."
            )
    matrices = PerMatrix(
        lambda g: g,
        matrices_in(where),
        fold,
        twins=False,
        pad=0.0,
        decomposes=False,
        slots={},
    )
    return Owners(
        inner,
        axis,
        matrices,
    )


def _is_by_matrix(body: Body) -> bool:
    """Whether a member treats each matrix by itself.

    What is no rule of its own leaves that to its members.
    """
    is_rule = isinstance(body, Lift | PairBody)
    return body.by_matrix or (bool(body.members) and not is_rule)


def owned(
    tx: GradientTransformation,
    state: State,
) -> State:
    """How a state is split among owners.

    Args:
        tx: a transformation with ``owners`` somewhere in it.
        state: its state, or the shapes of one.

    Returns:
        A tree like the state: for arrays of owners the axis of the mesh along which their first
        dimension is split, for others ``""``.

    Example:
        >>> import gradchain as gc
        >>> tx = owners(gc.add_momentum(0.9), "data")
        >>> owned(tx, tx.init({"w": jnp.ones((4, 8))}))
        {'owners': {'inner': {'add_momentum': {'momentum': {'4x8': 'data'}}}}}
    """
    places = {
        part.path: part.body.axis for part in walk(tx, state) if isinstance(part.body, Owners)
    }

    def axis_of(path: tuple[Any, ...], x: Any) -> str:
        keys = tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
        above = (keys[:n] for n in range(len(keys)))
        axis = next((places[keys] for keys in above if keys in places), "")
        return axis if jnp.ndim(x) else ""

    return jax.tree_util.tree_map_with_path(axis_of, state)


class Owners(Body):
    """A transformation of stacks of matrices."""

    def __init__(self, inner: GradientTransformation, axis: str, matrices: PerMatrix):
        self.members = {"inner": inner}
        self.axis, self.matrices, self.where = axis, matrices, matrices.where
        self.locality = widest(["matrix", inner.locality])
        self.extras = inner.extras | {"specs"}

    @property
    def needs_whole(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether leaves are gathered for it, which it exchanges itself."""
        return not self.is_mapped

    @property
    def is_mapped(self) -> bool:
        """Whether devices along the axis each run this."""
        return self.axis in manual_axes()

    def init(
        self,
        params: Params,
    ) -> State:
        """See ``Body``."""
        leaves, treedef = flatten(params)
        columns = Columns(
            treedef,
            leaves,
            leaves,
            params,
        )
        stacks = self.stacks(columns, [()] * len(leaves))
        rows = {x.name: _with_owners(x.rows(leaves), self.axis) for x in stacks}
        state = self.members["inner"].init(rows)
        return {"inner": state} if state else {}

    def stacks(self, columns: Columns, split: list[Parts]) -> list[OwnedStack]:
        """The stacks of a tree, and how devices exchange them."""
        seen = columns.updates if columns.params is None else columns.params
        chosen = columns.column(select(self.where, seen))
        flags = [x is not None and f is True for x, f in zip(columns.g, chosen, strict=True)]
        shapes = [
            x if x is None else jax.ShapeDtypeStruct(whole_shape(x.shape, parts), x.dtype)
            for x, parts in zip(columns.g, split, strict=True)
        ]
        folds = self.matrices.folds(columns.tree(shapes), shapes, flags)
        dtypes = [dtype_of(g, p) for g, p in zip(columns.g, columns.p, strict=True)]
        axis = self.axis if self.is_mapped else None
        size = dict(jax.sharding.get_abstract_mesh().shape).get(self.axis, 1)
        make = lambda stack: OwnedStack(stack, axis, size, split)
        return [make(stack) for stack in self.matrices.stacks(folds, dtypes)]

    @classmethod
    def run(cls, stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        body = stage.body
        inner, specs = body.members["inner"], extra.get("specs")
        whole: list[Parts] = [()] * len(columns.g)
        split = split_leaves(stage, columns, specs) if body.is_mapped else whole
        stacks = body.stacks(columns, split)
        rows = lambda column: {stack.name: stack.rows(column) for stack in stacks}
        g = rows(columns.g)
        p = None if columns.params is None else rows(columns.p)
        own = {"grad": g} if "grad" in inner.extras else {}
        with taking_leaves_as_whole():
            u, new = run_inside(inner, g, state.get("inner", {}), p, extra | own)
        made = list(columns.g)
        for stack in stacks:
            stack.put_back(made, u[stack.name])
        return columns.with_g(made), [{"inner": new} if new else {}]


@dataclasses.dataclass
class OwnedStack:
    """The matrices of one shape, and how devices exchange them.

    Attributes:
        stack: the leaves of one shape, with their folds.
        axis: the axis of the mesh that its matrices are divided among; ``None``: this device has
            all.
        size: how many devices there are along it.
        split: how each leaf is split.
    """

    stack: Stack
    axis: str | None
    size: int
    split: list[Parts]

    @property
    def name(self) -> str:
        """Its shape, and its dtype if that is unusual."""
        (m, n), dtype, _ = self.stack.batch
        return f"{m}x{n}" + ("" if dtype == jnp.float32 else f"_{dtype}")

    @property
    def own(self) -> int:
        """How many matrices each device owns."""
        return -(-self.stack.number // self.size)

    @property
    def dim(self) -> int | None:
        """The dimension of all matrices that the axis splits.

        ``None`` if it splits another, or leaves differ.
        """
        dims = {_split_dim(fold, self.split[i], self.axis) for i, fold in self.stack.leaves}
        return dims.pop() if len(dims) == 1 else None

    def rows(self, column: list[Leaf]) -> jax.Array:
        """The matrices that this device owns."""
        dtype = self.stack.batch.dtype
        if self.axis is not None and self.dim is not None:
            x = self._filled(jnp.concatenate(self._parts(column)))
            return lax.all_to_all(x, self.axis, 0, self.dim, tiled=True).astype(dtype)
        whole = list(column)
        for i, _ in self.stack.leaves:
            whole[i] = gather(column[i], self.split[i])
        x = self._filled(self.stack.stack(whole, like_param).astype(dtype))
        if self.axis is None:
            return x
        return lax.dynamic_slice_in_dim(x, lax.axis_index(self.axis) * self.own, self.own)

    def put_back(self, column: list[Leaf], made: jax.Array) -> None:
        """Replace the leaves of a column by what owners made."""
        wire = self._wire(column)
        if self.axis is not None and self.dim is not None:
            x = lax.all_to_all(made.astype(wire), self.axis, self.dim, 0, tiled=True)
            parts = jnp.split(x[: self.stack.number], self.stack.cuts)
            for (i, _), part in zip(self.stack.leaves, parts, strict=True):
                column[i] = part.reshape(column[i].shape).astype(column[i].dtype)
            return
        if self.axis is not None:
            made = lax.all_gather(made.astype(wire), self.axis, tiled=True, to="invarying")
        whole = list(column)
        self.stack.put_back(whole, like_param, made[: self.stack.number])
        for i, _ in self.stack.leaves:
            column[i] = own_part(whole[i], self.split[i])

    def _parts(self, column: list[Leaf]) -> list[jax.Array]:
        """The parts of matrices, in the dtype that travels."""
        wire = self._wire(column)
        return [
            column[i].reshape(-1, *column[i].shape[-2:]).astype(wire)
            for i, _ in self.stack.leaves
        ]

    def _wire(self, column: list[Leaf]) -> Any:
        """The dtype of leaves, if they have one in common."""
        dtypes = {column[i].dtype for i, _ in self.stack.leaves}
        return dtypes.pop() if len(dtypes) == 1 else self.stack.batch.dtype

    def _filled(
        self,
        x: jax.Array,
    ) -> jax.Array:
        """As many matrices for each device, the last repeated."""
        missing = self.own * self.size - len(x)
        return jnp.concatenate([x, *[x[-1:]] * missing]) if missing else x


def _with_owners(x: jax.Array, axis: str) -> jax.Array:
    """A new stack where its owners are.

    That is on the mesh of ``jax.set_mesh``. Inside ``shard_map`` it is there already.
    """
    around = jax.sharding.get_abstract_mesh()
    if axis not in around.axis_names or axis in manual_axes():
        return x
    is_traced = isinstance(x, core.Tracer)
    mesh = around if is_traced else jax.sharding.get_mesh()
    return placed(x, NamedSharding(mesh, PartitionSpec(axis)))


def _split_dim(
    fold: Fold,
    parts: Parts,
    axis: str | None,
) -> int | None:
    """The dimension of the matrices ``(k, m, n)`` that only ``axis`` splits."""
    used = [d for d, axes in enumerate(parts) if axes]
    if axis is None or not fold.is_plain or len(used) != 1 or parts[used[0]] != (axis,):
        return None
    dim = used[0] - len(fold.lead) + 1
    return dim if dim > 0 else None
