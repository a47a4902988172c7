"""The classes of states of ``optax.contrib``, by name and fields."""

from typing import Any, NamedTuple

import jax

from gradchain.core.types import Params, Tree, Updates


class ScaleByAdemamixState(NamedTuple):
    """The state of ``scale_by_ademamix``."""

    count: Any
    count_m2: jax.Array
    m1: Updates
    m2: Updates
    nu: Updates


class ScaleBySimplifiedAdEMAMixState(NamedTuple):
    """The state of ``scale_by_simplified_ademamix``."""

    t: jax.Array
    m: Updates
    n: Updates


class COCOBState(NamedTuple):
    """The state of ``scale_by_cocob``."""

    init_particles: Params
    cumulative_gradients: Updates
    scale: Updates
    subgradients: Updates
    reward: Updates


class DAdaptAdamWState(NamedTuple):
    """The state of ``dadapt_adamw``."""

    exp_avg: Updates
    exp_avg_sq: Updates
    grad_sum: Updates
    estim_lr: jax.Array
    numerator_weighted: jax.Array
    count: Any


class ProdigyState(NamedTuple):
    """The state of ``prodigy``."""

    exp_avg: Updates
    exp_avg_sq: Updates
    grad_sum: Updates
    params0: Params
    estim_lr: jax.Array
    numerator_weighted: jax.Array
    count: Any


class DoGState(NamedTuple):
    """The state of ``dog``."""

    is_init_step: jax.Array
    init_params: Params
    max_dist: jax.Array
    sum_sq_norm_grads: jax.Array


class DoWGState(NamedTuple):
    """The state of ``dowg``."""

    init_params: Params
    weighted_sq_norm_grads: jax.Array
    estim_sq_dist: jax.Array


class GaLoreState(NamedTuple):
    """The state of ``scale_by_galore``."""

    count: Any
    base_optimizer_state: Any
    projector: Tree


class MadgradState(NamedTuple):
    """The state of ``madgrad``."""

    count: Any
    grad_sum_sq: Updates
    s: Updates
    x0: Params


class MechanicState(NamedTuple):
    """The state of ``mechanize``."""

    base_optimizer_state: Any
    count: Any
    r: jax.Array
    m: jax.Array
    v: jax.Array
    s: jax.Array
    x0: Params


class MomoState(NamedTuple):
    """The state of ``momo``."""

    exp_avg: Updates
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array
    count: Any


class MomoAdamState(NamedTuple):
    """The state of ``momo_adam``."""

    exp_avg: Updates
    exp_avg_sq: Updates
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array
    count: Any


class MuonState(NamedTuple):
    """The state of ``scale_by_muon``."""

    count: Any
    mu: Updates
    ns_coeffs: jax.Array


class DifferentiallyPrivateAggregateState(NamedTuple):
    """The state of ``differentially_private_aggregate``."""

    rng_key: Any


class ScheduleFreeState(NamedTuple):
    """The state of ``schedule_free``."""

    b1: jax.Array
    weight_sum: jax.Array
    step_count: jax.Array
    max_lr: jax.Array
    base_optimizer_state: Any
    z: Params


class SAMState(NamedTuple):
    """The state of ``sam``."""

    steps_since_sync: jax.Array
    opt_state: Any
    adv_state: Any
    cache: Params | None


class SplitRealAndImaginaryState(NamedTuple):
    """The state of ``split_real_and_imaginary``."""

    inner_state: Any
