"""Muon, with optax's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.as_optax.adam_family import adamw
from gradchain.as_optax.adapters import accept_any_extra, stored, where_of
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.combining import partition
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.dimension_numbers import (
    DimensionNumbers,
    MuonDimensionNumbers as MuonDimensionNumbers,
    Numbers,
    WeightDimNumOrFn,
    fold_by_numbers,
    folded,
    scale_by_dual_norm,
)
from gradchain.as_optax.shown import shown_as
from gradchain.core.folding import Fold
from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Hyper
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, transform
from gradchain.core.types import Dtype, Shape, Tree
from gradchain.numerics.polar import COEFFICIENTS, NORMS, Row
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.orthogonalize import adjustment, orthogonalize
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.tree.mapping import is_traced
from gradchain.tree.paths import flatten

Coefficients: TypeAlias = Sequence[float] | Sequence[Sequence[float]]
"""One row (a, b, c) for all steps, or a row for each."""

Preconditioning: TypeAlias = Literal["frobenius", "spectral", "aol", "schatten"]

_STANDARD = COEFFICIENTS["quintic"][0]
_PRESETS: dict[str, Coefficients] = {"standard": _STANDARD, "dion": COEFFICIENTS["optimized"]}
#: Leaves are folded before, whatever their names are.
_BATCHES = {"*": "k m n -> k m n"}


def scale_by_muon(
    ns_coeffs: Coefficients = _STANDARD,
    ns_steps: int = 5,
    beta: Hyper = 0.95,
    eps: float = 1e-8,
    mu_dtype: Dtype | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: Preconditioning = "frobenius",
    weight_dimension_numbers: WeightDimNumOrFn = None,
) -> GradientTransformationExtraArgs:
    """Muon's direction; see ``gradchain.scale_by_muon``.

    ``eps`` is added to the Frobenius norm; other ways of ``preconditioning`` need none.
    """
    direction = _orthogonal(
        ns_coeffs, ns_steps, eps, adaptive, preconditioning, weight_dimension_numbers
    )
    average = stored(average_updates(beta, True, nesterov), "average", mu_dtype)
    rows = tuple(map(tuple, np.atleast_2d(np.asarray(ns_coeffs, np.float64)).tolist()))
    shown = rows if np.ndim(ns_coeffs) == 2 else rows[0]
    return accept_any_extra(shown_as(chain(average, direction), "muon", shown))


def _orthogonal(
    ns_coeffs: Coefficients,
    ns_steps: int,
    eps: float,
    adaptive: bool,
    preconditioning: str,
    numbers: WeightDimNumOrFn,
) -> GradientTransformation:
    """The direction without its momentum.

    Raises:
        ValueError: if the way of preconditioning is not known.
    """
    if preconditioning not in NORMS:
        raise ValueError(
            f"Unknown preconditioning {preconditioning!r}; known: {', '.join(NORMS)}."
        )
    polar = orthogonalize(
        _rows(ns_coeffs, ns_steps),
        normalize=preconditioning,
        eps=eps if preconditioning == "frobenius" else 0.0,
        where="*",
        fold=_BATCHES,
    )
    polar = scale_by_dual_norm(polar) if adaptive else polar
    return folded(polar, ForMuon(numbers))


def _rows(ns_coeffs: Any, ns_steps: Any) -> tuple[Row, ...]:
    """The coefficients of each step.

    One row is for all of them.

    Raises:
        TypeError: for traced numbers.
        ValueError: for another shape, or more rows than steps.
    """
    if is_traced(jax.tree.leaves((ns_coeffs, ns_steps))):
        raise TypeError(
            "muon: ns_coeffs and ns_steps must be known when the program is compiled, not traced."
        )
    rows, steps = np.asarray(ns_coeffs, np.float64), int(ns_steps)
    if rows.ndim not in (1, 2) or rows.shape[-1] != 3:
        raise ValueError(f"ns_coeffs must have shape (3,) or (n, 3), got {rows.shape}.")
    if rows.ndim == 1:
        return (tuple(rows.tolist()),) * steps
    if len(rows) > steps:
        raise ValueError(
            f"ns_coeffs has {len(rows)} rows, one for each step, and ns_steps is {steps}: as in"
            " optax, rows are not left out."
        )
    return tuple(tuple(row) for row in rows.tolist())


class ForMuon(Numbers):
    """Dimension numbers, which a matrix does not need."""

    def fold(self, numbers: DimensionNumbers | None, shape: Shape) -> Fold:
        """See ``Numbers``.

        Raises:
            ValueError: if there are none for a leaf that is no matrix.
        """
        if numbers is None and len(shape) != 2:
            raise ValueError(
                "scale_by_muon: Input must have shape (m, n) or weight dimension numbers must be"
                f" provided, got shape {list(shape)}."
            )
        return fold_by_numbers(numbers or MuonDimensionNumbers(), shape)

    def labels(self, tree: Tree) -> Tree:
        """Which leaves are for Muon, and which for Adam."""
        leaves, treedef = flatten(tree)
        is_matrix = lambda x: self.given is None and jnp.ndim(x) == 2
        return treedef.unflatten(
            None if x is None else "muon" if numbers or is_matrix(x) else "adam"
            for x, numbers in zip(leaves, self(tree), strict=True)
        )


@transform
def scale_by_shape(consistent_rms: Hyper | None = None) -> Body:
    """Scale updates by a factor of the shapes of matrices.

    Args:
        consistent_rms: the root mean square that elements come to; ``None`` is for the factor of
            ``gradchain.orthogonalize(adjust="keller")``.
    """
    adjust = "keller" if consistent_rms is None else "rms"
    size = 1.0 if consistent_rms is None else consistent_rms / 0.2

    def rule(g, sides):
        return size * adjustment(adjust, g, g, sides) * g

    return matrixwise(rule, "*", _BATCHES)


def muon(
    learning_rate: ScalarOrSchedule,
    ns_coeffs: Coefficients | str = _STANDARD,
    ns_steps: int = 5,
    beta: Hyper = 0.95,
    eps: float = 1e-8,
    weight_decay: Hyper = 0.0,
    weight_decay_mask: MaskOrFn | None = None,
    mu_dtype: Dtype | None = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: Preconditioning = "frobenius",
    adam_b1: Hyper = 0.9,
    adam_b2: Hyper = 0.999,
    adam_eps_root: Hyper = 0.0,
    adam_weight_decay: Hyper = 0.0,
    adam_learning_rate: ScalarOrSchedule | None = None,
    muon_weight_dimension_numbers: WeightDimNumOrFn = None,
    consistent_rms: Hyper | None = None,
) -> GradientTransformationExtraArgs:
    """Muon for matrices, AdamW for the rest; see ``gradchain.muon``.

    Without dimension numbers every leaf of two dimensions is a matrix, embeddings and the output
    head too.

    Raises:
        ValueError: if a name of coefficients is not known.
    """
    if isinstance(ns_coeffs, str):
        if ns_coeffs not in _PRESETS:
            known = ", ".join(_PRESETS)
            raise ValueError(f"Unknown ns_coeff preset string: {ns_coeffs!r}; known: {known}.")
        ns_coeffs = _PRESETS[ns_coeffs]
    direction = scale_by_muon(
        ns_coeffs,
        ns_steps,
        beta,
        eps,
        mu_dtype,
        nesterov=nesterov,
        adaptive=adaptive,
        preconditioning=preconditioning,
        weight_dimension_numbers=muon_weight_dimension_numbers,
    )
    numbers = ForMuon(muon_weight_dimension_numbers)
    matrices = chain(
        direction,
        folded(scale_by_shape(consistent_rms), numbers),
        add_decayed_weights(weight_decay, where_of(weight_decay_mask)),
        scale_by_learning_rate(learning_rate),
    )
    rest = adamw(
        learning_rate if adam_learning_rate is None else adam_learning_rate,
        adam_b1,
        adam_b2,
        eps,
        adam_eps_root,
        mu_dtype,
        adam_weight_decay,
        nesterov=nesterov,
    )
    return partition({"muon": matrices, "adam": rest}, numbers.labels)
