"""Optimizers, with optax's arguments."""

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import (
    accept_any_extra,
    accepting_any_extra,
    stored,
    where_of,
)
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.random_noise import add_noise
from gradchain.core.ranges import Hyper
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Dtype
from gradchain.optimizers.adadelta import adadelta as native_adadelta
from gradchain.optimizers.adafactor import scale_by_factored_rms
from gradchain.optimizers.adagrad import adagrad as native_adagrad
from gradchain.optimizers.fromage import fromage as native_fromage
from gradchain.optimizers.lion import lion as native_lion
from gradchain.optimizers.optimistic import (
    optimistic_gradient_descent as native_optimistic_gradient_descent,
)
from gradchain.optimizers.polyak_sgd import scale_by_polyak
from gradchain.optimizers.rmsprop import scale_by_rms, scale_by_stddev
from gradchain.optimizers.rprop import rprop as native_rprop
from gradchain.optimizers.sign_sgd import sign_sgd as native_sign_sgd, signum as native_signum
from gradchain.optimizers.sm3 import sm3 as native_sm3
from gradchain.transforms.clipping import clip_by_block_rms
from gradchain.transforms.momentum import add_momentum, average_updates
from gradchain.transforms.scaling import (
    identity,
    scale,
    scale_by_learning_rate,
    scale_by_schedule,
)
from gradchain.transforms.trust_ratio import scale_by_param_block_rms, scale_by_trust_ratio
from gradchain.transforms.weight_decay import add_decayed_weights

fromage = accepting_any_extra(native_fromage)

sign_sgd = accepting_any_extra(native_sign_sgd)


rprop = accepting_any_extra(native_rprop)

optimistic_gradient_descent = accepting_any_extra(native_optimistic_gradient_descent)


def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Hyper = 0.9,
    eps: Hyper = 1e-08,
    initial_scale: Hyper = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> GradientTransformationExtraArgs:
    """RMSprop: ``scale_by_rms`` or ``scale_by_stddev``, the learning rate, then momentum."""
    scale_by = scale_by_stddev if centered else scale_by_rms
    direction = scale_by(decay, eps, initial_scale, eps_in_sqrt, bias_correction)
    memory = identity() if momentum is None else add_momentum(momentum, nesterov)
    return accept_any_extra(chain(direction, scale_by_learning_rate(learning_rate), memory))


def polyak_sgd(
    max_learning_rate: Hyper = 1.0,
    scaling: ScalarOrSchedule = 1.0,
    f_min: Hyper = 0.0,
    eps: Hyper = 0.0,
    variant: str = "sps",
) -> GradientTransformationExtraArgs:
    """Gradient descent with Polyak's step length, from ``value=``."""
    length = scale_by_polyak(f_min, max_learning_rate, eps, variant)
    return accept_any_extra(chain(sgd(scaling), length))


def lion(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.99,
    mu_dtype: Dtype | None = None,
    weight_decay: Hyper = 0.001,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Lion, with decoupled weight decay.

    See ``gradchain.lion``.
    """
    tx = native_lion(learning_rate, b1, b2, weight_decay, where_of(mask))
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def signum(
    learning_rate: ScalarOrSchedule,
    beta: Hyper = 0.9,
    accumulator_dtype: Dtype | None = None,
) -> GradientTransformationExtraArgs:
    """Descent along the signs of a momentum.

    See ``gradchain.signum``.
    """
    tx = native_signum(learning_rate, beta)
    return accept_any_extra(stored(tx, "average", accumulator_dtype))


def adagrad(
    learning_rate: ScalarOrSchedule,
    initial_accumulator_value: Hyper = 0.1,
    eps: Hyper = 1e-07,
    *,
    eps_in_sqrt: bool = True,
) -> GradientTransformationExtraArgs:
    """Adagrad: ``scale_by_rss``, then the learning rate.

    See ``gradchain.adagrad``.
    """
    return accept_any_extra(
        native_adagrad(learning_rate, initial_accumulator_value, eps, eps_in_sqrt)
    )


def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: Hyper | None = None,
    nesterov: bool = False,
    accumulator_dtype: Dtype | None = None,
    *,
    dampening: Hyper | None = None,
) -> GradientTransformationExtraArgs:
    """Gradient descent, with momentum if asked for.

    See ``gradchain.sgd``.
    """
    first = identity()
    if momentum is not None:
        average = add_momentum(momentum, nesterov, dampening)
        first = stored(average, "momentum", accumulator_dtype)
    return accept_any_extra(chain(first, scale_by_learning_rate(learning_rate)))


def adadelta(
    learning_rate: ScalarOrSchedule | None = None,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    weight_decay_mask: MaskOrFn = None,
) -> GradientTransformationExtraArgs:
    """Adadelta; without a learning rate it is 1."""
    rate = 1.0 if learning_rate is None else learning_rate
    return accept_any_extra(
        native_adadelta(rate, rho, eps, weight_decay, where_of(weight_decay_mask))
    )


def adafactor(
    learning_rate: ScalarOrSchedule | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: float = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: float | None = 1.0,
    momentum: float | None = None,
    dtype_momentum: Dtype = jnp.float32,
    weight_decay_rate: float | None = None,
    eps: float = 1e-30,
    factored: bool = True,
    weight_decay_mask: MaskOrFn = None,
) -> GradientTransformationExtraArgs:
    """Adafactor, as a chain of parts that arguments name.

    Weight decay is not multiplied by the learning rate.
    """
    members = [
        scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
    ]
    if clipping_threshold is not None:
        members.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        members.append(_scaled(learning_rate))
    if multiply_by_parameter_scale:
        members.append(scale_by_param_block_rms())
    if momentum is not None:
        average = average_updates(momentum, debias=False)
        is_plain = dtype_momentum is None or jnp.dtype(dtype_momentum) == jnp.float32
        members.append(stored(average, "average", None if is_plain else dtype_momentum))
    if weight_decay_rate is not None:
        members.append(add_decayed_weights(weight_decay_rate, where_of(weight_decay_mask)))
    return accept_any_extra(chain(*members, scale(-1.0)))


def _scaled(factor: ScalarOrSchedule) -> GradientTransformation:
    return scale_by_schedule(factor) if callable(factor) else scale(factor)


def lars(
    learning_rate: ScalarOrSchedule,
    weight_decay: float = 0.0,
    weight_decay_mask: MaskOrFn = True,
    trust_coefficient: float = 0.001,
    eps: float = 0.0,
    trust_ratio_mask: MaskOrFn = True,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """LARS, with masks for weight decay and for trust ratio."""
    return accept_any_extra(
        chain(
            add_decayed_weights(weight_decay, where_of(weight_decay_mask)),
            scale_by_trust_ratio(0.0, trust_coefficient, eps, where_of(trust_ratio_mask)),
            scale_by_learning_rate(learning_rate),
            add_momentum(momentum, nesterov),
        )
    )


def sm3(
    learning_rate: ScalarOrSchedule,
    momentum: float = 0.9,
) -> GradientTransformationExtraArgs:
    """SM3 with momentum."""
    return accept_any_extra(native_sm3(learning_rate, momentum))


def noisy_sgd(
    learning_rate: ScalarOrSchedule,
    eta: float = 0.01,
    gamma: float = 0.55,
    key: int | jax.Array | None = None,
    *,
    seed: int | None = None,
) -> GradientTransformationExtraArgs:
    """Gradient descent with noise that fades; see ``add_noise``."""
    noise = add_noise(eta, gamma, key, seed=seed)
    return accept_any_extra(chain(noise, scale_by_learning_rate(learning_rate)))
