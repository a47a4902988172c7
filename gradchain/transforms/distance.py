"""Step lengths from the distance travelled: DoG, DoWG, Prodigy and D-Adaptation.

Each estimates how far the solution is from the start, and takes this distance in place of a learning rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.core import transform
from gradchain.lift import leafwise, treewise
from gradchain.numerics import abs2, ema, safe_divide, safe_sqrt
from gradchain.slots import like_param, scalar
from gradchain.transforms.adam import bias_corrections
from gradchain.transforms.decay import add_decay
from gradchain.trees import dot, map_leaves, safe_norm, scale_tree, sum_over_shards


@transform
def scale_by_distance_over_gradients(
    reps_rel: Hyper = 1e-6,
    eps: Hyper = 1e-8,
    global_scale: Hyper = 1.0,
    *,
    layer_wise: bool = True,
    init_distance: Hyper | None = None,
    init_learning_rate: Hyper | None = None,
) -> Any:
    r"""Distance over gradients (DoG): the longest distance from the start, over the root of all squares so far.

    .. math::
        \bar r_t = \max_{k \le t} \lVert x_k - x_0 \rVert \vee r_\epsilon, \quad
        G_t = \sum_{k \le t} \lVert g_k \rVert^2, \quad
        u_t = c\,\frac{\bar r_t}{\sqrt{G_t + \epsilon}}\, g_t

    Without :math:`\epsilon` the steps do not change when the loss is multiplied by a number; with it, a factor of 100
    changes the rate by less than :math:`\epsilon / 2 G_t` of itself. The authors recommend to average the iterates.

    Args:
        reps_rel: the distance at the start, :math:`r_\epsilon`, in units of :math:`1 + \lVert x_0 \rVert`; 1e-4 with
            batch normalisation.
        eps: :math:`\epsilon`, in squared units of the gradient.
        global_scale: the factor :math:`c`.
        layer_wise: whether each leaf has a distance and a sum of its own (LDoG); else they are of the whole tree.
        init_distance: the distance at the start in units of the parameters, in place of ``reps_rel``.
        init_learning_rate: the rate of the first step, in place of a distance at the start.

    Raises:
        ValueError: if both a distance and a rate are given for the start.
        TypeError: if ``update`` is called without ``params``.

    Source: Ivgi, Hinder & Carmon, "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule", 2023,
    https://arxiv.org/abs/2302.12022

    Example:
        >>> tx, params = scale_by_distance_over_gradients(0.1, 0.0), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0])
        [0.5]
    """
    if init_distance is not None and init_learning_rate is not None:
        raise ValueError("scale_by_distance_over_gradients: give init_distance or init_learning_rate, not both.")

    def at_least(start):
        if init_learning_rate is not None:
            return 0.0
        return reps_rel * (1 + safe_norm(start)) if init_distance is None else init_distance

    def rule(g, s, p, t):
        travelled = safe_norm(map_leaves(jnp.subtract, p, s["start"]))
        distance = jnp.maximum(jnp.maximum(s["distance"], travelled), at_least(s["start"]))
        squares = s["squares"] + dot(g, g)
        rate = safe_divide(distance, safe_sqrt(squares + eps))
        if init_learning_rate is not None:
            rate = jnp.where(t == 1, init_learning_rate, rate)
        return scale_tree(g, global_scale * rate), s | {"distance": distance, "squares": squares}

    return _lift(layer_wise)(rule, start=like_param(copy=True), distance=scalar, squares=scalar)


@transform
def scale_by_dowg(init_estim_sq_dist: Hyper | None = None, eps: Hyper = 1e-4, *, layer_wise: bool = False) -> Any:
    r"""Distance over weighted gradients (DoWG): as DoG, with each square weighted by the distance of its time.

    .. math::
        \bar r_t^2 = \max_{k \le t} \lVert x_k - x_0 \rVert^2 \vee r_\epsilon^2, \quad
        v_t = \sum_{k \le t} \bar r_k^2 \lVert g_k \rVert^2, \quad
        u_t = \frac{\bar r_t^2}{\sqrt{v_t} + \epsilon}\, g_t

    Without the :math:`\epsilon` of the denominator the steps do not change when the loss is multiplied by a number;
    with it the rate is smaller by a part :math:`\epsilon / \sqrt{v_t}`, a hundredth of which stays if the loss is
    multiplied by 100.

    Args:
        init_estim_sq_dist: the squared distance at the start, :math:`r_\epsilon^2`; ``eps`` by default.
        eps: :math:`\epsilon`, in units of the gradient times those of the parameters.
        layer_wise: whether each leaf has a distance and a sum of its own; else they are of the whole tree.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Khaled, Mishchenko & Jin, "DoWG Unleashed: An Efficient Universal Parameter-Free Gradient Descent Method",
    2023, https://arxiv.org/abs/2305.16284

    Example:
        >>> tx, params = scale_by_dowg(0.25, 0.0), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0])
        [0.5]
    """
    least = eps if init_estim_sq_dist is None else init_estim_sq_dist

    def rule(g, s, p):
        moved = map_leaves(jnp.subtract, p, s["start"])
        squared_distance = jnp.maximum(jnp.maximum(s["squared_distance"], dot(moved, moved)), least)
        squares = s["squares"] + squared_distance * dot(g, g)
        rate = safe_divide(squared_distance, safe_sqrt(squares) + eps)
        return scale_tree(g, rate), s | {"squared_distance": squared_distance, "squares": squares}

    return _lift(layer_wise)(rule, start=like_param(copy=True), squared_distance=scalar, squares=scalar)


@transform
def scale_by_prodigy(
    learning_rate: Hyper = 1.0,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    beta3: Hyper | None = None,
    eps: Hyper = 1e-8,
    estim_lr0: Hyper = 1e-6,
    estim_lr_coef: Hyper = 1.0,
    weight_decay: Hyper = 0.0,
    safeguard_warmup: bool = False,
    where: Any = None,
    *,
    bias_correction: bool = True,
) -> Any:
    r"""Prodigy: Adam in units of the distance :math:`d` to the solution, which grows with what is learnt of it.

    With the rate :math:`\lambda_t = \eta_t d_t \sqrt{1-\beta_2^t} / (1-\beta_1^t)`,

    .. math::
        r &\leftarrow \beta_3 r + \tfrac{d_t}{d_0} \lambda_t \langle g_t, x_0 - x_t \rangle, \quad
        s \leftarrow \beta_3 s + \tfrac{d_t}{d_0} \lambda_t g_t, \quad
        d_{t+1} = \max(d_t, c\, r / \lVert s \rVert_1) \\
        m &\leftarrow \beta_1 m + (1-\beta_1) d_t g_t, \quad v \leftarrow \beta_2 v + (1-\beta_2) d_t^2 |g_t|^2, \quad
        u = \lambda_t \Bigl(\frac{m}{\sqrt v + d_{t+1} \epsilon} + w\,x_t\Bigr)

    The learning rate stands inside, since it weighs what is learnt. Without :math:`\epsilon` the steps do not change
    when the loss is multiplied by a number; with it they are smaller by a part :math:`\epsilon / |g|`.

    Args:
        learning_rate: the factor :math:`\eta` of the estimated distance, or its schedule with a peak of 1.
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        beta3: decay :math:`\beta_3` of what the estimate is made of; :math:`\sqrt{\beta_2}` by default.
        eps: :math:`\epsilon`, in the units of the gradient.
        estim_lr0: the distance at the start :math:`d_0`, below the true one, in the units of the parameters.
        estim_lr_coef: the factor :math:`c` of the estimate.
        weight_decay: the factor :math:`w` of the parameters, per unit of the rate.
        safeguard_warmup: whether :math:`s` takes :math:`d_t` in place of :math:`\lambda_t`, so that a warm-up from a
            tiny learning rate does not inflate the estimate.
        where: the leaves that decay; see ``add_decayed_weights``.
        bias_correction: whether :math:`\lambda_t` has the factor that undoes the pull of the moments towards zero; the
            authors' own code has it off.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Mishchenko & Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", 2023,
    https://arxiv.org/abs/2306.06101

    Example:
        >>> tx, params = scale_by_prodigy(estim_lr0=0.5), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0].round(3))
        [0.5]
    """

    def rule(g, s, p, t):
        d, decay = s["distance"], b2**0.5 if beta3 is None else beta3
        rate = learning_rate * d * bias_corrections(b1, b2, t) if bias_correction else learning_rate * d
        weight = d / estim_lr0
        gain = dot(g, map_leaves(jnp.subtract, s["start"], p))
        numerator = decay * s["numerator"] + weight * rate * gain
        share = weight * (d if safeguard_warmup else rate)
        sums = map_leaves(lambda g, old: decay * old + share * g, g, s["sums"])
        distance = jnp.maximum(d, estim_lr_coef * safe_divide(numerator, sum_of_magnitudes(sums)))

        mu = map_leaves(lambda g, mu: ema(d * g, mu, b1), g, s["mu"])
        nu = map_leaves(lambda g, nu: ema(abs2(d * g), nu, b2), g, s["nu"])
        u = map_leaves(lambda mu, nu: rate * mu / (jnp.sqrt(nu) + distance * eps), mu, nu)
        new = {"mu": mu, "nu": nu, "sums": sums, "distance": distance, "numerator": numerator}
        return add_decay(u, p, rate * weight_decay, where), s | new

    moments = {"mu": like_param, "nu": like_param(real=True), "sums": like_param}
    return treewise(rule, start=like_param(copy=True), **moments, distance=scalar(fill=estim_lr0), numerator=scalar)


@transform
def scale_by_dadapt_adam(
    learning_rate: Hyper = 1.0,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    estim_lr0: Hyper = 1e-6,
    weight_decay: Hyper = 0.0,
    where: Any = None,
    *,
    growth_rate: Hyper | None = None,
    bias_correction: bool = True,
) -> Any:
    r"""Adam with D-Adaptation, which bounds the distance :math:`d` to the solution from below.

    With the rate :math:`\lambda_t = \eta_t d_t \sqrt{1-\beta_2^t} / (1-\beta_1^t)` and
    :math:`A_t = \sqrt{v_t} + \epsilon`,

    .. math::
        r &\leftarrow \sqrt{\beta_2}\,r + \lambda_t \langle g_t, s / A_{t-1} \rangle, \quad
        s \leftarrow \sqrt{\beta_2}\,s + \lambda_t g_t, \quad
        d_{t+1} = \max(d_t, r / \lVert s \rVert_1) \\
        m &\leftarrow \beta_1 m + (1-\beta_1) \lambda_t g_t, \quad v \leftarrow \beta_2 v + (1-\beta_2) |g_t|^2, \quad
        u = m / A_t + \lambda_t w\,x_t

    The distance is that of the largest coordinate. The sums are the paper's moving averages without their common
    factor :math:`1 - \sqrt{\beta_2}`, which the quotient does not show; like the authors' code it measures :math:`s`
    by :math:`A_{t-1}`, where the paper's algorithm has :math:`A_t`. ``dadapt`` is the same idea around any direction.
    Without :math:`\epsilon` the steps do not change when the loss is multiplied by a number; with it they are smaller
    by a part :math:`\epsilon / |g|`.

    Args:
        learning_rate: the factor :math:`\eta` of the estimated distance, or its schedule with a peak of 1.
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        estim_lr0: the distance at the start, below the true one, in the units of the parameters.
        weight_decay: the factor :math:`w` of the parameters, per unit of the rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        growth_rate: how many times its value the distance may become in one step; ``None`` sets no bound.
        bias_correction: whether :math:`\lambda_t` has the factor that undoes the pull of the moments towards zero; the
            authors' own code has it off.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Defazio & Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023, https://arxiv.org/abs/2301.07733

    Example:
        >>> tx, params = scale_by_dadapt_adam(estim_lr0=0.5), jnp.array([4.0])
        >>> print(tx.update(jnp.array([8.0]), tx.init(params), params)[0].round(3))
        [0.5]
    """

    def rule(g, s, p, t):
        d, decay = s["distance"], b2**0.5
        rate = learning_rate * d * bias_corrections(b1, b2, t) if bias_correction else learning_rate * d
        gain = dot(g, map_leaves(lambda total, nu: safe_divide(total, jnp.sqrt(nu) + eps), s["sums"], s["nu"]))
        numerator = decay * s["numerator"] + rate * gain
        sums = map_leaves(lambda g, old: decay * old + rate * g, g, s["sums"])
        distance = grown(d, safe_divide(numerator, sum_of_magnitudes(sums)), growth_rate)

        mu = map_leaves(lambda g, mu: ema(rate * g, mu, b1), g, s["mu"])
        nu = map_leaves(lambda g, nu: ema(abs2(g), nu, b2), g, s["nu"])
        u = map_leaves(lambda mu, nu: mu / (jnp.sqrt(nu) + eps), mu, nu)
        new = {"mu": mu, "nu": nu, "sums": sums, "distance": distance, "numerator": numerator}
        return add_decay(u, p, rate * weight_decay, where), new

    moments = {"mu": like_param, "nu": like_param(real=True), "sums": like_param}
    return treewise(rule, **moments, distance=scalar(fill=estim_lr0), numerator=scalar)


def grown(distance: jax.Array, estimate: jax.Array, growth_rate: Any) -> jax.Array:
    """The distance, which never shrinks, after a new estimate."""
    return jnp.maximum(distance, estimate if growth_rate is None else jnp.minimum(estimate, growth_rate * distance))


def sum_of_magnitudes(tree: Any) -> jax.Array:
    """The sum of ``|x|`` over all elements, over all shards inside ``shard_map``."""
    sums = jax.tree.leaves(map_leaves(lambda x: jnp.sum(jnp.abs(x)), tree))
    return sum_over_shards(sums) if sums else jnp.zeros(())


def _lift(layer_wise: bool) -> Callable:
    """Trees or leaves: the same rule runs on both, since a leaf is a tree."""
    return leafwise if layer_wise else treewise
