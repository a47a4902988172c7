"""Muon (Jordan et al., 2024): momentum, orthogonalised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.transformation import GradientTransformation, chain, recipe
from gradchain.core.types import Glob, Pair, Where
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.orthogonalize import orthogonalize


@recipe
def scale_by_muon(
    b1: Decay = 0.95,
    nesterov: bool = True,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    debias: bool = False,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> GradientTransformation:
    r"""Muon's direction: ``average_updates``, then ``orthogonalize``.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad u = s\, \mathrm{polar}(\beta m + (1-\beta) g)

    Args:
        b1: the decay :math:`\beta` of the average, in [0, 1).
        nesterov: whether to look ahead, as in the formula; else :math:`u = s\,
            \mathrm{polar}(m)`.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        debias: whether the average is corrected for its start, as in optax; without Nesterov's
            look-ahead this changes nothing.
        precision: of products; see ``orthogonalize``.
        where: the leaves that are orthogonalised; the others are averaged.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon/

    Example:
        >>> import jax.numpy as jnp
        >>> tx, g = scale_by_muon(adjust="keller"), jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(1))
        [[ 0.7  0. ]
         [ 0.  -0.7]]
    """
    average = average_updates(b1, debias, nesterov)
    polar = orthogonalize(
        coefficients, steps, adjust, precision=precision, where=where, fold=fold
    )
    return chain(average, polar)


@recipe
def muon(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = True,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    debias: bool = False,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Muon for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_muon``, ``add_decayed_weights``, then the learning rate.
    Embeddings, biases and norms go to ``fallback``; an output head has no name by which it is
    known: give ``where``.

    Args:
        learning_rate: the rate, or its schedule: with ``adjust="rms"`` that of AdamW, with
            ``"keller"`` usually 0.02.
        b1: decay of the average.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        nesterov: whether to look ahead.
        adjust: the factor by shape; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        debias: whether the average is corrected for its start.
        precision: of products; ``"bfloat16"`` is usual on accelerators.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate, which suits ``adjust="rms"`` only, and the same decay, of biases and norms too.

    Source: see ``scale_by_muon``; Liu et al., "Muon is Scalable for LLM Training", 2025,
    https://arxiv.org/abs/2502.16982

    Example:
        >>> import gradchain as gc
        >>> tx = muon(1e-3)  # in the place of adamw(1e-3)
        >>> rest = gc.adamw(1e-3, weight_decay=0.1, where=gc.weight_matrices())
        >>> tx = muon(1e-3, weight_decay=0.1, fallback=rest)
        >>> tx = muon(0.02, adjust="keller", fallback=gc.adamw(3e-4))
    """
    direction = scale_by_muon(
        b1,
        nesterov,
        adjust,
        coefficients,
        steps,
        debias=debias,
        precision=precision,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
