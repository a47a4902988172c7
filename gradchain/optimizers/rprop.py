"""Rprop (Riedmiller & Braun, 1993): step sizes from gradient signs."""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Hyper, NonNegative
from gradchain.core.roles import with_roles
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.transforms.scaling import scale


@transform(roles="adaptive")
def scale_by_rprop(
    learning_rate: Hyper,
    eta_minus: Annotated[Hyper, "(0, 1)"] = 0.5,
    eta_plus: Annotated[Hyper, "(1, inf)"] = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: Annotated[Hyper, "(0, inf]"] = 50.0,
) -> Body:
    r"""iRprop-: step sizes from the signs of gradients.

    Steps grow while the sign of the gradient stays, and shrink where it changes.

    .. math::
        \delta \leftarrow \mathrm{clip}(\eta\,\delta), \qquad u = \delta\,\mathrm{sign}(g)

    with :math:`\eta = \eta^+` where the sign is that of the step before and :math:`\eta = \eta^-`
    where it is the opposite. There the gradient counts as zero, now and at the next step. For
    complex numbers the sign is :math:`g/|g|`, and opposite means more than a right angle away.

    Args:
        learning_rate: where the step sizes :math:`\delta` start, in units of the parameter. They
            are a part of the state: a later value of a schedule changes nothing.
        eta_minus: the factor :math:`\eta^-` in (0, 1).
        eta_plus: the factor :math:`\eta^+ > 1`.
        min_step_size: the smallest step.
        max_step_size: the largest step.

    Source: Riedmiller & Braun, "A direct adaptive method for faster backpropagation learning: the
    RPROP algorithm", 1993, https://doi.org/10.1109/ICNN.1993.298623; Igel & Hüsken, "Empirical
    evaluation of the improved Rprop learning algorithms", 2003,
    https://doi.org/10.1016/S0925-2312(01)00700-7

    Example:
        >>> tx = scale_by_rprop(0.1)
        >>> updates, state = tx.update(jnp.array([3.0, 3.0]), tx.init(jnp.zeros(2)))
        >>> print(updates, tx.update(jnp.array([1.0, -1.0]), state)[0])
        [0.1 0.1] [0.12 0.  ]
    """

    def rule(g, s):
        sign = jnp.sign(g)
        # of signs, since a product of gradients might underflow
        agreement = (jnp.conj(s["previous"]) * sign).real
        factor = jnp.where(agreement < 0, eta_minus, 1.0)
        factor = jnp.where(agreement > 0, eta_plus, factor)
        size = jnp.clip(factor * s["step_size"], min_step_size, max_step_size)
        sign = jnp.where(agreement < 0, jnp.zeros_like(sign), sign)
        return size * sign, {"step_size": size, "previous": sign}

    step_size = like_param(real=True, fill=learning_rate)
    return elementwise(rule, step_size=step_size, previous=like_param)


@recipe
@with_roles("step")
def rprop(
    learning_rate: Hyper,
    eta_minus: Annotated[Hyper, "(0, 1)"] = 0.5,
    eta_plus: Annotated[Hyper, "(1, inf)"] = 1.2,
    min_step_size: NonNegative = 1e-6,
    max_step_size: Annotated[Hyper, "(0, inf]"] = 50.0,
) -> GradientTransformation:
    """Resilient propagation, for gradients without noise: ``scale_by_rprop``, downhill.

    Args:
        learning_rate: the step size at the start.
        eta_minus: the factor of a step size where the gradient changes its sign.
        eta_plus: the factor where it does not.
        min_step_size: the smallest step.
        max_step_size: the largest step.

    Source: see ``scale_by_rprop``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = rprop(0.1), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    sizes = (min_step_size, max_step_size)
    return chain(
        scale_by_rprop(
            learning_rate,
            eta_minus,
            eta_plus,
            *sizes,
        ),
        scale(-1.0),
    )
