"""Owners: each device updates whole matrices of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.columns import Columns
from gradchain.core.errors import first_names
from gradchain.core.lift import Lift
from gradchain.core.matrices import PerMatrix, dtype_of
from gradchain.core.selection import matrices_in
from gradchain.core.shards import Parts, split_leaves, taking_leaves_as_whole, whole_shape
from gradchain.core.stage import Body, Extra, PairBody, Ran, Stage, run_inside, widest
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Glob, Pair, Params, State, Tree, Updates, Where
from gradchain.core.walk import walk
from gradchain.distributed.dealing import deal
from gradchain.distributed.owned_stacks import OwnedStack
from gradchain.distributed.owned_states import check_owners, slots_of
from gradchain.distributed.replicas import as_own_tree
from gradchain.distributed.shares import laid_along
from gradchain.numerics.reductions import manual_axes
from gradchain.tree.paths import Leaf, flatten, named_leaves
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
    the :math:`d` devices along ``axis`` has :math:`\lfloor k/d \rfloor`. Those that are left over
    go, the costliest first, to the devices that have the least to do. So each is updated once, and
    its state lies with its owner alone. How leaves come and go is read from their types:

    - Leaves that all devices have in common: each takes its own matrices, and updates are gathered.
    - Leaves that are split over ``axis`` (FSDP) along rows or columns: whole matrices are exchanged
      by one all-to-all, updated, and exchanged back. ``update`` then needs ``specs=``, a
      ``PartitionSpec`` for each parameter. Leaves that are split in another way are gathered.

    Elsewhere, and on a mesh without ``axis``, one device owns all.

    The state has a stack for each shape, for example ``"256x1024"``, and one for those left over,
    ``"256x1024_rest"``, with a place for each device. Both are split over ``axis`` along their
    first dimension, as ``state_specs`` says. ``init`` has to know the mesh: use ``init_sharded``,
    or call it inside ``shard_map``, or with ``jax.set_mesh(mesh)``. ``set_owners`` makes the state
    fit another number of devices.

    Args:
        inner: what is done with each matrix by itself: members that look at elements or at single
            matrices, such as momentum, ``orthogonalize``, ``scale_by_shampoo`` or ``in_eigenbasis``
            (SOAP). What looks at whole trees belongs before or behind.
        axis: the axis of the mesh that matrices are divided among.
        where: the leaves that are matrices, by default ``weight_matrices(embeddings=False)``; the
            others pass as they are. So what makes steps, as ``muon`` does, has to stand in
            ``groups``, with another optimizer for these.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Raises:
        ValueError: naming the member, if one looks at more than a matrix; naming the path, if a
            leaf is split and ``specs`` is missing, or would pass where others make steps.

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
        leaves, _ = flatten(params)
        stacks = self.stacks_of(params)
        rows = _rows_of(stacks, leaves)
        rows = {name: laid_along(x, self.axis) for name, x in rows.items()}
        state = self.members["inner"].init(rows)
        return {"inner": state} if state else {}

    def stacks_of(self, params: Params, size: int | None = None) -> list[OwnedStack]:
        """The stacks of parameters that are whole."""
        leaves, treedef = flatten(params)
        columns = Columns(
            treedef,
            leaves,
            leaves,
            params,
        )
        return self.stacks(columns, [()] * len(leaves), size)

    def stacks(
        self, columns: Columns, split: list[Parts], size: int | None = None
    ) -> list[OwnedStack]:
        """The stacks of a tree, and how devices exchange them.

        Args:
            columns: the leaves.
            split: how each is split.
            size: how many devices there are, by default on the mesh.
        """
        seen = columns.updates if columns.params is None else columns.params
        chosen = columns.column(select(self.where, seen))
        flags = [x is not None and f is True for x, f in zip(columns.g, chosen, strict=True)]
        if self.members["inner"].facts.makes_steps:
            _check_all_step(columns, flags)
        shapes = [
            x if x is None else jax.ShapeDtypeStruct(whole_shape(x.shape, parts), x.dtype)
            for x, parts in zip(columns.g, split, strict=True)
        ]
        folds = self.matrices.folds(columns.tree(shapes), shapes, flags)
        dtypes = [dtype_of(g, p) for g, p in zip(columns.g, columns.p, strict=True)]
        axis = self.axis if self.is_mapped else None
        around = dict(jax.sharding.get_abstract_mesh().shape).get(self.axis, 1)
        stacks = self.matrices.stacks(folds, dtypes)
        deals = deal([(stack.number, stack.batch.matrix) for stack in stacks], size or around)
        pairs = zip(stacks, deals, strict=True)
        return [OwnedStack(stack, axis, own, split) for stack, own in pairs]

    @classmethod
    def run(cls, stages: list[Stage], columns: Columns, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        body = stage.body
        specs = extra.get("specs")
        whole: list[Parts] = [()] * len(columns.g)
        split = split_leaves(stage, columns, specs) if body.is_mapped else whole
        stacks = body.stacks(columns, split)
        g = _rows_of(stacks, columns.g)
        p = None if columns.params is None else _rows_of(stacks, columns.p)
        check_owners(state, stacks, g)
        with taking_leaves_as_whole():
            u, new = body.run_owned(stacks, g, state.get("inner", {}), p, extra)
        made = list(columns.g)
        for stack in stacks:
            stack.put_back(made, u)
        return columns.with_g(made), [{"inner": new} if new else {}]

    def run_owned(
        self, stacks: list[OwnedStack], g: Updates, state: State, p: Params | None, extra: Extra
    ) -> tuple[Updates, State]:
        """Run the members on the matrices that a device has.

        Devices that have different ones of the rest take different branches.
        """
        lacking = _lacking(stacks)
        ways = sorted(set(lacking), key=sorted)
        if not self.is_mapped or not any(ways) or _has_numbers(state, g):
            return self._run(
                g,
                state,
                p,
                extra,
            )

        def without(names: frozenset[str]) -> Any:
            def way(g: Updates, state: State, p: Params | None) -> tuple[Updates, State]:
                u, new = self._run(
                    _drop(g, names),
                    _drop(state, names),
                    _drop(p, names),
                    extra,
                )
                fill = lambda x, old: _fill(x, old, names, self.axis)
                return fill(u, g), fill(new, state)

            return way

        which = jnp.array([ways.index(names) for names in lacking])
        index = which[lax.axis_index(self.axis)]
        return lax.switch(
            index,
            [without(names) for names in ways],
            g,
            state,
            p,
        )

    def _run(
        self,
        g: Updates,
        state: State,
        p: Params | None,
        extra: Extra,
    ) -> tuple[Updates, State]:
        """Run the members on some stacks."""
        inner = self.members["inner"]
        own = {"grad": g} if "grad" in inner.extras else {}
        return run_inside(
            inner,
            g,
            state,
            p,
            extra | own,
        )


def _check_all_step(columns: Columns, flags: list[bool]) -> None:
    """Refuse leaves that would pass beside steps, which point downhill."""
    names = [name for name, _ in named_leaves(columns.updates)]
    rows = zip(names, columns.g, flags, strict=True)
    left = [name for name, x, is_matrix in rows if x is not None and not is_matrix]
    if left:
        raise ValueError(
            f"owners: {first_names(left, 3)} would pass as they are, as gradients, which point"
            " uphill, where matrices get steps. Put the learning rate behind, chain(owners("
            "scale_by_muon()), scale_by_learning_rate(0.01)), or give the others an optimizer:"
            " groups([(weight_matrices(embeddings=False), owners(...))], default=adamw(1e-3))."
        )


def _rows_of(stacks: list[OwnedStack], column: list[Leaf]) -> dict[str, jax.Array]:
    """The matrices of all stacks that this device owns."""
    rows: dict[str, jax.Array] = {}
    for stack in stacks:
        rows |= stack.rows(column)
    return rows


def _lacking(stacks: list[OwnedStack]) -> list[frozenset[str]]:
    """The stacks that each device has nothing in.

    One that has nothing at all works on the smallest, as there is no step without matrices.
    """
    rests = {x.name_of_rest: x for x in stacks if x.deal.takers}
    size = lambda name: math.prod(rests[name].stack.batch.matrix)
    is_idle = len(rests) == len(stacks) and not any(x.deal.each for x in stacks)
    found = []
    for i in range(stacks[0].deal.size if stacks else 0):
        names = {name for name, x in rests.items() if i not in x.deal.takers}
        if is_idle and len(names) == len(rests):
            names.remove(min(rests, key=size))
        found.append(frozenset(names))
    return found


def _has_numbers(state: State, g: Updates) -> bool:
    """Whether a state has a number for a whole stack.

    It has to be the same on all devices, so that all run on all stacks.
    """
    slots = slots_of(state, g.keys())
    return any(jnp.ndim(x) == 0 for slot in slots for x in jax.tree.leaves(slot))


def _drop(tree: Tree, names: frozenset[str]) -> Tree:
    """A tree with holes in the place of some stacks."""
    if not isinstance(tree, dict):
        return tree
    return {k: None if k in names else _drop(x, names) for k, x in tree.items()}


def _fill(tree: Tree, old: Tree, names: frozenset[str], axis: str) -> Tree:
    """A tree with what was in the place of holes."""
    if not isinstance(tree, dict):
        return tree
    kept = {k: as_own_tree(old[k], axis) for k in tree if k in names}
    return {k: kept[k] if k in kept else _fill(x, old[k], names, axis) for k, x in tree.items()}
