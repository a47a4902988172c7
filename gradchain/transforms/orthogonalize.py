"""Orthogonalise matrices, and other functions of singular values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.core.errors import check_one_of
from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.stage import Body
from gradchain.core.transformation import transform
from gradchain.core.types import Glob, Where
from gradchain.numerics import polar

EXACT = ("svd", "qdwh")
ADJUSTMENTS = ("keller", "rms", "dion", "nuclear")


@dataclass(frozen=True)
class PolarFactor:
    """A way to the polar factors of matrices.

    It is a function of a batch of them. Attributes are the arguments of ``orthogonalize``.

    Raises:
        ValueError: if a name is not known.
    """

    coefficients: str | Sequence[tuple[float, float, float]] = "quintic"
    steps: int | None = None
    normalize: str = "frobenius"
    form: str = "auto"
    restart: int | None = None
    precision: str = "float32"
    eps: Any = 0.0

    def __post_init__(self):
        if isinstance(self.coefficients, str):
            known = (*polar.COEFFICIENTS, *EXACT)
            check_one_of("orthogonalize", known, coefficients=self.coefficients)
        check_one_of("orthogonalize", polar.NORMS, normalize=self.normalize)
        check_one_of("orthogonalize", polar.FORMS, form=self.form)
        check_one_of("orthogonalize", polar.PRECISIONS, precision=self.precision)

    @property
    def is_exact(self) -> bool:
        """Whether it is found by a decomposition."""
        return isinstance(self.coefficients, str) and self.coefficients in EXACT

    @property
    def decomposes(self) -> bool:
        """Whether there is a decomposition on the way to it."""
        return self.is_exact or self.normalize == "spectral"

    def __call__(self, x: jax.Array) -> jax.Array:
        """The polar factors of a batch ``(k, m, n)``."""
        if x.shape[-2] > x.shape[-1]:
            return polar.adjoint(self(polar.adjoint(x)))
        if isinstance(self.coefficients, str) and self.is_exact:
            return polar.exact_polar(x, self.coefficients)
        rows = polar.coefficients_of(self.coefficients, self.steps)
        x = polar.unit_length(x, self.normalize, self.eps)
        return polar.newton_schulz(
            x,
            rows,
            self.form,
            self.restart,
            self.precision,
        )


@transform(roles="adaptive")
def orthogonalize(
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    adjust: str | None = None,
    *,
    normalize: str = "frobenius",
    form: str = "auto",
    restart: StaticPositiveInt | None = None,
    precision: str = "float32",
    eps: NonNegative = 0.0,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Replace each matrix by its polar factor, nearly.

    .. math::
        G = U \Sigma V^* \quad\longrightarrow\quad u = s\, U f(\Sigma) V^*, \qquad f(\sigma) \approx
        1

    :math:`f` is a chain of odd polynomials :math:`a \sigma + b \sigma^3 + c \sigma^5`, which need
    only products (Newton-Schulz). Singular values of at least a hundredth of the norm come into a
    band:

    =================  =====  ==============
    coefficients       steps  band
    =================  =====  ==============
    ``quintic``        5      [0.68, 1.14]
    ``optimized``      5      [0.97, 1.04]
    ``polar_express``  5      [0.87, 1.13]
    ``cans``           5      [0.88, 1.12]
    ``turbo``          4      [0.76, 1.09]
    ``deepseek``       10     [0.99, 1.01]
    ``cubic``          5      [0.77, 1.31]
    =================  =====  ==============

    Smaller ones grow as far as they get, and none above 1.31. ``"svd"`` and ``"qdwh"`` are exact,
    and slow. A direction that is nothing but rounding stays 0 in the first, and may come out at
    full size in the second.

    Matrices are the leaves of ``weight_matrices(embeddings=False)``; how a leaf of more dimensions
    is seen as matrices says ``gc.matrixwise``. Other leaves pass as they are.

    Args:
        coefficients: a name in the table, ``"svd"`` or ``"qdwh"``, or rows ``(a, b, c)``.
        steps: the number of polynomials, by default as in the table. If it is larger than the rows
            that are given, the last row is repeated.
        adjust: the factor :math:`s` for a matrix from :math:`m` inputs to :math:`n` outputs:
            ``None`` for 1, ``"keller"`` for :math:`\sqrt{\max(1, n/m)}`, ``"rms"`` for :math:`0.2
            \sqrt{\max(m, n)}`, which is the size of Adam's updates, ``"dion"`` for
            :math:`\sqrt{n/m}`, ``"nuclear"`` for the sum of :math:`\langle G, u \rangle`, as in
            steepest descent.
        normalize: what the matrix is divided by before: ``"frobenius"``, ``"schatten"``,
            ``"spectral"`` or ``"aol"``; see ``gradchain.numerics.polar``.
        form: ``"standard"``, ``"gram"``, or ``"auto"`` for that of fewer operations.
        restart: after how many steps the Gram form goes back to the large matrix; by default
            before rounding errors are seen, and after every 2 steps in lower precision.
        precision: of products: ``"float32"``, ``"mixed"`` (factors of bfloat16, sums in float32)
            or ``"bfloat16"``.
        eps: is added to the norm, in the units of the update.
        where: the leaves that are matrices.
        fold: patterns of leaves that are folded in another way; see ``gc.matrixwise``.

    Raises:
        ValueError: if a name is not known, or a pattern does not fit its leaf.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon/; Amsel et al., "The Polar Express", 2025,
    https://arxiv.org/abs/2505.16932; Grishina et al., "Accelerating Newton-Schulz Iteration for
    Orthogonalization via Chebyshev-type Polynomials", 2025, https://arxiv.org/abs/2506.10935;
    Boissin et al., "Turbo-Muon", 2025, https://arxiv.org/abs/2512.04632

    Example:
        >>> tx, g = orthogonalize("svd"), jnp.array([[3.0, 0.0], [0.0, -0.1]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[ 1.  0.]
         [ 0. -1.]]
    """
    check_adjust(adjust)
    factor = PolarFactor(
        coefficients,
        steps,
        normalize,
        form,
        restart,
        precision,
        eps,
    )

    def rule(g, sides):
        u = factor(g)
        return u * adjustment(adjust, g, u, sides)

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        twins=True,
        decomposes=factor.decomposes,
    )


def check_adjust(adjust: str | None) -> None:
    """Refuse a factor by shape that is not known."""
    if adjust is not None:
        check_one_of("orthogonalize", ADJUSTMENTS, adjust=adjust)


def adjustment(
    adjust: str | None, g: jax.Array, u: jax.Array, sides: np.ndarray
) -> jax.Array | float:
    """The factors of ``orthogonalize``, by the sides of matrices."""
    if adjust is None:
        return 1.0
    if adjust == "nuclear":
        return jnp.sum(
            (jnp.conj(g) * u).real,
            (-2, -1),
            keepdims=True,
        )
    inputs, outputs = sides.T.astype(float)
    by = {
        "keller": np.sqrt(np.maximum(1, outputs / inputs)),
        "rms": 0.2 * np.sqrt(np.maximum(inputs, outputs)),
        "dion": np.sqrt(outputs / inputs),
    }[adjust]
    return jnp.asarray(by, g.real.dtype)[:, None, None]


@transform
def spectral_map(
    function: Callable[[jax.Array], jax.Array],
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Apply a function to the singular values of each matrix.

    .. math::
        G = U \Sigma V^* \quad\longrightarrow\quad u = U f(\Sigma) V^*

    It is exact, by a decomposition; singular values that are 0 up to rounding stay 0. Between the
    identity and ``jnp.ones_like``, which is ``orthogonalize("svd")``, are for example ``lambda s: s
    ** 0.5`` and ``jnp.tanh``.

    Args:
        function: :math:`f`, of an array ``(k, r)``: the singular values of each matrix, the largest
            first.
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: patterns of leaves that are folded in another way; see ``gc.matrixwise``.

    Source: Bernstein & Newhouse, "Old Optimizer, New Norm: An Anthology", 2024,
    https://arxiv.org/abs/2409.20325

    Example:
        >>> tx, g = spectral_map(jnp.sqrt), jnp.array([[4.0, 0.0], [0.0, 9.0]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[2. 0.]
         [0. 3.]]
    """
    rule = lambda g: polar.map_singular_values(g, function)
    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        twins=True,
        decomposes=True,
    )


@transform(roles="adaptive")
def equilibrate(
    steps: StaticPositiveInt = 1,
    sides: str = "both",
    eps: NonNegative = 1e-12,
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Scale rows and columns of each matrix to equal lengths.

    .. math::
        G_{i \cdot} \leftarrow \sqrt n\, \frac{G_{i \cdot}}{\lVert G_{i \cdot} \rVert + \epsilon},
        \qquad G_{\cdot j} \leftarrow \sqrt m\, \frac{G_{\cdot j}}{\lVert G_{\cdot j} \rVert +
        \epsilon}

    for a matrix of :math:`m` rows and :math:`n` columns: elements are 1 in the mean square. Before
    ``orthogonalize`` no row of the polar factor is short. Several steps of both are Sinkhorn's.

    Args:
        steps: how many times.
        sides: ``"rows"``, ``"columns"``, or ``"both"``, rows first.
        eps: :math:`\epsilon`, in the units of the update; a row of zeros stays zero.
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: patterns of leaves that are folded in another way; see ``gc.matrixwise``.

    Raises:
        ValueError: if ``sides`` is none of the three.

    Source: Scetbon et al., "Gradient Multi-Normalization for Stateless and Scalable LLM Training",
    2025, https://arxiv.org/abs/2502.06742

    Example:
        >>> tx, g = equilibrate(sides="rows"), jnp.array([[3.0, 4.0], [0.0, 0.0]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[0.8 1.1]
         [0.  0. ]]
    """
    check_one_of("equilibrate", ("rows", "columns", "both"), sides=sides)
    rule = lambda g: polar.equal_lengths(g, steps, sides, eps)
    return matrixwise(rule, matrices_in(where), fold)
