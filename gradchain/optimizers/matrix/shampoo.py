"""Shampoo (Gupta et al., 2018): inverse roots of Kronecker factors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.errors import check_one_of
from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Fraction, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.refresh import Parts, Refresh, at_start, every
from gradchain.core.selection import matrices_in
from gradchain.core.slots import Slot, like_param, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Shape, Where
from gradchain.numerics import kronecker, matrix_roots
from gradchain.numerics.arithmetic import debias, ema, in_turn
from gradchain.numerics.roots import power
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.wrappers.graft import graft

#: Ways to find the roots: those of ``matrix_roots``, and a basis that is refined.
ROOTS = (*matrix_roots.ROOTS, "qr")
_GRAMS = {"rows": kronecker.gram_of_rows, "columns": kronecker.gram_of_columns}


@transform(roles="adaptive momentum")
def scale_by_shampoo(
    b1: Decay = 0.9,
    b2: Fraction = 0.999,
    ridge: NonNegative = 1e-6,
    refresh: Refresh = every(10),
    roots: str = "eigh",
    exponent: Annotated[float, "(-inf, 0)"] | None = None,
    block_size: StaticPositiveInt | None = 1024,
    sides: str = "both",
    *,
    eps: NonNegative = 0.0,
    packed: bool = False,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Shampoo's direction: the average gradient between inverse roots of factors.

    .. math::
        L \leftarrow \beta_2 L + (1-\beta_2)\, G G^*, \quad
        R \leftarrow \beta_2 R + (1-\beta_2)\, G^* G, \quad
        M \leftarrow \beta_1 M + (1-\beta_1)\, G, \quad u = L^{-1/4} M R^{-1/4}

    All three are corrected for their start at zero. A matrix with a side longer than
    ``block_size`` is cut into blocks, each with factors of its own; all blocks of one shape have
    their roots found in one batch. A block of :math:`m` rows and :math:`n` columns keeps :math:`mn
    + 2m^2 + 2n^2` numbers.

    The step's own length comes from another rule as ``gc.graft(magnitude=..., direction=...)``. The
    eigenvalues are corrected element by element in ``scale_by_soap``. Where elements of a gradient
    are below about 1e-17, their squares are none in float32, and the update is 0.

    Args:
        b1: decay :math:`\beta_1` of the average gradient; with the number 0 there is none.
        b2: decay :math:`\beta_2` of the factors; 1 for their sum, as in Gupta et al.
        ridge: is added to the diagonal of each factor, in units of its largest eigenvalue.
        refresh: when the roots are found anew, for example ``gc.refresh.every(10,
            staggered=True)``, where blocks take turns.
        roots: how: ``"eigh"``; by products alone, ``"newton"``, ``"higher_order"`` or, square roots
            after each other as in DASH, ``"denman_beavers"``; or ``"qr"``: eigenvectors from
            ``eigh`` at the first step, and later from one power iteration and a QR decomposition.
        exponent: the power of the factors; by default -1/4, and -1/2 of a factor that stands alone.
        block_size: the longest side of a block; ``None`` for whole matrices.
        sides: which sides have factors: ``"both"``, ``"rows"``, ``"columns"``, or ``"shorter"``.
        eps: is added to the diagonal too, in the units of squared gradients.
        packed: whether of each factor and root, which are symmetric, one triangle is kept: half
            the numbers.
        where: the leaves that are matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Raises:
        ValueError: if a name is not known, or an iteration is asked for a root that is not an
            integer.

    Source: Gupta, Koren & Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization", 2018,
    https://arxiv.org/abs/1802.09568; Anil et al., "Scalable Second Order Optimization for Deep
    Learning", 2020, https://arxiv.org/abs/2002.09018; Shi et al., "A Distributed Data-Parallel
    PyTorch Implementation of the Distributed Shampoo Optimizer", 2023,
    https://arxiv.org/abs/2309.06497; DASH: Modoranu et al., "Faster Shampoo via Batched Block
    Preconditioning and Efficient Inverse-Root Solvers", 2026, https://arxiv.org/abs/2602.02016

    Example:
        >>> tx, g = scale_by_shampoo(), jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(3))
        [[ 1.  0.]
         [ 0. -1.]]
    """
    check_one_of("scale_by_shampoo", ROOTS, roots=roots)
    check_one_of("scale_by_shampoo", kronecker.SIDES, sides=sides)
    if exponent is not None:
        matrix_roots.check_order(-1 / exponent, roots)
    blocks = functools.partial(Blocks.of, block_size)
    root = functools.partial(_roots, roots, exponent, ridge, eps)
    has_momentum = not (isinstance(b1, int | float) and b1 == 0)

    def rule(g, s, t, count, place):
        cut = blocks(g.shape)
        g = kronecker.squarable_matrix(g)
        own = {k: s[k] for k in refresh.slots}
        old = {k: cut.flat(v) for k, v in s.items() if k != "mu" and k not in own}
        factors = _factors(old, cut.open(g), b2)
        kept = {k: v for k, v in old.items() if k not in factors}
        debiased = {k: _debiased(v, b2, t) for k, v in factors.items()}
        made = _renewed(root, refresh, debiased, kept | own, count, cut.places(place))
        mu = ema(g, s["mu"], b1) if has_momentum else g
        m = debias(mu, b1, t) if has_momentum else g
        u = cut.close(_between(made.get("row_root"), cut.open(m), made.get("column_root")))
        new = {k: v.reshape(s[k].shape) for k, v in (factors | made).items()}
        return u, new | ({"mu": mu} if has_momentum else {})

    slots: dict[str, Any] = _slots(blocks, sides, roots == "qr", has_momentum, packed)
    slots |= refresh.slots
    return matrixwise(rule, matrices_in(where), fold, decomposes=True, **slots)


@recipe
def shampoo(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Fraction = 0.999,
    ridge: NonNegative = 1e-6,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = every(10),
    roots: str = "eigh",
    exponent: Annotated[float, "(-inf, 0)"] | None = None,
    block_size: StaticPositiveInt | None = 1024,
    sides: str = "both",
    magnitude: GradientTransformation | Pair | None = None,
    *,
    eps: NonNegative = 0.0,
    packed: bool = False,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Shampoo for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_shampoo``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; 0.03 in the table of starting rates. With
            ``magnitude`` that of its rule.
        b1: decay of the average gradient.
        b2: decay of the factors; 1 for their sum.
        ridge: relative term on the diagonals; see ``scale_by_shampoo``.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when the roots are found anew.
        roots: how; see ``scale_by_shampoo``.
        exponent: the power of the factors; see ``scale_by_shampoo``.
        block_size: the longest side of a block; ``None`` for whole matrices.
        sides: which sides have factors; see ``scale_by_shampoo``.
        magnitude: the rule from which the length of each leaf's step comes, for example
            ``scale_by_adam()``; ``None`` for Shampoo's own.
        eps: absolute term on the diagonals.
        packed: whether of each factor and root one triangle is kept.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_shampoo``; grafting: Agarwal et al., "Disentangling Adaptive Gradient
    Methods from Learning Rates", 2020, https://arxiv.org/abs/2002.11803

    Example:
        >>> import gradchain as gc
        >>> tx = shampoo(1e-3, magnitude=gc.scale_by_adam(), roots="higher_order")
    """
    direction = scale_by_shampoo(
        b1,
        b2,
        ridge,
        refresh,
        roots,
        exponent,
        block_size,
        sides,
        eps=eps,
        packed=packed,
        where="*",
        fold=fold,
    )
    if magnitude is not None:
        direction = graft(magnitude, direction)
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)


@dataclass(frozen=True)
class Blocks:
    """How matrices are cut into equal blocks.

    Attributes:
        matrix: rows and columns of a matrix.
        numbers: how many blocks below and beside each other.
        block: rows and columns of a block.
    """

    matrix: tuple[int, int]
    numbers: tuple[int, int]
    block: tuple[int, int]

    @classmethod
    def of(cls, block_size: int | None, shape: Shape) -> Blocks:
        """The fewest blocks with no side above a size."""
        m, n = shape[-2:]
        number = lambda side: 1 if block_size is None else max(1, math.ceil(side / block_size))
        down, beside = number(m), number(n)
        block = math.ceil(m / down), math.ceil(n / beside)
        return cls((m, n), (down, beside), block)

    @property
    def count(self) -> int:
        """The number of blocks of one matrix."""
        return math.prod(self.numbers)

    def open(self, x: jax.Array) -> jax.Array:
        """The blocks of a batch, ``(k * count, rows, columns)``."""
        if self.count == 1:
            return x
        (m, n), (down, beside), (rows, columns) = self.matrix, self.numbers, self.block
        filled = [(0, 0), (0, down * rows - m), (0, beside * columns - n)]
        x = jnp.pad(x, filled).reshape(-1, down, rows, beside, columns)
        return jnp.swapaxes(x, 2, 3).reshape(-1, rows, columns)

    def close(self, x: jax.Array) -> jax.Array:
        """The batch whose blocks are ``x``."""
        if self.count == 1:
            return x
        (m, n), (down, beside), (rows, columns) = self.matrix, self.numbers, self.block
        x = jnp.swapaxes(x.reshape(-1, down, beside, rows, columns), 2, 3)
        return x.reshape(-1, down * rows, beside * columns)[:, :m, :n]

    def flat(self, x: jax.Array) -> jax.Array:
        """A slot of square matrices, one for each block."""
        return x.reshape(-1, *x.shape[-2:])

    def places(self, place: np.ndarray) -> np.ndarray:
        """The numbers of the blocks among all."""
        within = np.arange(self.count, dtype=place.dtype)
        return (place[:, None] * self.count + within).reshape(-1)


def _slots(
    blocks: Callable[[Shape], Blocks],
    sides: str,
    has_basis: bool,
    has_momentum: bool,
    packed: bool,
) -> dict[str, Any]:
    """Squares for each block: factors, roots, perhaps bases; perhaps momentum."""

    def square(side: str, is_symmetric: bool = True) -> Slot:
        dim = 0 if side == "rows" else 1
        length = lambda shape: blocks(shape).block[dim]
        lead = lambda shape: (blocks(shape).count,) if blocks(shape).count > 1 else ()
        has = lambda shape: kronecker.has_factor(side, sides, length(shape), blocks(shape).block)
        shape_of = lambda shape: (*lead(shape), length(shape), length(shape))
        return shaped(shape_of)(packed=packed and is_symmetric, exists=has)

    made: dict[str, Any] = {side: square(side) for side in _GRAMS}
    for name in ("root", "basis")[: 1 + has_basis]:
        of = functools.partial(square, is_symmetric=name == "root")
        made |= {f"row_{name}": of("rows"), f"column_{name}": of("columns")}
    return made | ({"mu": like_param} if has_momentum else {})


def _factors(old: Parts, x: jax.Array, b2: float | jax.Array) -> Parts:
    """The factors after a step, of sides with one."""
    return {k: _moved(old[k], gram(x), b2) for k, gram in _GRAMS.items() if k in old}


def _moved(old: jax.Array, new: jax.Array, b2: float | jax.Array) -> jax.Array:
    """The average of factors, or their sum."""
    return b2 * old + jnp.where(jnp.asarray(b2) == 1, 1.0, 1.0 - b2).astype(new.real.dtype) * new


def _debiased(x: jax.Array, b2: float | jax.Array, t: jax.Array) -> jax.Array:
    """The average corrected for its start."""
    is_sum = jnp.asarray(b2) == 1
    share = 1 - power(jnp.where(is_sum, 0.0, jnp.asarray(b2, t.dtype)), t)
    return x / share.astype(x.real.dtype)


def _between(left: jax.Array | None, x: jax.Array, right: jax.Array | None) -> jax.Array:
    """Matrices multiplied from both sides, where there are factors."""
    return kronecker.from_basis(kronecker.to_basis(x, None, right), left, None)


def _renewed(
    root: Callable[..., Parts],
    refresh: Refresh,
    factors: Parts,
    kept: Parts,
    count: jax.Array,
    place: np.ndarray,
) -> Parts:
    """Roots and bases of the blocks that are due."""
    unborn = _has_first(factors, kept)
    if "row_basis" in kept or "column_basis" in kept:
        bases = {k: v for k, v in kept.items() if k.endswith("basis")}
        kept = kept | at_start(_first_bases, factors, bases, count, unborn)
    fresh = functools.partial(root, count)
    return refresh.apply(fresh, factors | kept, kept, count, place, unborn=unborn)


def _has_first(factors: Parts, kept: Parts) -> jax.Array:
    """Which blocks have a first factor, and no roots.

    Neither has an eigenvalue below 0, so that their diagonals tell.
    """
    largest = lambda x: jnp.max(jnp.diagonal(x, axis1=-2, axis2=-1).real, -1)
    roots = [largest(x) for k, x in kept.items() if k.endswith("root")]
    found = [largest(x) for x in factors.values()]
    is_dead = functools.reduce(jnp.logical_and, [x == 0 for x in roots])
    return is_dead & functools.reduce(jnp.logical_or, [x != 0 for x in found])


def _first_bases(factors: Parts) -> Parts:
    """Eigenvectors, one decomposition after the other."""
    made, last = {}, None
    for side, x in factors.items():
        last, _ = matrix_roots.eigenbasis(x if last is None else in_turn(x, last))
        made[f"{side.removesuffix('s')}_basis"] = last
    return made


def _roots(
    method: str,
    exponent: float | None,
    ridge: Any,
    eps: Any,
    count: jax.Array,
    parts: Parts,
) -> Parts:
    """The inverse roots of factors, one decomposition after the other."""
    sides = [side for side in _GRAMS if side in parts]
    order = 2.0 * len(sides) if exponent is None else -1 / exponent
    made, last = {}, None
    for side in sides:
        name = side.removesuffix("s")
        x = parts[side] if last is None else in_turn(parts[side], last)
        if method == "qr":
            old = parts[f"{name}_basis"]
            basis, _ = matrix_roots.refined_eigenbasis(x, old)
            basis = made[f"{name}_basis"] = jnp.where(count == 0, old, basis)
            values = matrix_roots.estimated_eigenvalues(x, basis)
            last = matrix_roots.from_eigenvalues(basis, values, order, ridge, eps)
        else:
            last = matrix_roots.inverse_root(x, order, method, ridge, eps)
        made[f"{name}_root"] = last
    return made
