"""ACProp, as optax has it."""

import jax.numpy as jnp

from gradchain.as_optax.adapters import accept_any_extra, where_of
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.core.lift import elementwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import chain, transform
from gradchain.numerics.arithmetic import abs2, debias, ema
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


def acprop(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-16,
    eps_root: Hyper = 1e-16,
    weight_decay: Hyper = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """ACProp, with decoupled weight decay; see ``scale_by_acprop``."""
    direction = scale_by_past_deviation(b1, b2, eps, eps_root)
    decay = add_decayed_weights(weight_decay, where_of(mask))
    return accept_any_extra(chain(direction, decay, scale_by_learning_rate(learning_rate)))


def scale_by_acprop(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-16,
    eps_root: Hyper = 1e-16,
) -> GradientTransformationExtraArgs:
    """ACProp's direction.

    Deviations are from the mean before a gradient, those of ``gradchain.scale_by_acprop``, as in
    the paper, from the mean with it: they are smaller by the factor ``b1``.
    """
    return accept_any_extra(scale_by_past_deviation(b1, b2, eps, eps_root))


@transform(roles="adaptive")
def scale_by_past_deviation(
    b1: Decay, b2: Decay, eps: NonNegative, eps_root: NonNegative
) -> Body:
    """Divide by the deviation of past gradients from their mean.

    Args:
        b1: decay of the mean gradient.
        b2: decay of the mean squared deviation.
        eps: bounds the direction where gradients vanish.
        eps_root: added to the mean squared deviation at each step.
    """

    def rule(g, s, t):
        is_first = t == 1
        last = jnp.where(is_first, 1.0, t - 1)
        variance = jnp.where(is_first, 1.0, debias(s["nu"], b2, last))
        mu = ema(g, s["mu"], b1)
        nu = ema(abs2(g - s["mu"]), s["nu"], b2) + eps_root
        return g / (root(variance) + eps), {"mu": mu, "nu": nu}

    return elementwise(rule, mu=like_param, nu=like_param(real=True))
