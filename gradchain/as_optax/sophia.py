"""Sophia as optax defines it.

It divides by the average of the steps before, and debiases the momentum.
``gradchain.scale_by_sophia`` is as the paper has it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.as_optax.adapters import accept_any_extra, where_of, with_extra_args_support
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.numerics import safe_increment
from gradchain.as_optax.tree_utils import (
    tree_bias_correction,
    tree_cast,
    tree_cast_like,
    tree_dtype,
    tree_mul,
    tree_random_like,
    tree_size,
    tree_update_moment,
    tree_zeros_like,
)
from gradchain.as_optax.wrappers import Pair, named_pair, start_count
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Dtype, Numeric, Params, Updates
from gradchain.curvature.products import hessian_vector_product
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights


class HutchinsonState(NamedTuple):
    """The state of ``hutchinson_estimator_diag_hessian``."""

    key: jax.Array


def hutchinson_estimator_diag_hessian(random_seed: Any = None) -> Pair:
    """Replace the updates by an estimate of the Hessian's diagonal.

    It is made for ``sophia``.

    Args:
        random_seed: a random key, which is in the state.
    """

    def update(
        updates: Updates,
        state: HutchinsonState,
        params: Params = None,
        obj_fn: Any = None,
        **extra: Any,
    ) -> tuple[Any, HutchinsonState]:
        for name, given in (("params", params), ("obj_fn", obj_fn)):
            if given is None:
                raise ValueError(
                    f"hutchinson_estimator_diag_hessian: update has to be given {name}=."
                )
        key, own = jax.random.split(state.key)
        signs = tree_random_like(own, params, jax.random.rademacher, dtype=jnp.float32)
        signs = tree_cast(signs, tree_dtype(params, "lowest"))
        products = hessian_vector_product(obj_fn, params, signs)
        return tree_cast_like(tree_mul(products, signs), params), HutchinsonState(key)

    start = lambda params: HutchinsonState(
        jax.random.PRNGKey(0) if random_seed is None else random_seed
    )
    return named_pair("hutchinson_estimator_diag_hessian", start, update)


class SophiaState(NamedTuple):
    """The state of ``scale_by_sophia``."""

    count: Any
    mu: Any
    nu: Any
    hessian_fn_state: Any


def scale_by_sophia(
    b1: Numeric = 0.965,
    b2: Numeric = 0.99,
    eps: Numeric = 1e-8,
    gamma: Numeric = 0.01,
    clip_threshold: Numeric = 1.0,
    update_interval: Numeric = 10,
    hessian_diagonal_fn: Any = None,
    mu_dtype: Dtype | None = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: Numeric = 0,
) -> Pair:
    """Sophia's direction.

    ``update`` is given the arguments of ``hessian_diagonal_fn``, by default ``obj_fn=``.
    """
    diagonal = with_extra_args_support(hessian_diagonal_fn or hutchinson_estimator_diag_hessian())

    def init(params: Params) -> SophiaState:
        mu = tree_zeros_like(params, dtype=mu_dtype)
        nu = tree_zeros_like(params)
        return SophiaState(start_count(), mu, nu, diagonal.init(params))

    def clip(u: Any, count: jax.Array) -> Any:
        if verbose:
            inside = sum(
                jnp.sum(jnp.abs(x) < clip_threshold) for x in jax.tree.leaves(u)
            ) / tree_size(u)
            show = lambda: jax.debug.print("Sophia optimizer win rate: {}", inside)
            jax.lax.cond(count % print_win_rate_every_n_steps == 0, show, lambda: None)
        return jax.tree.map(lambda x: jnp.clip(x, -clip_threshold, clip_threshold), u)

    def update(
        updates: Updates, state: SophiaState, params: Params = None, **extra: Any
    ) -> tuple[Any, SophiaState]:
        if params is None:
            raise ValueError("scale_by_sophia: update has to be given params.")
        count = safe_increment(state.count)
        mu = tree_update_moment(updates, state.mu, b1, 1)
        mu_hat = tree_bias_correction(mu, b1, count)
        u = jax.tree.map(lambda m, h: m / jnp.maximum(gamma * h, eps), mu_hat, state.nu)
        u = u if clip_threshold is None else clip(u, count)

        def estimate() -> tuple[Any, Any]:
            given = (updates, state.hessian_fn_state, params)
            estimated, new = diagonal.update(*given, **extra)
            nu = tree_update_moment(estimated, state.nu, b2, 1)
            return tree_cast_like(nu, state.nu), new

        keep = lambda: (state.nu, state.hessian_fn_state)
        nu, new = jax.lax.cond(state.count % update_interval == 0, estimate, keep)
        state = SophiaState(count, tree_cast_like(mu, state.mu), nu, new)
        return tree_cast_like(u, updates), state

    return named_pair("scale_by_sophia", init, update)


def sophia(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.965,
    b2: Numeric = 0.99,
    eps: Numeric = 1e-8,
    weight_decay: Numeric = 1e-4,
    weight_decay_mask: MaskOrFn = None,
    gamma: Numeric = 0.01,
    clip_threshold: Numeric = 1.0,
    update_interval: Numeric = 10,
    hessian_diagonal_fn: Any = None,
    mu_dtype: Dtype | None = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: Numeric = 0,
) -> GradientTransformationExtraArgs:
    """Sophia: ``scale_by_sophia``, decoupled weight decay, then the learning rate."""
    numbers = (b1, b2, eps, gamma, clip_threshold, update_interval)
    printing = (verbose, print_win_rate_every_n_steps)
    direction = GradientTransformation(
        *scale_by_sophia(*numbers, hessian_diagonal_fn, mu_dtype, *printing)
    )
    decay = add_decayed_weights(weight_decay, where_of(weight_decay_mask))
    return accept_any_extra(chain(direction, decay, scale_by_learning_rate(learning_rate)))
