"""In eigenbasis: a transformation in the eigenbases of Shampoo."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.around import Around
from gradchain.core.columns import Columns
from gradchain.core.errors import check_one_of
from gradchain.core.facts import slots_like_parameters
from gradchain.core.folding import Fold
from gradchain.core.matrices import PerMatrix, Stack, dtype_of, slot_shape
from gradchain.core.ranges import Decay, StaticPositiveInt
from gradchain.core.refresh import Parts, Refresh, at_start, every
from gradchain.core.selection import matrices_in
from gradchain.core.slots import Slot, gram, keep, like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Glob, Pair, Params, Shape, State, Tree, Updates, Where
from gradchain.numerics import kronecker
from gradchain.numerics.arithmetic import ema, in_turn
from gradchain.numerics.roots import root
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import flatten, flatten_like
from gradchain.tree.selecting import select
from gradchain.wrappers.eigenbases import (
    BASES,
    VALUES,
    first_bases,
    grams_of,
    renewed,
    staleness,
    values_of,
)


@transform
def in_eigenbasis(
    inner: GradientTransformation | Pair,
    decay: Decay = 0.95,
    refresh: Refresh = every(10),
    max_precond_dim: StaticPositiveInt = 10000,
    sides: str = "both",
    skip_first: bool = True,
    *,
    estimate: str = "gram",
    divide: bool = False,
    method: str = "qr",
    packed: bool = False,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Apply ``inner`` in the eigenbases of rows and columns.

    .. math::
        u = Q_L\, \mathrm{inner}(Q_L^* G\, Q_R)\, Q_R^*, \qquad
        L \leftarrow \beta L + (1-\beta)\, G G^*, \quad R \leftarrow \beta R + (1-\beta)\, G^* G

    The bases :math:`Q_L` and :math:`Q_R` are eigenvectors of the factors :math:`L` and :math:`R`:
    at the first step by a decomposition, and later, as ``refresh`` says, by one power iteration and
    a QR decomposition, with columns in the order of their eigenvalues. A step is taken in the bases
    from before its gradient. With ``scale_by_adam`` inside this is SOAP, and any rule may be
    inside: Lion, LaProp, AdEMAMix, Adafactor.

    When the bases change, so does what ``inner`` remembers. An average of gradients is carried over
    to the new bases. For an average of squares there is no such way: its rows and columns are put
    in the new order of the eigenvectors. Slots that are real for complex parameters too are taken
    for squares. Leaves that are no matrices ``inner`` sees as they are.

    Args:
        inner: the transformation in the eigenbases. It is given the parameters in them too: weight
            decay, which is meant for all of them, belongs behind this.
        decay: the decay :math:`\beta` of the factors.
        refresh: when the bases are found anew, for example ``gc.refresh.every(10,
            staggered=True)``. ``when_stale`` measures what share of a factor stands off the
            diagonal in its basis.
        max_precond_dim: the longest side that has a basis.
        sides: which sides have one: ``"both"``, ``"rows"``, ``"columns"``, or ``"shorter"``.
        skip_first: whether the first update is zero and ``inner`` does not see the gradient, of
            which the first bases are made: its clock, and so its schedules, are one step behind.
            Else the first step is in the usual basis.
        estimate: how the factors are made: ``"gram"``, as in the formula, or ``"kl"``, which
            minimises a Kullback-Leibler divergence: :math:`G R^{-1} G^* / n` and :math:`G^* L^{-1}
            G / m`, with eigenvalues that are averaged in each step and start at 0.1.
        divide: whether the update of ``inner`` is divided by the roots of these eigenvalues, as in
            KL-Shampoo; only for ``"kl"``.
        method: how bases are found after the first step: ``"qr"``, as above, or anew by
            ``"eigh"``.
        packed: whether of each factor one triangle is kept, half as large; its basis, which is
            not symmetric, stays whole.
        where: the leaves that are matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Raises:
        ValueError: if a name is not known, ``divide`` has no eigenvalues, or a pattern does not fit
            its leaf.

    Source: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024,
    https://arxiv.org/abs/2409.11321; Lin et al., "Understanding and Improving Shampoo and SOAP via
    Kullback-Leibler Minimization", 2025, https://arxiv.org/abs/2509.03378

    Example:
        >>> import gradchain as gc
        >>> tx, params = in_eigenbasis(gc.scale_by_lion()), jnp.zeros((8, 4))
        >>> state = tx.init(params)["in_eigenbasis"]
        >>> state["row_basis"].shape, state["column_basis"].shape
        ((8, 8), (4, 4))
    """
    _check(sides, estimate, method, divide)
    slots = _slots(sides, max_precond_dim, estimate == "kl", packed) | refresh.slots
    where = matrices_in(where)
    matrices = PerMatrix(
        lambda g: g,
        where,
        fold,
        twins=False,
        pad=0.0,
        decomposes=True,
        slots=slots,
    )
    renewal = functools.partial(renewed, method, estimate == "gram")
    return InEigenbasis(inner, matrices, decay, refresh, renewal, skip_first, divide)


def _check(sides: str, estimate: str, method: str, divide: bool) -> None:
    """Refuse unknown names, and a division without eigenvalues."""
    check_one_of("in_eigenbasis", kronecker.SIDES, sides=sides)
    check_one_of("in_eigenbasis", ("gram", "kl"), estimate=estimate)
    check_one_of("in_eigenbasis", ("qr", "eigh"), method=method)
    if divide and estimate != "kl":
        raise ValueError('in_eigenbasis: divide=True needs the eigenvalues of estimate="kl".')


def _slots(sides: str, longest: int, has_values: bool, packed: bool) -> dict[str, Slot]:
    """Factors, bases and perhaps eigenvalues of the sides."""
    slots = {}
    for side, dim in (("rows", -2), ("columns", -1)):
        has = functools.partial(kronecker.has_factor, side, sides, longest)
        slots[side] = gram(dim)(packed=packed, exists=has)
        slots[BASES[side]] = gram(dim)(fill=1.0, exists=has)
        if has_values:
            slots[VALUES[side]] = keep(dim)(real=True, fill=0.1, exists=has)
    return slots


class InEigenbasis(Around):
    """A wrapper whose member sees matrices in their eigenbases."""

    def __init__(
        self,
        inner: Any,
        matrices: PerMatrix,
        decay: Any,
        refresh: Refresh,
        renewal: Callable[..., Parts],
        skip_first: bool,
        divide: bool,
    ):
        super().__init__(self.step, "matrix", {"inner": inner}, matrices.slots)
        self.matrices, self.decay, self.refresh = matrices, decay, refresh
        self.by_matrix = True
        self.renewal, self.skip_first, self.divide = renewal, skip_first, divide

    def init(self, params: Params) -> State:
        """See ``Body``."""
        inner = {name: m.init(params) for name, m in self.members.items()}
        own = self.matrices.init(params)
        return own | {name: state for name, state in inner.items() if state}

    def shapes_in(self, columns: Columns) -> Callable[[Slot, int], Shape | None]:
        """See ``PerTree``."""
        seen = columns.updates if columns.params is None else columns.params
        folds = self.folds(seen, columns.g)
        return lambda slot, i: slot_shape(slot, columns.g[i].shape, folds[i])

    def folds(self, tree: Tree, leaves: list[Any]) -> list[Fold | None]:
        """How each leaf is seen as matrices."""
        flags = flatten(select(self.matrices.where, tree))[0]
        live = [flag is True and x is not None for flag, x in zip(flags, leaves, strict=True)]
        return self.matrices.folds(tree, leaves, live)

    def step(
        self,
        g: Updates,
        s: State,
        count: jax.Array,
        inner: Callable[..., Any],
        p: Params | None = None,
    ) -> tuple[Updates, State]:
        """The rule; see ``around``."""
        leaves, treedef = flatten(g)
        dtypes = [dtype_of(x) for x in leaves]
        stacks = self.matrices.stacks(self.folds(g if p is None else p, leaves), dtypes)
        slots = {name: flatten_like(treedef, s[name]) for name in self.slots}
        turned = lambda tree, way: treedef.unflatten(
            _turned(stacks, slots, flatten_like(treedef, tree), way)
        )
        low_params = None if p is None else turned(p, kronecker.to_basis)
        old = s.get("inner", {})
        u, new = inner(turned(g, kronecker.to_basis), old, low_params)
        if self.divide:
            divided = _divided(stacks, slots, flatten_like(treedef, u))
            u = treedef.unflatten(divided)
        u = turned(u, kronecker.from_basis)
        if self.skip_first:
            is_first = count == 0
            u = map_leaves(lambda x: jnp.where(is_first, jnp.zeros_like(x), x), u)
            new = jax.tree.map(lambda x, y: jnp.where(is_first, x, y), old, new)
        moments = {path: flatten_like(treedef, _at(new, path)) for path in self.kinds}
        self.renew(stacks, leaves, slots, moments, count)
        for path, column in moments.items():
            new = _put(new, path, treedef.unflatten(column))
        own = {name: treedef.unflatten(column) for name, column in slots.items()}
        return u, own | ({"inner": new} if new else {})

    @functools.cached_property
    def kinds(self) -> dict[tuple[str, ...], Slot]:
        """Slots of its member with a leaf's shape, by path."""
        found = slots_like_parameters(self.members["inner"].facts)
        return {path: like_param(real=slot.real) for path, slot in found}

    def renew(
        self,
        stacks: list[Stack],
        g: list[Any],
        slots: dict[str, list[Any]],
        moments: dict[tuple[str, ...], list[Any]],
        count: jax.Array,
    ) -> None:
        """Replace the factors, the bases and the moments after them.

        The columns themselves are changed.
        """
        last = None
        for stack in stacks:
            own = {k: column for k, column in slots.items() if stack.holds(column)}
            if not any(name in own for name in BASES):
                continue
            x = kronecker.squarable_matrix(stack.stack(g, like_param))
            x = x if last is None else in_turn(x, last)
            old = {k: stack.stack(column, self.slots[k]) for k, column in own.items()}
            followers = {
                "/".join(path): stack.stack(_filled(column, g), self.kinds[path])
                for path, column in moments.items()
            }
            made = self.moved(x, old, followers, count, stack.places)
            for name, column in own.items():
                stack.put_back(column, self.slots[name], made[name])
            for path, column in moments.items():
                full = _filled(column, g)
                stack.put_back(full, self.kinds[path], made["/".join(path)])
                column[:] = [None if x is None else y for x, y in zip(column, full, strict=True)]
            last = made.get("row_basis", made.get("column_basis"))

    def moved(
        self, x: jax.Array, old: Parts, followers: Parts, count: jax.Array, place: np.ndarray
    ) -> Parts:
        """The slots of one batch after a gradient."""
        factors = {k: ema(v, old[k], self.decay) for k, v in grams_of(x, old, count).items()}
        values = values_of(x, old, self.decay, count)
        bases = {k: old[k] for k in BASES.values() if k in old}
        bases = at_start(first_bases, factors, bases, count)
        squares = frozenset("/".join(path) for path, kind in self.kinds.items() if kind.real)
        fresh = functools.partial(self.renewal, squares, count)
        stale = lambda: staleness(factors | bases)
        kept = bases | followers | {k: old[k] for k in self.refresh.slots}
        made = self.refresh.apply(fresh, factors | kept, kept, count, place, stale)
        return factors | values | made


def _turned(
    stacks: list[Stack],
    slots: dict[str, list[Any]],
    column: list[Any],
    way: Callable[..., jax.Array],
) -> list[Any]:
    """A column of matrices in other bases."""
    column = list(column)
    for stack in stacks:
        bases = [
            stack.stack(slots[k], like) if stack.holds(slots[k]) else None
            for k, like in (("row_basis", gram(-2)), ("column_basis", gram(-1)))
        ]
        x = stack.stack(column, like_param)
        stack.put_back(column, like_param, way(x, *bases))
    return column


def _divided(
    stacks: list[Stack],
    slots: dict[str, list[Any]],
    column: list[Any],
) -> list[Any]:
    """A column divided by the roots of the eigenvalues."""
    column = list(column)
    for stack in stacks:
        x = stack.stack(column, like_param)
        for side, name in VALUES.items():
            if stack.holds(slots[name]):
                dim = -2 if side == "rows" else -1
                values = stack.stack(slots[name], keep(dim))
                x = x / jnp.expand_dims(root(values), -3 - dim)
        stack.put_back(column, like_param, x)
    return column


def _filled(column: list[Any], like: list[Any]) -> list[Any]:
    """A column with zeros in its holes."""
    zeros = lambda x, g: jnp.zeros_like(g) if x is None and g is not None else x
    return [zeros(x, g) for x, g in zip(column, like, strict=True)]


def _at(state: State, path: tuple[str, ...]) -> Tree:
    """A part of a state."""
    for name in path:
        state = state[name]
    return state


def _put(state: State, path: tuple[str, ...], tree: Tree) -> State:
    """A state with another part in its place."""
    name, *rest = path
    return state | {name: _put(state[name], tuple(rest), tree) if rest else tree}
