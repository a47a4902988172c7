"""SGD with Polyak's step length (Loizou et al., 2021)."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Finite, Hyper, Limit, NonNegative
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.numerics.arithmetic import safe_divide
from gradchain.numerics.lengths import Factor
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import tree_length


@transform
def scale_by_polyak(
    f_min: Finite = 0.0,
    max_learning_rate: Limit = 1.0,
    eps: NonNegative = 0.0,
    variant: str = "sps",
) -> Body:
    r"""Polyak's step length, from the value of the loss.

    The step is as long as a line with the slope of the gradient needs to fall to the minimum.

    .. math::
        u = \min\left(\frac{f - f^*}{\lVert g \rVert^2 + \epsilon},\ \gamma\right) g

    ``update`` takes the loss :math:`f` as ``value=``. The norm is over all leaves.

    Args:
        f_min: the least value :math:`f^*` that the loss can take, or a bound from below.
        max_learning_rate: the largest factor :math:`\gamma`.
        eps: :math:`\epsilon`, in squared units of the gradient.
        variant: ``"sps"``, or ``"sps+"``, which does not step uphill where the loss is below
            ``f_min``.

    Raises:
        ValueError: for another variant.

    Source: Loizou et al., "Stochastic Polyak Step-size for SGD", 2021,
    https://arxiv.org/abs/2002.10542; ``"sps+"``: Garrigos, Gower & Schaipp, "Function Value
    Learning", 2023, https://arxiv.org/abs/2307.14528

    Example:
        >>> tx = scale_by_polyak()
        >>> print(tx.update(jnp.array([2.0]), tx.init(jnp.zeros(1)), value=1.0)[0])
        [0.5]
    """
    check_one_of("scale_by_polyak", ("sps", "sps+"), variant=variant)

    def rule(g, value):
        gap = jnp.maximum(value - f_min, 0.0) if variant == "sps+" else value - f_min
        # In units of the gradient in which its square is in range; usually they are 1.
        length = tree_length(g)
        is_less = length.number < root(lax.stop_gradient(eps))  # then eps decides
        unit = jnp.where(is_less, 1.0, length.unit)
        per_unit = 1 / unit
        square = jnp.square(length.value * (length.unit / unit)) + eps * per_unit * per_unit
        step = Factor(per_unit, safe_divide(gap, square), per_unit)
        is_long = step.number > max_learning_rate
        return map_leaves(
            lambda g: jnp.where(
                is_long,
                max_learning_rate * g,
                step.times(g),
            ),
            g,
        )

    return treewise(rule)


@recipe
def polyak_sgd(
    max_learning_rate: Limit = 1.0,
    scaling: Hyper = 1.0,
    f_min: Finite = 0.0,
    eps: NonNegative = 0.0,
    variant: str = "sps",
) -> GradientTransformation:
    """Gradient descent with Polyak's step length: ``scale_by_polyak``, then the scaling.

    ``update`` takes the loss as ``value=``.

    Args:
        max_learning_rate: the largest step length, before the scaling.
        scaling: the learning rate in units of Polyak's, or its schedule.
        f_min: the least value that the loss can take.
        eps: added to the squared norm of the gradient.
        variant: ``"sps"`` or ``"sps+"``.

    Source: see ``scale_by_polyak``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = polyak_sgd(), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params, value=1.0)
        >>> print(params)
        [0.5]
    """
    direction = scale_by_polyak(f_min, max_learning_rate, eps, variant)
    return chain(direction, scale_by_learning_rate(scaling))
