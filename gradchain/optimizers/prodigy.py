"""Prodigy (Mishchenko & Defazio, 2023): an estimated learning rate."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.ranges import Decay, Fraction, Hyper, NonNegative, Positive
from gradchain.core.roles import with_roles
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, ema, safe_divide
from gradchain.numerics.roots import root
from gradchain.optimizers.adam import bias_corrections
from gradchain.transforms.scaling import scale
from gradchain.transforms.weight_decay import add_decay
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import dot, sum_of_magnitudes


@transform(roles="adaptive momentum")
def scale_by_prodigy(
    learning_rate: Hyper = 1.0,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    beta3: Fraction | None = None,
    eps: NonNegative = 1e-8,
    estim_lr0: Positive = 1e-6,
    estim_lr_coef: Positive = 1.0,
    weight_decay: NonNegative = 0.0,
    safeguard_warmup: bool = False,
    where: Where | None = None,
    *,
    bias_correction: bool = True,
) -> Body:
    r"""Prodigy: Adam in units of the distance to the solution.

    The estimate :math:`d` of the distance grows as more is learnt of it.

    With the rate :math:`\lambda_t = \eta_t d_t \sqrt{1-\beta_2^t} / (1-\beta_1^t)`,

    .. math::
        r &\leftarrow \beta_3 r + \tfrac{d_t}{d_0} \lambda_t \langle g_t, x_0 - x_t \rangle, \quad s
        \leftarrow \beta_3 s + \tfrac{d_t}{d_0} \lambda_t g_t, \quad d_{t+1} = \max(d_t, c\, r /
        \lVert s \rVert_1) \\ m &\leftarrow \beta_1 m + (1-\beta_1) d_t g_t, \quad v \leftarrow
        \beta_2 v + (1-\beta_2) d_t^2 |g_t|^2, \quad u = \lambda_t \Bigl(\frac{m}{\sqrt v + d_{t+1}
        \epsilon} + w\,x_t\Bigr)

    The learning rate is inside, since it weighs each gradient in the estimate. Without
    :math:`\epsilon` the steps do not change when the loss is multiplied by a number; with it they
    are smaller by a part :math:`\epsilon / |g|`.

    Args:
        learning_rate: the factor :math:`\eta` of the estimated distance, or its schedule with a
            peak of 1.
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        beta3: decay :math:`\beta_3` of the sums :math:`r` and :math:`s`; :math:`\sqrt{\beta_2}` by
            default.
        eps: :math:`\epsilon`, in the units of the gradient.
        estim_lr0: the distance at the start :math:`d_0`, below the true one, in the units of the
            parameters.
        estim_lr_coef: the factor :math:`c` of the estimate.
        weight_decay: the factor :math:`w` of the parameters, per unit of the rate.
        safeguard_warmup: whether :math:`s` takes :math:`d_t` in place of :math:`\lambda_t`, so that
            a warm-up from a tiny learning rate does not inflate the estimate.
        where: the leaves that decay; see ``add_decayed_weights``.
        bias_correction: whether :math:`\lambda_t` has the factor that undoes the pull of the
            moments towards zero; the authors' own code has it off.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Mishchenko & Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", 2023,
    https://arxiv.org/abs/2306.06101

    Example:
        >>> tx, params = scale_by_prodigy(estim_lr0=0.5), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0].round(3))
        [0.5]
    """

    def rule(g, s, p, t):
        d = s["distance"]
        decay = root(b2) if beta3 is None else beta3
        rate = learning_rate * d
        if bias_correction:
            rate = rate * bias_corrections(b1, b2, t)
        weight = d / estim_lr0
        gain = dot(g, map_leaves(jnp.subtract, s["start"], p))
        numerator = decay * s["numerator"] + weight * rate * gain
        share = weight * (d if safeguard_warmup else rate)
        sums = map_leaves(lambda g, old: decay * old + share * g, g, s["sums"])
        estimate = estim_lr_coef * safe_divide(numerator, sum_of_magnitudes(sums))
        distance = jnp.maximum(d, estimate)

        mu = map_leaves(lambda g, mu: ema(d * g, mu, b1), g, s["mu"])
        nu = map_leaves(lambda g, nu: ema(abs2(d * g), nu, b2), g, s["nu"])
        divide = lambda mu, nu: rate * mu / (root(nu) + distance * eps)
        u = map_leaves(divide, mu, nu)
        new = {"mu": mu, "nu": nu, "sums": sums}
        new |= {"distance": distance, "numerator": numerator}
        return add_decay(u, p, rate * weight_decay, where), s | new

    slots = {"start": like_param(copy=True), "mu": like_param, "nu": like_param(real=True)}
    slots |= {"sums": like_param, "distance": scalar(fill=estim_lr0), "numerator": scalar}
    return treewise(rule, **slots)


@recipe
@with_roles("step")
def prodigy(
    learning_rate: Hyper = 1.0,
    betas: tuple[Decay, Decay] = (0.9, 0.999),
    beta3: Fraction | None = None,
    eps: NonNegative = 1e-8,
    estim_lr0: Positive = 1e-6,
    estim_lr_coef: Positive = 1.0,
    weight_decay: NonNegative = 0.0,
    safeguard_warmup: bool = False,
    where: Where | None = None,
    *,
    bias_correction: bool = True,
) -> GradientTransformation:
    """Prodigy: ``scale_by_prodigy``, downhill.

    Args:
        learning_rate: the factor of the estimated distance, or its schedule with a peak of 1.
        betas: decays of the first and the second moment.
        beta3: decay of the sums of the estimate; the root of the second of ``betas`` by default.
        eps: bounds the direction where gradients vanish.
        estim_lr0: the distance to the solution at the start, below the true one, in the units of
            the parameters.
        estim_lr_coef: the factor of the estimate.
        weight_decay: the factor of the parameters, per unit of the rate.
        safeguard_warmup: whether a warm-up from a tiny learning rate must not inflate the estimate.
        where: the leaves that decay; see ``add_decayed_weights``.
        bias_correction: whether to undo the pull of the moments towards zero.

    Source: see ``scale_by_prodigy``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = prodigy(estim_lr0=0.5), jnp.array([4.0])
        >>> params, state = tx.step(jnp.array([8.0]), tx.init(params), params)
        >>> print(f"{params[0]:.3f}")
        3.500
    """
    estimate = (beta3, eps, estim_lr0, estim_lr_coef)
    direction = scale_by_prodigy(
        learning_rate,
        *betas,
        *estimate,
        weight_decay,
        safeguard_warmup,
        where,
        bias_correction=bias_correction,
    )
    return chain(direction, scale(-1.0))
