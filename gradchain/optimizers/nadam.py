"""NAdam (Dozat, 2016): Adam with Nesterov momentum."""

from __future__ import annotations

from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, debias, ema, nesterov_mean
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


@transform(roles="adaptive momentum")
def scale_by_nadam(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
    momentum_decay: NonNegative | None = None,
) -> Body:
    r"""Adam's direction with Nesterov's look-ahead.

    .. math::
        \hat m = \frac{\mu_{t+1}\,m}{1 - \mu_1 \cdots \mu_{t+1}} + \frac{(1-\mu_t)\,g}{1 - \mu_1
        \cdots \mu_t}, \quad u = \frac{\hat m}{\sqrt{v / (1-\beta_2^t) + \epsilon_r} + \epsilon}

    with the moments :math:`m` and :math:`v` of ``scale_by_adam``, and :math:`\mu_i = \beta_1`.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        eps_root: :math:`\epsilon_r` under the root, in squared units of the gradient.
        momentum_decay: :math:`\psi` of a momentum that warms up, :math:`\mu_i = \beta_1 (1 -
            0.96^{i \psi} / 2)`; the paper and PyTorch have 0.004. ``None`` keeps :math:`\mu_i =
            \beta_1`.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016,
    https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ

    Example:
        >>> import jax.numpy as jnp
        >>> tx = scale_by_nadam()
        >>> print(tx.update(jnp.array([3.0, -0.1]), tx.init(jnp.zeros(2)))[0].round(1))
        [ 1.5 -1.5]
    """

    def moments(g, s, t):
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g), s["nu"], b2)
        return mu, nu, root(debias(nu, b2, t) + eps_root) + eps

    def constant(g, s, t):
        mu, nu, size = moments(g, s, t)
        return nesterov_mean(mu, g, b1, t) / size, {"mu": mu, "nu": nu}

    def warming_up(g, s, t):
        mu, nu, size = moments(g, s, t)
        momentum_at = lambda i: b1 * (1 - 0.5 * 0.96 ** (momentum_decay * i))
        now, ahead = momentum_at(t), momentum_at(t + 1)
        product = s["momentum_product"] * now
        of_mean = ahead * mu / (1 - product * ahead)
        of_gradient = (1 - now) * g / (1 - product)
        mean = of_mean + of_gradient
        return mean / size, {"mu": mu, "nu": nu, "momentum_product": product}

    slots = {"mu": like_param, "nu": like_param(real=True)}
    if momentum_decay is None:
        return elementwise(constant, **slots)
    return elementwise(warming_up, **slots, momentum_product=scalar(fill=1.0))


@recipe
def nadam(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
    momentum_decay: NonNegative | None = None,
) -> GradientTransformation:
    """Adam with Nesterov's look-ahead: ``scale_by_nadam``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        eps_root: as ``eps``, under the root.
        momentum_decay: how fast the momentum warms up, 0.004 in the paper and in PyTorch; ``None``
            keeps it constant.

    Source: see ``scale_by_nadam``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = nadam(0.1, b1=0.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.9]
    """
    return chain(
        scale_by_nadam(b1, b2, eps, eps_root=eps_root, momentum_decay=momentum_decay),
        scale_by_learning_rate(learning_rate),
    )


@recipe
def nadamw(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 1e-4,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 0.0,
    momentum_decay: NonNegative | None = None,
) -> GradientTransformation:
    """NAdam with decoupled weight decay.

    It is ``scale_by_nadam``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.
        momentum_decay: how fast the momentum warms up, 0.004 in the paper and in PyTorch; ``None``
            keeps it constant.

    Source: see ``scale_by_nadam`` and ``add_decayed_weights``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = nadamw(0.125, b1=0.0, weight_decay=1.0), jnp.array([1.0])
        >>> params, state = tx.step(jnp.array([2.0]), tx.init(params), params)
        >>> print(params)
        [0.75]
    """
    direction = scale_by_nadam(
        b1,
        b2,
        eps,
        eps_root=eps_root,
        momentum_decay=momentum_decay,
    )
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
