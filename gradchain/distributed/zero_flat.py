"""ZeRO-1 inside ``shard_map``: all leaves in one vector, in parts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.ranges import StaticInt
from gradchain.core.stage import Body, Extra, Ran, Stage, run_inside
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Params, State
from gradchain.core.walk import PlacedMember, walk
from gradchain.distributed.replicas import is_along
from gradchain.distributed.shares import laid_along
from gradchain.numerics.reductions import axes_in_type, is_in_unchecked_map, manual_axes
from gradchain.tree.mapping import upcast
from gradchain.tree.paths import flatten, flatten_like, named_leaves

#: The length of a row, and so of the blocks of codecs; their usual one.
ROW = 256
#: A vector for each dtype, by its name, in rows.
Vectors = dict[str, jax.Array]


@transform
def zero1_flat(
    inner: GradientTransformation | Pair, *, axis: str = "data", multiple: StaticInt = 3360
) -> Body:
    r"""Split a state over replicas, inside ``shard_map``.

    The leaves of each dtype are one vector, so leaves may have any sizes. It is written in rows of
    256, which are split over the replicas: so blocks of codecs, as of ``storage(adamw(1e-3),
    "int8")``, lie whole on each. Of the replicas' own gradients each gets the mean of one part; it
    updates this part, and gathers the others:

    .. math::
        g = \mathrm{reduce\ scatter}_i\ g_i / n, \quad u = \mathrm{all\ gather}\
        \mathrm{update}(g, s, p)

    These are one reduce-scatter and one all-gather for each dtype, together the bytes of one
    all-reduce. Differentiate at ``unreduced`` parameters. ``init_sharded`` makes the state in its
    parts, and ``state_specs`` has the ``in_specs`` and ``out_specs`` of it: rows are split over
    ``axis``, numbers are not. Outside of ``shard_map`` there is one replica.

    Args:
        inner: a transformation whose members are all local to elements, and for all leaves.
        axis: the mesh axis of the replicas.
        multiple: rows of zeros are added up to a multiple of this, whatever the number of replicas,
            which must divide it: so a state can be loaded on another number of them. The default
            has all numbers to 8, and 10, 12, 14, 15, 16, 20, 24, and 32, among its divisors.

    Raises:
        ValueError: naming the member, if one looks further than an element, or chooses leaves; if
            the number of replicas does not divide ``multiple``; for gradients that JAX has added
            up already; and inside ``shard_map(check_vma=False)``.

    Source: Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter
    models", 2020, https://arxiv.org/abs/1910.02054

    Example:
        >>> import gradchain as gc
        >>> tx = zero1_flat(gc.adam(1e-3), multiple=8)
        >>> state = tx.init({"w": jnp.ones((2, 3)), "b": jnp.ones(3)})
        >>> state["zero1_flat"]["inner"]["scale_by_adam"]["mu"]["float32"].shape
        (8, 256)
    """
    for member in walk(inner):
        if (reason := _unfit(member)) is not None:
            raise ValueError(
                f"zero1_flat: {member.name!r} {reason}, and here it would see one vector of all"
                " leaves. Take zero1, under plain jit, which is for any chain."
            )
    return ZeroFlat(inner, axis, multiple)


def _unfit(member: PlacedMember) -> str | None:
    """Why a member cannot run on one vector."""
    body = member.body
    if body.locality != "element" and not body.members:
        return f"is local to a {body.locality}, not to an element"
    if getattr(body, "where", None) is not None or body.freezes or hasattr(body, "masks"):
        return "chooses leaves"
    slots = getattr(body, "slots", {}).values()
    if any(slot.relation != "like_param" and not slot.integer for slot in slots):
        return "has a slot of another shape than its parameter"
    return None


def _check_divides(number: int, axis: str, multiple: int) -> None:
    if multiple % number:
        raise ValueError(
            f"zero1_flat: {number} replicas along {axis!r} do not divide multiple={multiple}."
            f" Pass a multiple of {number}, and the same whatever the number of replicas."
        )


class ZeroFlat(Body):
    """A transformation that sees one vector for each dtype."""

    reduces_shards = True  # what comes in may differ between replicas, what comes out does not

    def __init__(self, inner: GradientTransformation, axis: str, multiple: int):
        self.meets_along = frozenset({axis})
        self.axis, self.multiple = axis, multiple
        self.members = {"inner": inner}
        self.locality, self.extras = "tree", inner.extras

    def init(self, params: Params) -> State:
        """See ``Body``."""
        around = dict(jax.sharding.get_abstract_mesh().shape)
        _check_divides(around.get(self.axis, 1), self.axis, self.multiple)
        flat = Flat.of(params, self.axis, self.multiple)
        rows = flat.own(flat.vectors(params))
        rows = {name: laid_along(x, self.axis) for name, x in rows.items()}
        state = self.members["inner"].init(rows)
        return {"inner": state} if state else {}

    @classmethod
    def run(cls, stages: list[Stage], columns: Any, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        body, g, p = stage.body, columns.updates, columns.params
        inner = body.members["inner"]
        flat = Flat.of(g if p is None else p, body.axis, body.multiple)
        flat.check(g)
        parts = flat.mean(flat.vectors(g))
        own = None if p is None else flat.own(flat.vectors(p))
        extra = extra | ({"grad": parts} if "grad" in inner.extras else {})
        u, new = run_inside(inner, upcast(parts), state.get("inner", {}), own, extra)
        if not inner.facts.rounds:  # fewer bytes, which are all that will be taken
            u = {name: x.astype(parts[name].dtype) for name, x in u.items()}
        columns = columns.with_updates(flat.leaves(flat.gathered(u)))
        return columns, [{"inner": new} if new else {}]


@dataclasses.dataclass(frozen=True)
class Flat:
    """How leaves stand in vectors, and these over replicas.

    Attributes:
        treedef: the structure of the tree.
        shapes: the shape of each leaf, or ``None``.
        dtypes: the vector that each stands in.
        axis: the mesh axis of the replicas; ``None`` if there is one replica.
        multiple: the number of rows of a vector is a multiple of it.
    """

    treedef: Any
    shapes: list[Any]
    dtypes: list[str]
    axis: str | None
    multiple: int

    @classmethod
    def of(cls, params: Params, axis: str, multiple: int) -> Flat:
        """The vectors of a tree."""
        along = axis if is_along(axis, "zero1_flat") else None
        number = 1 if along is None else lax.axis_size(along)
        _check_divides(number, axis, multiple)
        leaves, treedef = flatten(params)
        shapes = [None if x is None else x.shape for x in leaves]
        dtypes = ["" if x is None else jnp.result_type(x).name for x in leaves]
        return cls(treedef, shapes, dtypes, along, multiple)

    def check(self, g: Any) -> None:
        """Refuse gradients that are the same on all replicas."""
        if self.axis not in manual_axes():
            return
        if is_in_unchecked_map():
            raise ValueError(
                "zero1_flat: inside shard_map(check_vma=False) gradients do not say whether they"
                " are the replicas' own, or added up. Call jax.shard_map with check_vma=True, its"
                " default; or take zero1, under plain jit."
            )
        for name, x in named_leaves(g):
            if x is not None and self.axis not in axes_in_type(x):
                raise ValueError(
                    f"zero1_flat: the gradient at {name!r} is the same on all replicas along"
                    f" {self.axis!r}: JAX has added up the gradients itself. Differentiate at"
                    f" gc.distributed.unreduced(params, {self.axis!r})."
                )

    def vectors(self, tree: Any) -> Vectors:
        """The vectors of all leaves, in rows."""
        leaves = flatten_like(self.treedef, tree)
        found: dict[str, list[jax.Array]] = {}
        for name, x in zip(self.dtypes, leaves, strict=True):
            if x is None and name:
                raise ValueError(
                    "zero1_flat: a parameter has no gradient, and all leaves are one vector here."
                    " Give zeros, or take zero1, under plain jit."
                )
            if x is not None:
                found.setdefault(name, []).append(jnp.ravel(x))
        return {name: self._in_rows(jnp.concatenate(parts)) for name, parts in found.items()}

    def _in_rows(self, x: jax.Array) -> jax.Array:
        rest = -x.size % (self.multiple * ROW)
        return jnp.pad(x, (0, rest)).reshape(-1, ROW)

    def leaves(self, vectors: Vectors) -> Any:
        """The tree of vectors."""
        vectors = {name: jnp.ravel(x) for name, x in vectors.items()}
        starts = dict.fromkeys(vectors, 0)
        made: list[jax.Array | None] = []
        for name, shape in zip(self.dtypes, self.shapes, strict=True):
            if shape is None:
                made.append(None)
                continue
            start, size = starts[name], math.prod(shape)
            made.append(vectors[name][start : start + size].reshape(shape))
            starts[name] = start + size
        return self.treedef.unflatten(made)

    def own(self, vectors: Vectors) -> Vectors:
        """The part of this replica."""
        axis = self.axis
        if axis is None:
            return vectors
        number = lax.axis_size(axis)
        part = lambda x: lax.dynamic_slice_in_dim(
            x, lax.axis_index(axis) * (len(x) // number), len(x) // number
        )
        return {name: part(x) for name, x in vectors.items()}

    def mean(self, vectors: Vectors) -> Vectors:
        """The mean of all replicas, in parts."""
        axis = self.axis
        if axis is None:
            return vectors
        number = lax.axis_size(axis)
        add = lambda x: lax.psum_scatter(x, axis, tiled=True) / number
        return {name: add(x) for name, x in vectors.items()}

    def gathered(self, vectors: Vectors) -> Vectors:
        """The parts of all replicas, the same on each."""
        axis = self.axis
        if axis is None:
            return vectors
        kind = "invarying" if axis in manual_axes() else "varying"
        gather = lambda x: lax.all_gather(x, axis, tiled=True, to=kind)
        return {name: gather(x) for name, x in vectors.items()}
