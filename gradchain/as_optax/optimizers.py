"""Optimizers, with optax's arguments."""

import warnings
from typing import Any

import jax.numpy as jnp

from gradchain.as_optax.adapters import as_seed, speak, stored_as, tolerant, tolerantly, where_of
from gradchain.as_optax.base import ScalarOrSchedule
from gradchain.call import Hyper
from gradchain.core import GradientTransformation, chain
from gradchain.optimizers import adam as adams
from gradchain.optimizers import adam_recent, adam_variants, adaptive, layerwise, sign
from gradchain.optimizers import factored as factored_optimizers
from gradchain.optimizers import momentum as momentum_optimizers
from gradchain.transforms.basic import scale, scale_by_learning_rate, scale_by_schedule
from gradchain.transforms.clipping import clip_by_block_rms
from gradchain.transforms.decay import add_decayed_weights
from gradchain.transforms.factored import scale_by_factored_rms, scale_by_param_block_rms
from gradchain.transforms.momentum import add_momentum, average_updates
from gradchain.transforms.trust import scale_by_trust_ratio


def _adam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam, or with ``nesterov=True`` NAdam."""
    return (adams.nadam if nesterov else adams.adam)(learning_rate, b1, b2, eps, eps_root=eps_root)


def _adamw(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 1e-4,
    where: Any = None,
    nesterov: bool = False,
) -> GradientTransformation:
    """AdamW, or with ``nesterov=True`` NAdamW."""
    factory = adams.nadamw if nesterov else adams.adamw
    return factory(learning_rate, b1, b2, eps, weight_decay, where, eps_root=eps_root)


_ADAM = "learning_rate b1 b2 eps eps_root mu_dtype"
_MU = {"mu_dtype": "mu"}
_TRACE = {"accumulator_dtype": "momentum"}
adam = speak(_adam, f"{_ADAM} * nesterov", dtypes=_MU, name="adam")
adamw = speak(_adamw, f"{_ADAM} weight_decay mask * nesterov", dtypes=_MU, masks={"mask": "where"}, name="adamw")
nadam = speak(_adam, f"{_ADAM} * nesterov", dtypes=_MU, name="nadam", nesterov=True)
nadamw = speak(
    _adamw,
    f"{_ADAM} weight_decay mask * nesterov",
    dtypes=_MU,
    masks={"mask": "where"},
    name="nadamw",
    nesterov=True,
)
adamax = tolerantly(adams.adamax)
adamaxw = speak(adams.adamaxw, "learning_rate b1 b2 eps weight_decay mask", masks={"mask": "where"})
amsgrad = speak(adams.amsgrad, f"{_ADAM} bias_correction_mu bias_correction_nu", dtypes=_MU)
adabelief = speak(adam_variants.adabelief, "learning_rate b1 b2 eps eps_root * nesterov")
radam = speak(adam_variants.radam, "learning_rate b1 b2 eps eps_root threshold * nesterov")
yogi = speak(adam_variants.yogi, "learning_rate b1 b2 eps")
adan = speak(
    adam_recent.adan, "learning_rate b1 b2 b3 eps eps_root weight_decay mask", masks={"mask": "where"}, eps_root=1e-8
)
lamb = speak(layerwise.lamb, "learning_rate b1 b2 eps eps_root weight_decay mask", masks={"mask": "where"})
novograd = speak(layerwise.novograd, "learning_rate b1 b2 eps eps_root weight_decay")
fromage = tolerantly(layerwise.fromage)
lion = speak(sign.lion, "learning_rate b1 b2 mu_dtype weight_decay mask", dtypes=_MU, masks={"mask": "where"})
sign_sgd = tolerantly(sign.sign_sgd)
signum = speak(sign.signum, "learning_rate beta accumulator_dtype", dtypes={"accumulator_dtype": "average"})
adagrad = speak(adaptive.adagrad, "learning_rate initial_accumulator_value eps")
rmsprop = tolerantly(adaptive.rmsprop)
sgd = speak(
    momentum_optimizers.sgd,
    "learning_rate momentum nesterov accumulator_dtype",
    dtypes={"accumulator_dtype": "momentum"},
)
polyak_sgd = tolerantly(momentum_optimizers.polyak_sgd)
rprop = tolerantly(momentum_optimizers.rprop)
optimistic_gradient_descent = tolerantly(momentum_optimizers.optimistic_gradient_descent)
optimistic_adam_v2 = speak(
    adaptive.optimistic_adam,
    "learning_rate * alpha beta b1 b2 eps eps_root mu_dtype nesterov",
    dtypes=_MU,
    name="optimistic_adam_v2",
)


def adadelta(
    learning_rate: ScalarOrSchedule | None = None,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """Adadelta; without a learning rate it is 1."""
    rate = 1.0 if learning_rate is None else learning_rate
    return tolerant(adaptive.adadelta(rate, rho, eps, weight_decay, where_of(weight_decay_mask)))


def adafactor(
    learning_rate: ScalarOrSchedule | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: float = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: float | None = 1.0,
    momentum: float | None = None,
    dtype_momentum: Any = jnp.float32,
    weight_decay_rate: float | None = None,
    eps: float = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """Adafactor, as a chain of what its arguments ask for; weight decay is not multiplied by the learning rate."""
    members = [scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)]
    if clipping_threshold is not None:
        members.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        members.append(_scaled(learning_rate))
    if multiply_by_parameter_scale:
        members.append(scale_by_param_block_rms())
    if momentum is not None:
        average = average_updates(momentum, debias=False)
        is_plain = dtype_momentum is None or jnp.dtype(dtype_momentum) == jnp.float32
        members.append(average if is_plain else stored_as(average, ("average",), jnp.dtype(dtype_momentum).name))
    if weight_decay_rate is not None:
        members.append(add_decayed_weights(weight_decay_rate, where_of(weight_decay_mask)))
    return tolerant(chain(*members, scale(-1.0)))


def _scaled(factor: Any) -> GradientTransformation:
    return scale_by_schedule(factor) if callable(factor) else scale(factor)


def lars(
    learning_rate: ScalarOrSchedule,
    weight_decay: float = 0.0,
    weight_decay_mask: Any = True,
    trust_coefficient: float = 0.001,
    eps: float = 0.0,
    trust_ratio_mask: Any = True,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> GradientTransformation:
    """LARS, with masks apart for weight decay and for the trust ratio."""
    return tolerant(
        chain(
            add_decayed_weights(weight_decay, where_of(weight_decay_mask)),
            scale_by_trust_ratio(0.0, trust_coefficient, eps, where_of(trust_ratio_mask)),
            scale_by_learning_rate(learning_rate),
            add_momentum(momentum, nesterov),
        )
    )


def sm3(learning_rate: ScalarOrSchedule, momentum: float = 0.9) -> GradientTransformation:
    """SM3 with momentum."""
    return tolerant(factored_optimizers.sm3(learning_rate, momentum))


def noisy_sgd(
    learning_rate: ScalarOrSchedule, eta: float = 0.01, gamma: float = 0.55, key: Any = None, *, seed: int | None = None
) -> GradientTransformation:
    """Gradient descent with noise that fades; ``key`` is an integer, the seed."""
    return tolerant(momentum_optimizers.noisy_sgd(learning_rate, eta, gamma, as_seed(key, seed)))


def optimistic_adam(
    learning_rate: ScalarOrSchedule,
    optimism: Any = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
) -> GradientTransformation:
    """Optimistic Adam with the rate as ``alpha`` and the optimism, by default the rate, as ``beta``."""
    warnings.warn("optimistic_adam: use `optimistic_adam_v2` instead.", DeprecationWarning, stacklevel=2)
    rates = (learning_rate, learning_rate if optimism is None else optimism)
    return optimistic_adam_v2(
        1.0,
        alpha=rates[0],
        beta=rates[1],
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        mu_dtype=mu_dtype,
        nesterov=nesterov,
    )
