"""AdaBelief (Zhuang et al., 2020): Adam scaled by gradient variance."""

from __future__ import annotations

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.numerics.arithmetic import abs2, debias, ema, nesterov_mean
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate


@transform(roles="adaptive momentum")
def scale_by_belief(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    *,
    eps_root: NonNegative = 1e-16,
    nesterov: bool = False,
) -> Body:
    r"""AdaBelief's direction: Adam's, scaled by deviations of the gradient.

    In the second moment, the deviation of the gradient from its mean takes the place of the
    gradient.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad s \leftarrow \beta_2 s + (1-\beta_2) |g-m|^2 +
        \epsilon_r, \quad u = \frac{m / (1-\beta_1^t)}{\sqrt{s / (1-\beta_2^t)} + \epsilon}

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the mean squared deviation ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r`, added to :math:`s` at each step, in squared units of the
            gradient.
        nesterov: whether the first moment looks ahead, as in ``scale_by_nadam``.

    Source: Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed
    Gradients", 2020, https://arxiv.org/abs/2010.07468

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_belief()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(2))
        [ 1.11 -1.11]
    """

    def rule(g, s, t):
        deviation = b1 * (g - s["mu"])  # of g from the new mean
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(deviation), s["nu"], b2) + eps_root
        mean = nesterov_mean(mu, g, b1, t) if nesterov else debias(mu, b1, t)
        size = root(debias(nu, b2, t)) + eps
        return mean / size, {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))


@recipe
def adabelief(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-16,
    *,
    eps_root: NonNegative = 1e-16,
    nesterov: bool = False,
) -> GradientTransformation:
    """AdaBelief: ``scale_by_belief``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the mean squared deviation.
        eps: bounds the direction where gradients vanish.
        eps_root: added to the mean squared deviation at each step.
        nesterov: whether the first moment looks ahead.

    Source: see ``scale_by_belief``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adabelief(0.1, b1=0.5), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params.round(1))
        [0.8]
    """
    return chain(
        scale_by_belief(b1, b2, eps, eps_root=eps_root, nesterov=nesterov),
        scale_by_learning_rate(learning_rate),
    )
