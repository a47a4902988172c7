"""The relatives of Adam, with optax's arguments."""

import warnings

from gradchain.as_optax.adapters import accept_any_extra, accepting_any_extra, stored, where_of
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.core.ranges import Hyper
from gradchain.core.transformation import chain
from gradchain.core.types import Dtype, Where
from gradchain.optimizers.adabelief import adabelief as native_adabelief
from gradchain.optimizers.adam import adam as native_adam, adamw as native_adamw, scale_by_adam
from gradchain.optimizers.adamax import adamax as native_adamax, adamaxw as native_adamaxw
from gradchain.optimizers.adan import adan as native_adan
from gradchain.optimizers.amsgrad import amsgrad as native_amsgrad
from gradchain.optimizers.nadam import nadam as native_nadam, nadamw as native_nadamw
from gradchain.optimizers.novograd import novograd as native_novograd
from gradchain.optimizers.optimistic import optimistic_adam as native_optimistic_adam
from gradchain.optimizers.radam import radam as native_radam
from gradchain.optimizers.yogi import yogi as native_yogi
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.trust_ratio import scale_by_trust_ratio
from gradchain.transforms.weight_decay import add_decayed_weights


def adam(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """Adam, or with ``nesterov=True`` NAdam."""
    factory = native_nadam if nesterov else native_adam
    tx = factory(learning_rate, b1, b2, eps, eps_root=eps_root)
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    weight_decay: Hyper = 0.0001,
    mask: MaskOrFn | None = None,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """AdamW, or with ``nesterov=True`` NAdamW."""
    factory = native_nadamw if nesterov else native_adamw
    where = where_of(mask)
    tx = factory(learning_rate, b1, b2, eps, weight_decay, where, eps_root=eps_root)
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def nadam(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    *,
    nesterov: bool = True,
) -> GradientTransformationExtraArgs:
    """NAdam, or with ``nesterov=False`` Adam."""
    return adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)


def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    weight_decay: Hyper = 0.0001,
    mask: MaskOrFn | None = None,
    *,
    nesterov: bool = True,
) -> GradientTransformationExtraArgs:
    """NAdamW, or with ``nesterov=False`` AdamW."""
    numbers = (learning_rate, b1, b2, eps, eps_root)
    return adamw(*numbers, mu_dtype, weight_decay, mask, nesterov=nesterov)


adamax = accepting_any_extra(native_adamax)


def adamaxw(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    weight_decay: Hyper = 0.0001,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """AdaMax with decoupled weight decay.

    See ``gradchain.adamaxw``.
    """
    return accept_any_extra(
        native_adamaxw(learning_rate, b1, b2, eps, weight_decay, where_of(mask))
    )


def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    max_first: bool = False,
) -> GradientTransformationExtraArgs:
    """AMSGrad: ``scale_by_amsgrad``, then the learning rate.

    See ``gradchain.amsgrad``.
    """
    tx = native_amsgrad(
        learning_rate,
        b1,
        b2,
        eps,
        eps_root=eps_root,
        bias_correction_mu=bias_correction_mu,
        bias_correction_nu=bias_correction_nu,
        max_first=max_first,
    )
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def adabelief(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-16,
    eps_root: Hyper = 1e-16,
    *,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """AdaBelief: ``scale_by_belief``, then the learning rate.

    See ``gradchain.adabelief``.
    """
    numbers = (learning_rate, b1, b2, eps)
    return accept_any_extra(native_adabelief(*numbers, eps_root=eps_root, nesterov=nesterov))


def radam(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    threshold: Hyper = 5.0,
    *,
    nesterov: bool = False,
    debias_eps: bool = False,
) -> GradientTransformationExtraArgs:
    """Rectified Adam: ``scale_by_radam``, then the learning rate.

    See ``gradchain.radam``.
    """
    return accept_any_extra(
        native_radam(
            learning_rate,
            b1,
            b2,
            eps,
            threshold,
            eps_root=eps_root,
            nesterov=nesterov,
            debias_eps=debias_eps,
        )
    )


def yogi(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 0.001,
    *,
    initial_accumulator_value: Hyper = 1e-06,
    eps_root: Hyper = 0.0,
) -> GradientTransformationExtraArgs:
    """Yogi: ``scale_by_yogi``, then the learning rate.

    See ``gradchain.yogi``.
    """
    numbers = (learning_rate, b1, b2, eps, initial_accumulator_value)
    return accept_any_extra(native_yogi(*numbers, eps_root=eps_root))


def adan(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.98,
    b2: Hyper = 0.92,
    b3: Hyper = 0.99,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 1e-08,
    weight_decay: Hyper = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Adan, with weight decay.

    See ``gradchain.adan``.
    """
    numbers = (learning_rate, b1, b2, b3, eps, weight_decay)
    return accept_any_extra(native_adan(*numbers, where_of(mask), eps_root=eps_root))


def lamb(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-06,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """LAMB: Adam with a rate for each layer.

    See ``gradchain.lamb``.
    """
    members = (
        scale_by_adam(b1, b2, eps, eps_root=eps_root),
        add_decayed_weights(weight_decay, where_of(mask)),
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )
    return accept_any_extra(chain(*members))


def novograd(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.25,
    eps: Hyper = 1e-06,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    *,
    where: Where | None = None,
) -> GradientTransformationExtraArgs:
    """NovoGrad: ``scale_by_novograd``, then the learning rate.

    See ``gradchain.novograd``.
    """
    numbers = (learning_rate, b1, b2, eps, weight_decay)
    return accept_any_extra(native_novograd(*numbers, where, eps_root=eps_root))


def optimistic_adam_v2(
    learning_rate: ScalarOrSchedule,
    *,
    alpha: Hyper = 1.0,
    beta: Hyper = 1.0,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    nesterov: bool = True,
) -> GradientTransformationExtraArgs:
    """Adam for games, with the past and present step apart.

    See ``gradchain.optimistic_adam``.
    """
    tx = native_optimistic_adam(
        learning_rate,
        alpha=alpha,
        beta=beta,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        nesterov=nesterov,
    )
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def optimistic_adam(
    learning_rate: ScalarOrSchedule,
    optimism: ScalarOrSchedule | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
    mu_dtype: Dtype | None = None,
    *,
    nesterov: bool = True,
) -> GradientTransformationExtraArgs:
    """Optimistic Adam under the arguments of its first version.

    The rate is ``alpha``, and the optimism, by default the rate, ``beta``.
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
