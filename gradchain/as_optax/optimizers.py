"""Optimizers, with optax's arguments."""

import warnings
from typing import Any

import jax.numpy as jnp

from gradchain.as_optax.adapters import (
    accept_any_extra,
    accepting_any_extra,
    adapt_signature,
    as_seed,
    stored_as,
    where_of,
)
from gradchain.as_optax.base import ScalarOrSchedule
from gradchain.core.call import Hyper
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.optimizers.adabelief import adabelief as native_adabelief
from gradchain.optimizers.adadelta import adadelta as native_adadelta
from gradchain.optimizers.adafactor import scale_by_factored_rms
from gradchain.optimizers.adagrad import adagrad as native_adagrad
from gradchain.optimizers.adam import adam as native_adam, adamw as native_adamw
from gradchain.optimizers.adamax import adamax as native_adamax, adamaxw as native_adamaxw
from gradchain.optimizers.adan import adan as native_adan
from gradchain.optimizers.amsgrad import amsgrad as native_amsgrad
from gradchain.optimizers.fromage import fromage as native_fromage
from gradchain.optimizers.lamb import lamb as native_lamb
from gradchain.optimizers.lion import lion as native_lion
from gradchain.optimizers.nadam import nadam as native_nadam, nadamw as native_nadamw
from gradchain.optimizers.novograd import novograd as native_novograd
from gradchain.optimizers.optimistic import (
    optimistic_adam as native_optimistic_adam,
    optimistic_gradient_descent as native_optimistic_gradient_descent,
)
from gradchain.optimizers.polyak_sgd import polyak_sgd as native_polyak_sgd
from gradchain.optimizers.radam import radam as native_radam
from gradchain.optimizers.rmsprop import rmsprop as native_rmsprop
from gradchain.optimizers.rprop import rprop as native_rprop
from gradchain.optimizers.sgd import noisy_sgd as native_noisy_sgd, sgd as native_sgd
from gradchain.optimizers.sign_sgd import sign_sgd as native_sign_sgd, signum as native_signum
from gradchain.optimizers.sm3 import sm3 as native_sm3
from gradchain.optimizers.yogi import yogi as native_yogi
from gradchain.transforms.clipping import clip_by_block_rms
from gradchain.transforms.momentum import add_momentum, average_updates
from gradchain.transforms.scaling import scale, scale_by_learning_rate, scale_by_schedule
from gradchain.transforms.trust_ratio import scale_by_param_block_rms, scale_by_trust_ratio
from gradchain.transforms.weight_decay import add_decayed_weights


def _adam(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    eps_root: Hyper = 0.0,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam, or with ``nesterov=True`` NAdam."""
    return (native_nadam if nesterov else native_adam)(
        learning_rate, b1, b2, eps, eps_root=eps_root
    )


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
    factory = native_nadamw if nesterov else native_adamw
    return factory(learning_rate, b1, b2, eps, weight_decay, where, eps_root=eps_root)


_ADAM = "learning_rate b1 b2 eps eps_root mu_dtype"

_MU = {"mu_dtype": "mu"}

_TRACE = {"accumulator_dtype": "momentum"}

adam = adapt_signature(_adam, f"{_ADAM} * nesterov", dtypes=_MU, name="adam")

adamw = adapt_signature(
    _adamw,
    f"{_ADAM} weight_decay mask * nesterov",
    dtypes=_MU,
    masks={"mask": "where"},
    name="adamw",
)

nadam = adapt_signature(_adam, f"{_ADAM} * nesterov", dtypes=_MU, name="nadam", nesterov=True)

nadamw = adapt_signature(
    _adamw,
    f"{_ADAM} weight_decay mask * nesterov",
    dtypes=_MU,
    masks={"mask": "where"},
    name="nadamw",
    nesterov=True,
)

adamax = accepting_any_extra(native_adamax)

adamaxw = adapt_signature(
    native_adamaxw, "learning_rate b1 b2 eps weight_decay mask", masks={"mask": "where"}
)

amsgrad = adapt_signature(
    native_amsgrad, f"{_ADAM} bias_correction_mu bias_correction_nu", dtypes=_MU
)

adabelief = adapt_signature(native_adabelief, "learning_rate b1 b2 eps eps_root * nesterov")

radam = adapt_signature(native_radam, "learning_rate b1 b2 eps eps_root threshold * nesterov")

yogi = adapt_signature(native_yogi, "learning_rate b1 b2 eps")

adan = adapt_signature(
    native_adan,
    "learning_rate b1 b2 b3 eps eps_root weight_decay mask",
    masks={"mask": "where"},
    eps_root=1e-8,
)

lamb = adapt_signature(
    native_lamb, "learning_rate b1 b2 eps eps_root weight_decay mask", masks={"mask": "where"}
)

novograd = adapt_signature(native_novograd, "learning_rate b1 b2 eps eps_root weight_decay")

fromage = accepting_any_extra(native_fromage)

lion = adapt_signature(
    native_lion,
    "learning_rate b1 b2 mu_dtype weight_decay mask",
    dtypes=_MU,
    masks={"mask": "where"},
)

sign_sgd = accepting_any_extra(native_sign_sgd)

signum = adapt_signature(
    native_signum, "learning_rate beta accumulator_dtype", dtypes={"accumulator_dtype": "average"}
)

adagrad = adapt_signature(native_adagrad, "learning_rate initial_accumulator_value eps")

rmsprop = accepting_any_extra(native_rmsprop)

sgd = adapt_signature(
    native_sgd,
    "learning_rate momentum nesterov accumulator_dtype",
    dtypes={"accumulator_dtype": "momentum"},
)

polyak_sgd = accepting_any_extra(native_polyak_sgd)

rprop = accepting_any_extra(native_rprop)

optimistic_gradient_descent = accepting_any_extra(native_optimistic_gradient_descent)

optimistic_adam_v2 = adapt_signature(
    native_optimistic_adam,
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
    dtype_momentum: Any = jnp.float32,
    weight_decay_rate: float | None = None,
    eps: float = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """Adafactor, as a chain of what its arguments ask for; weight decay is not multiplied by the
    learning rate.
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
        members.append(
            average
            if is_plain
            else stored_as(average, ("average",), jnp.dtype(dtype_momentum).name)
        )
    if weight_decay_rate is not None:
        members.append(add_decayed_weights(weight_decay_rate, where_of(weight_decay_mask)))
    return accept_any_extra(chain(*members, scale(-1.0)))


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
    return accept_any_extra(
        chain(
            add_decayed_weights(weight_decay, where_of(weight_decay_mask)),
            scale_by_trust_ratio(0.0, trust_coefficient, eps, where_of(trust_ratio_mask)),
            scale_by_learning_rate(learning_rate),
            add_momentum(momentum, nesterov),
        )
    )


def sm3(learning_rate: ScalarOrSchedule, momentum: float = 0.9) -> GradientTransformation:
    """SM3 with momentum."""
    return accept_any_extra(native_sm3(learning_rate, momentum))


def noisy_sgd(
    learning_rate: ScalarOrSchedule,
    eta: float = 0.01,
    gamma: float = 0.55,
    key: Any = None,
    *,
    seed: int | None = None,
) -> GradientTransformation:
    """Gradient descent with noise that fades; ``key`` is an integer, the seed."""
    return accept_any_extra(native_noisy_sgd(learning_rate, eta, gamma, as_seed(key, seed)))


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
    """Optimistic Adam with the rate as ``alpha`` and the optimism, by default the rate, as
    ``beta``.
    """
    warnings.warn(
        "optimistic_adam: use `optimistic_adam_v2` instead.", DeprecationWarning, stacklevel=2
    )
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
