"""``optax.contrib``."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import (
    accept_any_extra,
    accepting_any_extra,
    stored,
    with_extra_args_support,
)
from gradchain.as_optax.base import ScalarOrSchedule
from gradchain.as_optax.contrib_muon import (
    MuonDimensionNumbers as MuonDimensionNumbers,
    muon as muon,
    scale_by_muon as scale_by_muon,
)
from gradchain.as_optax.contrib_recipes import (
    ademamix as ademamix,
    cocob as cocob,
    dadapt_adamw as dadapt_adamw,
    dog as dog,
    dowg as dowg,
    madgrad as madgrad,
    momo as momo,
    momo_adam as momo_adam,
    prodigy as prodigy,
    scale_by_ademamix as scale_by_ademamix,
    scale_by_madgrad as scale_by_madgrad,
    scale_by_simplified_ademamix as scale_by_simplified_ademamix,
    simplified_ademamix as simplified_ademamix,
)
from gradchain.as_optax.contrib_states import (
    COCOBState as COCOBState,
    DAdaptAdamWState as DAdaptAdamWState,
    DifferentiallyPrivateAggregateState as DifferentiallyPrivateAggregateState,
    DoGState as DoGState,
    DoWGState as DoWGState,
    GaLoreState as GaLoreState,
    MadgradState as MadgradState,
    MechanicState as MechanicState,
    MomoAdamState as MomoAdamState,
    MomoState as MomoState,
    MuonState as MuonState,
    ProdigyState as ProdigyState,
    SAMState as SAMState,
    ScaleByAdemamixState as ScaleByAdemamixState,
    ScaleBySimplifiedAdEMAMixState as ScaleBySimplifiedAdEMAMixState,
    ScheduleFreeState as ScheduleFreeState,
    SplitRealAndImaginaryState as SplitRealAndImaginaryState,
)
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.galore import (
    GaLoreDimensionNumbers as GaLoreDimensionNumbers,
    galore as galore,
    scale_by_galore as scale_by_galore,
)
from gradchain.as_optax.past_deviation import acprop as acprop, scale_by_acprop as scale_by_acprop
from gradchain.as_optax.privacy import (
    differentially_private_aggregate as differentially_private_aggregate,
    dpsgd as dpsgd,
)
from gradchain.as_optax.schedule_free import (
    schedule_free as schedule_free,
    schedule_free_adamw as schedule_free_adamw,
    schedule_free_eval_params as schedule_free_eval_params,
    schedule_free_sgd as schedule_free_sgd,
)
from gradchain.as_optax.sharpness_aware import sam as sam
from gradchain.as_optax.sophia import (
    HutchinsonState as HutchinsonState,
    SophiaState as SophiaState,
    hutchinson_estimator_diag_hessian as hutchinson_estimator_diag_hessian,
    sophia as sophia,
)
from gradchain.as_optax.states import NormalizeState as NormalizeState
from gradchain.as_optax.wrappers import Pair, named_pair
from gradchain.core.ranges import Hyper
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Dtype, Pair as AnyPair, Params, Updates
from gradchain.optimizers.adopt import scale_by_adopt as native_scale_by_adopt
from gradchain.optimizers.cocob import scale_by_cocob as native_scale_by_cocob
from gradchain.transforms.normalizing import normalize as native_normalize
from gradchain.transforms.plateau import WORST, reduce_on_plateau as native_reduce_on_plateau
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.wrappers.mechanic import mechanize as native_mechanize

mechanize = accepting_any_extra(native_mechanize)
normalize = accepting_any_extra(native_normalize)
scale_by_cocob = accepting_any_extra(native_scale_by_cocob)


class ReduceLROnPlateauState(NamedTuple):
    """The state of ``reduce_on_plateau``."""

    scale: Any
    best_value: Any
    plateau_count: Any
    cooldown_count: Any
    count: Any
    avg_value: Any


_SLOTS = ReduceLROnPlateauState(
    scale="scale",
    best_value="best",
    plateau_count="waited",
    cooldown_count="cooling",
    count="in_window",
    avg_value="average",
)
#: integers in optax, floats in the native state
_COUNTS = ("plateau_count", "cooldown_count", "count")


def reduce_on_plateau(
    factor: Hyper = 0.1,
    patience: int = 10,
    rtol: Hyper = 1e-4,
    atol: Hyper = 0.0,
    cooldown: int = 0,
    accumulation_size: int = 1,
    min_scale: Hyper = 0.0,
) -> Pair:
    """Lower the scale of updates when ``value=`` stops improving."""
    numbers = (factor, patience, rtol, atol, cooldown, accumulation_size, min_scale)
    tx = native_reduce_on_plateau(*numbers)

    def read(state: dict[str, Any]) -> ReduceLROnPlateauState:
        slots = state["reduce_on_plateau"]
        found = ReduceLROnPlateauState(*(slots[slot] for slot in _SLOTS))
        counts = {k: getattr(found, k).astype(jnp.int32) for k in _COUNTS}
        best = jnp.where(found.best_value >= WORST, jnp.inf, found.best_value)
        return found._replace(best_value=best, **counts)

    def update(
        updates: Updates,
        state: ReduceLROnPlateauState,
        params: Params = None,
        **extra: Any,
    ) -> tuple[Any, ReduceLROnPlateauState]:
        # in optax, infinity stands for none
        best = jnp.minimum(state.best_value, WORST)
        counts = {k: getattr(state, k).astype(jnp.float32) for k in _COUNTS}
        slots = dict(zip(_SLOTS, state._replace(best_value=best, **counts), strict=True))
        own = {name: x for name, x in extra.items() if name in tx.extras}
        updates, new = tx.update(updates, {"reduce_on_plateau": slots}, params, **own)
        return updates, read(new)

    return named_pair("reduce_on_plateau", lambda params: read(tx.init(params)), update)


def adopt(
    learning_rate: ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.9999,
    eps: float = 1e-6,
    mu_dtype: Dtype | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[..., Any] | None = None,
) -> GradientTransformationExtraArgs:
    """ADOPT; see ``scale_by_adopt``."""
    direction = scale_by_adopt(
        b1,
        b2,
        eps,
        mu_dtype,
        nesterov=nesterov,
        use_clipping=use_clipping,
        clip_value_fn=clip_value_fn,
    )
    return accept_any_extra(chain(direction, scale_by_learning_rate(learning_rate)))


def scale_by_adopt(
    b1: float = 0.9,
    b2: float = 0.9999,
    eps: float = 1e-6,
    mu_dtype: Dtype | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[..., Any] | None = None,
) -> GradientTransformationExtraArgs:
    """ADOPT's direction, clipped.

    The bound is ``clip_value_fn`` of the step, by default its fourth root.
    """
    bound = clip_value_fn if use_clipping else float("inf")
    tx = native_scale_by_adopt(b1, b2, eps, bound, nesterov=nesterov)
    return accept_any_extra(stored(tx, "mu", mu_dtype))


class _Parts(NamedTuple):
    """The two parts of a complex array."""

    real: Any
    imaginary: Any


def split_real_and_imaginary(
    inner: GradientTransformation | AnyPair,
) -> GradientTransformationExtraArgs:
    """``inner`` on real and imaginary parts as separate leaves."""
    inner = with_extra_args_support(inner)
    split = lambda tree: jax.tree.map(
        lambda x: _Parts(x.real, x.imag) if jnp.iscomplexobj(x) else x, tree
    )
    is_split = lambda x: isinstance(x, _Parts)
    join = lambda tree: jax.tree.map(
        lambda x: jax.lax.complex(*x) if is_split(x) else x, tree, is_leaf=is_split
    )

    def update(
        updates: Updates, state: SplitRealAndImaginaryState, params: Params = None, **extra: Any
    ) -> tuple[Any, SplitRealAndImaginaryState]:
        updates, inner_state = inner.update(
            split(updates), state.inner_state, split(params), **extra
        )
        return join(updates), SplitRealAndImaginaryState(inner_state)

    init = lambda params: SplitRealAndImaginaryState(inner.init(split(params)))
    return named_pair("split_real_and_imaginary", init, update)
