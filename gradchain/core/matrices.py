"""The fourth lift: a rule on batches of equal matrices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.beside import trees_beside
from gradchain.core.columns import Columns
from gradchain.core.first_values import first_value, is_like_param, whole_shape
from gradchain.core.folding import Fold, check_is_matrix, fold_of, modules_of
from gradchain.core.grams import pack, unpack
from gradchain.core.lift import Lift, as_made, at_least, chosen
from gradchain.core.meshes import split_as
from gradchain.core.slot_columns import slot_columns
from gradchain.core.slots import Slot, like_param
from gradchain.core.stage import Body, Extra, Ran, Stage
from gradchain.core.types import Params, Shape, State, Tree, Where
from gradchain.numerics.arithmetic import compute_dtype, in_turn, real_dtype
from gradchain.numerics.reductions import axes_in_type
from gradchain.numerics.splits import whole
from gradchain.tree.paths import Leaf, flatten, named_leaves
from gradchain.tree.selecting import keep_leaves, select


def matrixwise(
    rule: Callable[..., Any],
    where: Where | None = None,
    fold: Mapping[str, str] | None = None,
    *,
    twins: bool = False,
    pad: float = 0.0,
    decomposes: bool = False,
    beside: Callable[..., dict[str, Tree]] | None = None,
    **slots: Slot,
) -> Body:
    """Lift a rule on a batch ``(k, m, n)`` of matrices.

    Leaves are seen as matrices by their names and shapes (``gradchain.core.folding``): the last two
    dimensions; of a kernel of a convolution all but the last are rows; heads and their dimension in
    attention belong together. All matrices of one shape come in one batch.

    Args:
        rule: ``rule(g, s, p, t)``, or any of these names (see ``gradchain.core.lift``), and
            ``place``, the number of each matrix among all that the rule is for, and ``sides``, the
            rows and columns that it has in its leaf, ``(k, 2)``.
        where: as for ``elementwise``.
        fold: patterns by globs on paths, for other leaves: ``{"*/heads": "d (h=8 k) -> h d k"}``.
        twins: whether the transposed matrix has the transposed update. Then the rule sees no matrix
            with more rows than columns: a tall one is transposed before, and joins the batch of the
            wide ones of that shape. Slots must have the shape of the matrix.
        pad: matrices that rows and columns of zeros bring to a larger shape join its batch, if no
            more than this share of the batch's matrix is zeros. Zeros must not change the update.
        decomposes: whether the rule has decompositions (eigenvalues, singular values, QR). Then
            batches are computed one after the other; on a CPU two at once may never end.
        beside: a function that makes further trees like the parameters, by name. It names what it
            wants as a rule does, trees instead of batches, and ``place`` of all matrices; the rule
            names ``beside``, a dict of the batches of these trees.
        slots: as for ``elementwise``; slots have the shape that they declare for one matrix.

    Raises:
        ValueError: naming the path of a leaf that has fewer than two dimensions; choose leaves with
            ``where``.
    """
    return PerMatrix(
        rule,
        where,
        fold,
        twins,
        pad,
        decomposes,
        slots,
        beside,
    )


class Batch(NamedTuple):
    """The places of leaves that a rule sees together."""

    matrix: tuple[int, int]  # as the rule sees it
    dtype: jnp.dtype
    leaves: list[int]


class PerMatrix(Lift):
    """A rule on a batch of equal matrices."""

    def __init__(
        self,
        rule: Callable[..., Any],
        where: Where | None,
        fold: Mapping[str, str] | None,
        twins: bool,
        pad: float,
        decomposes: bool,
        slots: dict[str, Slot],
        beside: Callable[..., dict[str, Tree]] | None = None,
    ):
        super().__init__("matrix", rule, where, slots)
        self.fold, self.twins, self.pad, self.decomposes = fold, twins, pad, decomposes
        self.beside = None if beside is None else Lift("tree", beside, None, {})
        self.by_matrix = self.beside is None
        if self.beside is not None:
            self.extras |= self.beside.extras
            self.needs_step |= self.beside.needs_step

    def init(self, params: Params) -> State:
        """See ``Body``."""
        own = keep_leaves(select(self.where, params), params)
        leaves, treedef = flatten(own)
        folds = self.folds(
            own,
            leaves,
            [x is not None for x in leaves],
        )

        def make(slot: Slot) -> Tree:
            made: list[Leaf] = []
            last = None
            for x, f in zip(leaves, folds, strict=True):
                if f is None:
                    made.append(None)
                    continue
                made.append(first_value(slot, x, f.lead, f.matrix, _opened(f, last)))
                last = made[-1] if self.decomposes else None
            return treedef.unflatten(made)

        return {name: make(slot) for name, slot in self.slots.items()}

    def folds(
        self, tree: Tree, leaves: Sequence[Leaf], flags: Sequence[bool]
    ) -> list[Fold | None]:
        """How each chosen leaf is seen as matrices.

        Raises:
            ValueError: naming the path, if one has fewer than two dimensions.
        """
        is_plain = all(
            getattr(x, "ndim", 0) == 2 for x, f in zip(leaves, flags, strict=True) if f
        )
        if is_plain and not self.fold:  # whatever their names are
            return [
                fold_of("", x, frozenset(), None) if flag else None
                for x, flag in zip(leaves, flags, strict=True)
            ]
        named = named_leaves(tree)
        names, modules = [path for path, _ in named], modules_of(named)
        found: list[Fold | None] = []
        for x, name, flag in zip(leaves, names, flags, strict=True):
            if flag:
                check_is_matrix(name, x)
            found.append(fold_of(name, x, modules, self.fold) if flag else None)
        return found

    def dims_apart(self, tree: Tree, leaves: list[Leaf], flags: list[bool]) -> list[int]:
        """See ``Body``."""
        if not self.by_matrix or "place" in self.names:  # it asks which of all it has
            return [0] * len(leaves)
        folds = self.folds(tree, leaves, flags)
        return [len(f.lead) if f is not None and f.is_plain else 0 for f in folds]

    def batches(
        self, folds: list[Fold | None], dtypes: list[jnp.dtype], leaves: Sequence[Leaf] = ()
    ) -> list[Batch]:
        """The leaves by equal, or nearly equal, matrices.

        Leaves of no element are in none. Those that ``shard_map`` splits over different axes are
        apart.
        """
        axes = [frozenset() if x is None else axes_in_type(x) for x in leaves]
        found: dict[tuple, Batch] = {}
        sizes = [0 if f is None else f.matrix[0] * f.matrix[1] * f.count for f in folds]
        order = (
            sorted(
                range(len(folds)),
                key=lambda i: -sizes[i],
            )
            if self.pad
            else range(len(folds))
        )
        for i in order:
            fold = folds[i]
            if fold is None or not sizes[i]:
                continue
            matrix = self._as_seen(fold)
            alike = (dtypes[i], axes[i] if axes else None)
            key = self._roomy(matrix, alike, found) or (matrix, alike)
            found.setdefault(
                key,
                Batch(key[0], dtypes[i], []),
            ).leaves.append(i)
        # Those in common first: what waits for shards differs between devices.
        return [found[key] for key in sorted(found, key=lambda key: len(key[1][1] or ()))]

    def is_turned(self, fold: Fold) -> bool:
        """Whether the rule sees the transposed matrices."""
        return self.twins and fold.matrix[0] > fold.matrix[1]

    def _as_seen(self, fold: Fold) -> tuple[int, int]:
        m, n = fold.matrix
        return (n, m) if self.is_turned(fold) else (m, n)

    def _roomy(self, matrix: tuple[int, int], alike: tuple, found: dict) -> Any:
        """The key of a batch of slightly larger matrices."""
        area = matrix[0] * matrix[1]
        for (m, n), of in found:
            fits = of == alike and m >= matrix[0] and n >= matrix[1]
            if fits and area >= (1 - self.pad) * m * n:
                return (m, n), of
        return None

    def stacks(
        self, folds: list[Fold | None], dtypes: list[jnp.dtype], leaves: Sequence[Leaf] = ()
    ) -> list[Stack]:
        """The batches, and the leaves of each with their folds.

        Matrices are numbered from those of the longest sides on, which cost a rule the most.
        """
        own = lambda batch: [(i, folds[i]) for i in batch.leaves]
        batches = self.batches(folds, dtypes, leaves)
        made = [Stack(self, batch, own(batch), 0) for batch in batches]
        first = 0
        for stack in sorted(made, key=lambda stack: -sum(n**3 for n in stack.batch.matrix)):
            stack.first = first
            first += stack.number
        return made

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: Extra,
    ) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        flags = chosen(stage, columns)
        folds = stage.body.folds(columns.updates, columns.g, flags)
        shape_of = lambda slot, i: slot_shape(slot, columns.g[i].shape, folds[i])
        slots = slot_columns(stage, columns, state, flags, shape_of)
        columns = columns.with_g(list(columns.g))
        dtypes = [dtype_of(g, p) for g, p in zip(columns.g, columns.p, strict=True)]
        last = None
        stacks = stage.body.stacks(folds, dtypes, columns.g)
        beside = trees_beside(stage, columns, flags, extra, sum(stack.number for stack in stacks))
        for stack in stacks:
            body = stage.in_precision_of(stack.batch.dtype)
            run = Running(body, stack.batch, stack.leaves, stack.first, stage, beside)
            last = run.update(columns, slots, extra, last)
        return columns, [{k: columns.tree(v) for k, v in slots.items()}]


def _opened(fold: Fold, last: jax.Array | None) -> Callable[[jax.Array], jax.Array]:
    """Makes the matrices of a leaf, after another array."""
    if last is None or not last.size:
        return fold.open
    return lambda x: fold.open(in_turn(x, last))


def dtype_of(g: Leaf, p: Leaf = None) -> jnp.dtype:
    """The dtype in which a leaf is computed."""
    if g is None:
        return jnp.dtype("float32")
    return compute_dtype(g.dtype, g.dtype if p is None else p.dtype)


def slot_shape(slot: Slot, param: Shape, fold: Fold | None) -> Shape | None:
    """The shape of a slot for all matrices."""
    own = None if fold is None else slot.shape(fold.matrix)
    return None if fold is None or own is None else whole_shape(slot, param, fold.lead, own)


@dataclass
class Stack:
    """The matrices of one batch's leaves, in one array.

    Attributes:
        body: the lifted rule.
        batch: the batch.
        leaves: the place of each leaf, and its fold.
        first: the number of the first matrix among all.
    """

    body: PerMatrix
    batch: Batch
    leaves: list[tuple[int, Fold]]
    first: int

    def __post_init__(self):
        self.counts = [fold.count for _, fold in self.leaves]
        self.cuts = list(itertools.accumulate(self.counts))[:-1]

    @property
    def number(self) -> int:
        """How many matrices there are."""
        return sum(self.counts)

    @property
    def places(self) -> np.ndarray:
        """The number of each matrix among all."""
        return self.first + np.arange(self.number, dtype=np.int32)

    def holds(self, column: list[Leaf]) -> bool:
        """Whether there are parameters, or such matrices have a slot."""
        return column[self.batch.leaves[0]] is not None

    def stack(self, column: list[Leaf], kind: Slot) -> jax.Array:
        """The batch of a column."""
        real = real_dtype(self.batch.dtype)
        parts = []
        for i, fold in self.leaves:
            x = at_least(column[i], real)
            parts.append(self.open(whole(x), fold, kind))
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def put_back(self, column: list[Leaf], kind: Slot, made: jax.Array) -> None:
        """Replace the leaves of a column."""
        parts = jnp.split(made, self.cuts) if self.cuts else [made]
        for (i, fold), part in zip(self.leaves, parts, strict=True):
            column[i] = split_as(self.close(part, fold, kind), column[i])

    def open(self, x: jax.Array, fold: Fold, kind: Slot) -> jax.Array:
        """The part of a batch that one leaf has."""
        if not is_like_param(kind):
            x = x.reshape(fold.count, *x.shape[len(fold.lead) :])
            return unpack(x) if kind.packed else x
        x = fold.open(x)
        x = jnp.swapaxes(x, -1, -2) if self.body.is_turned(fold) else x
        if x.shape[1:] == self.batch.matrix:
            return x
        sides = zip(self.batch.matrix, x.shape[1:], strict=True)
        return jnp.pad(x, [(0, 0), *((0, large - small) for large, small in sides)])

    def close(self, x: jax.Array, fold: Fold, kind: Slot) -> jax.Array:
        """The array of a leaf from its part."""
        if not is_like_param(kind):
            x = pack(x) if kind.packed else x
            return x.reshape(*fold.lead, *x.shape[1:])
        is_turned = self.body.is_turned(fold)
        m, n = fold.matrix[::-1] if is_turned else fold.matrix
        x = x[:, :m, :n]
        return fold.close(jnp.swapaxes(x, -1, -2) if is_turned else x)


@dataclass
class Running(Stack):
    """A rule at work on one batch.

    The matrices of its leaves are stacked, and the results put back in their places.
    """

    stage: Stage
    beside: dict[str, list[Leaf]]

    def update(
        self,
        columns: Columns,
        slots: dict[str, list[Any]],
        extra: dict[str, Any],
        last: jax.Array | None,
    ) -> jax.Array:
        """Replace updates and slots in their columns.

        Args:
            columns: updates and parameters.
            slots: the leaves of each slot.
            extra: the extra arguments.
            last: an update of the batch before, for which this one waits if it decomposes.

        Returns:
            The updates of this batch.
        """
        stage, (_, dtype, _) = self.stage, self.batch
        kinds = self.body.slots
        u = self.stack(columns.g, like_param).astype(dtype)
        if self.body.decomposes and last is not None:
            u = in_turn(u, last)
        old = {
            k: self.stack(column, kinds[k]) for k, column in slots.items() if self.holds(column)
        }
        p = self.stack(columns.p, like_param).astype(dtype) if self.holds(columns.p) else None
        given = {"g": u, "s": old, "p": p}
        further = {k: self.stack(x, like_param).astype(dtype) for k, x in self.beside.items()}
        given["beside"] = further
        given["place"] = self.places
        sides = [fold.matrix for _, fold in self.leaves]
        given["sides"] = np.repeat(sides, self.counts, axis=0)
        made, new = self.body.call(stage, dtype, extra, **given)
        self.put_back(columns.g, like_param, as_made(stage, "an update", made, u, dtype))
        for k, x in old.items():
            fits = as_made(stage, f"slot {k!r}", new[k], x, x.dtype)
            self.put_back(slots[k], kinds[k], fits)
        return made
