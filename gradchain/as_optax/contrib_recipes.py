"""Optimizers of ``optax.contrib``, with optax's arguments."""

from typing import Literal

from gradchain.as_optax.adapters import accept_any_extra, accepting_any_extra, stored, where_of
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.shown import shown_as
from gradchain.core.ranges import Hyper
from gradchain.core.types import Dtype, Numeric, Where
from gradchain.optimizers.ademamix import (
    ademamix as native_ademamix,
    scale_by_ademamix as native_scale_by_ademamix,
    scale_by_simplified_ademamix as native_scale_by_simplified_ademamix,
    simplified_ademamix as native_simplified_ademamix,
)
from gradchain.optimizers.cocob import cocob as native_cocob
from gradchain.optimizers.dadapt import dadapt_adamw as native_dadapt_adamw
from gradchain.optimizers.dog import dog as native_dog, dowg as native_dowg
from gradchain.optimizers.madgrad import (
    madgrad as native_madgrad,
    scale_by_madgrad as native_scale_by_madgrad,
)
from gradchain.optimizers.momo import momo as native_momo, momo_adam as native_momo_adam
from gradchain.optimizers.prodigy import prodigy as native_prodigy

scale_by_madgrad = accepting_any_extra(native_scale_by_madgrad)

momo = accepting_any_extra(native_momo, "first")

momo_adam = accepting_any_extra(native_momo_adam, "first")


def ademamix(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    b3: Hyper = 0.9999,
    alpha: Hyper = 5.0,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
    weight_decay: Hyper = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """AdEMAMix, with decoupled weight decay.

    See ``gradchain.ademamix``.
    """
    tx = native_ademamix(
        *(learning_rate, b1, b2, b3, alpha, eps, weight_decay),
        where_of(mask),
        eps_root=eps_root,
    )
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def scale_by_ademamix(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    b3: Hyper = 0.9999,
    alpha: Hyper = 6.0,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    mu_dtype: Dtype | None = None,
) -> GradientTransformationExtraArgs:
    """Adam's direction with a second, much slower average of gradients.

    See ``gradchain.scale_by_ademamix``.
    """
    tx = native_scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root=eps_root)
    return accept_any_extra(stored(tx, "mu", mu_dtype))


def simplified_ademamix(
    learning_rate: ScalarOrSchedule,
    b1: Hyper = 0.99,
    b2: Hyper = 0.95,
    alpha: Hyper = 0.0,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Simplified AdEMAMix, with decoupled weight decay.

    See ``gradchain.simplified_ademamix``.
    """
    numbers = (learning_rate, b1, b2, alpha, eps, weight_decay)
    return accept_any_extra(
        native_simplified_ademamix(*numbers, where_of(mask), eps_root=eps_root)
    )


def scale_by_simplified_ademamix(
    b1: Hyper = 0.99,
    b2: Hyper = 0.95,
    alpha: Hyper = 0.0,
    eps: Hyper = 1e-08,
    eps_root: Hyper = 0.0,
) -> GradientTransformationExtraArgs:
    """Simplified AdEMAMix: a sum of gradients over Adam's second moment.

    See ``gradchain.scale_by_simplified_ademamix``.
    """
    return accept_any_extra(
        native_scale_by_simplified_ademamix(b1, b2, alpha, eps, eps_root=eps_root)
    )


def cocob(
    learning_rate: ScalarOrSchedule = 1.0,
    alpha: Hyper = 100.0,
    eps: Hyper = 1e-08,
    weight_decay: Hyper = 0.0,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """COCOB: ``scale_by_cocob`` on the gradient plus weight decay.

    See ``gradchain.cocob``.
    """
    numbers = (learning_rate, alpha, eps, weight_decay)
    return accept_any_extra(native_cocob(*numbers, where_of(mask)))


def dadapt_adamw(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: tuple[Numeric, Numeric] = (0.9, 0.999),
    eps: Hyper = 1e-08,
    estim_lr0: Hyper = 1e-06,
    weight_decay: Hyper = 0.0,
    *,
    where: Where | None = None,
    growth_rate: Hyper | None = None,
    bias_correction: bool = True,
) -> GradientTransformationExtraArgs:
    """AdamW with D-Adaptation: ``scale_by_dadapt_adam``, downhill.

    See ``gradchain.dadapt_adamw``.
    """
    tx = native_dadapt_adamw(
        learning_rate,
        betas,
        eps,
        estim_lr0,
        weight_decay,
        where,
        growth_rate=growth_rate,
        bias_correction=bias_correction,
    )
    return accept_any_extra(shown_as(tx, "first"))


def prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: tuple[Numeric, Numeric] = (0.9, 0.999),
    beta3: Hyper | None = None,
    eps: Hyper = 1e-08,
    estim_lr0: Hyper = 1e-06,
    estim_lr_coef: Hyper = 1.0,
    weight_decay: Hyper = 0.0,
    safeguard_warmup: bool = False,
    *,
    where: Where | None = None,
    bias_correction: bool = True,
) -> GradientTransformationExtraArgs:
    """Prodigy: ``scale_by_prodigy``, downhill.

    See ``gradchain.prodigy``.
    """
    tx = native_prodigy(
        learning_rate,
        betas,
        beta3,
        eps,
        estim_lr0,
        estim_lr_coef,
        weight_decay,
        safeguard_warmup,
        where,
        bias_correction=bias_correction,
    )
    return accept_any_extra(shown_as(tx, "first"))


def dog(
    learning_rate: ScalarOrSchedule = 1.0,
    init_step: tuple[Literal["distance", "learning_rate", "heuristic"], Numeric] = (
        "heuristic",
        1e-06,
    ),
    eps: Hyper = 1e-08,
    weight_decay: Hyper | None = None,
    mask: MaskOrFn | None = None,
    *,
    layer_wise: bool = False,
) -> GradientTransformationExtraArgs:
    """Distance over gradients: step sizes from the distance so far.

    See ``gradchain.dog``.
    """
    numbers = (learning_rate, init_step, eps, weight_decay)
    tx = native_dog(*numbers, where_of(mask), layer_wise=layer_wise)
    return accept_any_extra(tx if weight_decay is not None else shown_as(tx, "after nothing"))


def dowg(
    learning_rate: ScalarOrSchedule = 1.0,
    init_estim_sq_dist: Hyper | None = None,
    eps: Hyper = 0.0001,
    weight_decay: Hyper | None = None,
    mask: MaskOrFn | None = None,
    *,
    layer_wise: bool = False,
) -> GradientTransformationExtraArgs:
    """Distance over weighted gradients: ``scale_by_dowg``, downhill.

    See ``gradchain.dowg``.
    """
    tx = native_dowg(
        learning_rate,
        init_estim_sq_dist,
        eps,
        weight_decay,
        where_of(mask),
        layer_wise=layer_wise,
    )
    return accept_any_extra(tx if weight_decay is not None else shown_as(tx, "after nothing"))


def madgrad(
    learning_rate: ScalarOrSchedule,
    momentum: Hyper = 0.9,
    weight_decay: Hyper = 0.0,
    eps: Hyper = 1e-06,
    *,
    where: Where | None = None,
) -> GradientTransformationExtraArgs:
    """MADGRAD, with weight decay added to the gradient.

    See ``gradchain.madgrad``.
    """
    numbers = (learning_rate, momentum, weight_decay, eps)
    return accept_any_extra(native_madgrad(*numbers, where))
