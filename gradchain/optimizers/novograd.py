"""NovoGrad (Ginsburg et al., 2019): one second moment per layer."""

from __future__ import annotations

import jax.numpy as jnp

from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import ema, safe_divide
from gradchain.numerics.lengths import with_squares
from gradchain.numerics.reductions import total
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import decaying


@transform(roles="adaptive momentum")
def scale_by_novograd(
    b1: Decay = 0.9,
    b2: Decay = 0.25,
    eps: NonNegative = 1e-8,
    *,
    eps_root: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
) -> Body:
    r"""NovoGrad's direction: momentum of gradients normalised by leaf.

    Each gradient is divided by the root of an average of its leaf's squared norm.

    .. math::
        v \leftarrow \beta_2 v + (1-\beta_2) \lVert g \rVert^2, \quad
        m \leftarrow \beta_1 m + \frac{g}{\sqrt{v + \epsilon_r} + \epsilon} + \lambda p, \quad u = m

    The average :math:`v`, one number for each leaf, starts as the first :math:`\lVert g \rVert^2`.

    Args:
        b1: decay :math:`\beta_1` of the momentum ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the squared norm ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient's norm.
        eps_root: :math:`\epsilon_r` under the root.
        weight_decay: the decay :math:`\lambda`, which passes through the momentum.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments for
    Training of Deep Networks", 2019, https://arxiv.org/abs/1905.11286

    Example:
        >>> tx, params = scale_by_novograd(), jnp.zeros(2)
        >>> print(tx.update(jnp.array([3.0, -4.0]), tx.init(params), params)[0].round(3))
        [ 0.6 -0.8]
    """

    def rule(g, s, p, t):
        g, size = with_squares(g, total)
        nu = jnp.where(t == 1, size, ema(size, s["nu"], b2))
        normalised = safe_divide(g, root(nu + eps_root) + eps)
        mu = b1 * s["mu"] + normalised + weight_decay * p
        return mu, {"mu": mu, "nu": nu}

    return leafwise(rule, mu=like_param, nu=scalar)


@recipe
def novograd(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.25,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    *,
    eps_root: NonNegative = 0.0,
) -> GradientTransformation:
    """NovoGrad: ``scale_by_novograd``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the momentum.
        b2: decay of the squared norm.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, which passes through the momentum.
        where: the leaves that decay; see ``add_decayed_weights``.
        eps_root: as ``eps``, under the root.

    Source: see ``scale_by_novograd``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = novograd(0.5, eps=0.0), jnp.array([4.0])
        >>> print(tx.step(jnp.array([2.0]), tx.init(params), params)[0])
        [3.5]
    """

    def with_decay(decay):
        return scale_by_novograd(b1, b2, eps, eps_root=eps_root, weight_decay=decay)

    direction = decaying(with_decay, weight_decay, where)
    return chain(direction, scale_by_learning_rate(learning_rate))
