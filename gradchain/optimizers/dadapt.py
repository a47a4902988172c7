"""D-Adaptation (Defazio & Mishchenko, 2023): the learning rate is estimated."""

from __future__ import annotations

from typing import Annotated

from gradchain.core.ranges import Decay, Hyper, NonNegative, Positive
from gradchain.core.roles import with_roles
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, ema, safe_divide, squarable
from gradchain.numerics.roots import over_root, root
from gradchain.optimizers.adam import bias_corrections
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.scaling import identity, scale
from gradchain.transforms.weight_decay import add_decay, add_decayed_weights
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import dot, sum_of_magnitudes
from gradchain.wrappers.dadapt import bounded_growth, dadapt


@transform(roles="adaptive momentum")
def scale_by_dadapt_adam(
    learning_rate: Hyper = 1.0,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    estim_lr0: Positive = 1e-6,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    growth_rate: Annotated[Hyper, "[1, inf]"] | None = None,
    bias_correction: bool = True,
) -> Body:
    r"""Adam with D-Adaptation, which estimates the distance to the solution.

    The estimate :math:`d` bounds the distance from below.

    With the rate :math:`\lambda_t = \eta_t d_t \sqrt{1-\beta_2^t} / (1-\beta_1^t)` and
    :math:`A_t = \sqrt{v_t} + \epsilon`,

    .. math::
        r &\leftarrow \sqrt{\beta_2}\,r + \sigma \lambda_t \langle g_t, s / A_{t-1} \rangle, \quad s
        \leftarrow \sqrt{\beta_2}\,s + \sigma \lambda_t g_t, \quad d_{t+1} = \max\bigl(d_t, r /
        (\sigma \lVert s \rVert_1)\bigr) \\ m &\leftarrow \beta_1 m + (1-\beta_1) \lambda_t g_t,
        \quad v \leftarrow \beta_2 v + (1-\beta_2) |g_t|^2, \quad u = m / A_t + \lambda_t w\,x_t

    with :math:`\sigma = 1 - \sqrt{\beta_2}`. The distance is that of the largest coordinate. Like
    the authors' code it measures :math:`s` by :math:`A_{t-1}`, where the paper's algorithm has
    :math:`A_t`. ``dadapt`` is the same idea around any direction. Without :math:`\epsilon` the
    steps do not change when the loss is multiplied by a number; with it they are smaller by a part
    :math:`\epsilon / |g|`.

    Args:
        learning_rate: the factor :math:`\eta` of the estimated distance, or its schedule with a
            peak of 1.
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        estim_lr0: the distance at the start, below the true one, in the units of the parameters.
        weight_decay: the factor :math:`w` of the parameters, per unit of the rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        growth_rate: how many times its value the distance may become in one step; ``None`` sets no
            bound.
        bias_correction: whether :math:`\lambda_t` has the factor that undoes the pull of the
            moments towards zero; the authors' own code has it off.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Defazio & Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023,
    https://arxiv.org/abs/2301.07733

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_dadapt_adam(estim_lr0=0.5), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0].round(3))
        [0.5]
    """

    def rule(g, s, p, t):
        g = map_leaves(squarable, g)
        d, decay = s["distance"], root(b2)
        rate = learning_rate * d
        if bias_correction:
            rate = rate * bias_corrections(b1, b2, t)
        scaled = lambda total, nu: safe_divide(total, root(nu) + eps)
        gain = dot(g, map_leaves(scaled, s["sums"], s["nu"]))
        share = (1 - b2) / (1 + decay)  # 1 - decay, without its loss of digits
        numerator = decay * s["numerator"] + share * rate * gain
        sums = map_leaves(lambda g, old: decay * old + share * rate * g, g, s["sums"])
        estimate = safe_divide(numerator, share * sum_of_magnitudes(sums))
        distance = bounded_growth(d, estimate, growth_rate)

        mu = map_leaves(lambda g, mu: ema(rate * g, mu, b1), g, s["mu"])
        nu = map_leaves(lambda g, nu: ema(abs2(g), nu, b2), g, s["nu"])
        u = map_leaves(lambda mu, nu: over_root(mu, nu, eps), mu, nu)
        new = {"mu": mu, "nu": nu, "sums": sums}
        new |= {"distance": distance, "numerator": numerator}
        return add_decay(u, p, rate * weight_decay, where), new

    moments = {"mu": like_param, "nu": like_param(real=True), "sums": like_param}
    return treewise(
        rule,
        **moments,
        distance=scalar(fill=estim_lr0),
        numerator=scalar,
    )


@recipe
@with_roles("step")
def dadapt_sgd(
    learning_rate: Hyper = 1.0,
    momentum: Decay = 0.9,
    estim_lr0: Positive = 1e-6,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    growth_rate: Annotated[Hyper, "[1, inf]"] | None = None,
) -> GradientTransformation:
    r"""SGD with D-Adaptation: ``dadapt``, then a moving average of steps.

    ``dadapt`` is around the gradient itself.

    Args:
        learning_rate: the factor of the estimated distance, or its schedule with a peak of 1.
        momentum: decay of the average: :math:`x \leftarrow \mu x + (1-\mu) z` for the sequence
            :math:`z` without it.
        estim_lr0: the distance to the solution at the start, below the true one, in the units of
            the parameters.
        weight_decay: the factor of the parameters that is added to the gradient.
        where: the leaves that decay; see ``add_decayed_weights``.
        growth_rate: how many times its value the distance may become in one step; ``None`` sets no
            bound.

    Source: see ``dadapt``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dadapt_sgd(momentum=0.5, estim_lr0=1.0), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(params)
        [3.5]
    """
    options = {"estim_lr_coef": 2.0, "growth_rate": growth_rate}
    step = dadapt(identity(), learning_rate, estim_lr0, **options)
    decay = add_decayed_weights(weight_decay, where)
    return chain(decay, step, average_updates(momentum, debias=False), scale(-1.0))


@recipe
@with_roles("step")
def dadapt_adamw(
    learning_rate: Hyper = 1.0,
    betas: tuple[Decay, Decay] = (0.9, 0.999),
    eps: NonNegative = 1e-8,
    estim_lr0: Positive = 1e-6,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    growth_rate: Annotated[Hyper, "[1, inf]"] | None = None,
    bias_correction: bool = True,
) -> GradientTransformation:
    """AdamW with D-Adaptation: ``scale_by_dadapt_adam``, downhill.

    Args:
        learning_rate: the factor of the estimated distance, or its schedule with a peak of 1.
        betas: decays of the first and the second moment.
        eps: bounds the direction where gradients vanish.
        estim_lr0: the distance to the solution at the start, below the true one, in the units of
            the parameters.
        weight_decay: the factor of the parameters, per unit of the rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        growth_rate: how many times its value the distance may become in one step; ``None`` sets no
            bound.
        bias_correction: whether to undo the pull of the moments towards zero.

    Source: see ``scale_by_dadapt_adam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = dadapt_adamw(estim_lr0=0.5), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(f"{params[0]:.3f}")
        3.500
    """
    numbers = (learning_rate, *betas, eps, estim_lr0, weight_decay)
    direction = scale_by_dadapt_adam(
        *numbers, where, growth_rate=growth_rate, bias_correction=bias_correction
    )
    return chain(direction, scale(-1.0))
