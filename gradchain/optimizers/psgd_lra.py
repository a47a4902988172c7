"""PSGD with a low-rank preconditioner (Li, 2024): whitened momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import (
    Decay,
    Fraction,
    Hyper,
    Limit,
    NonNegative,
    Positive,
    StaticPositiveInt,
)
from gradchain.core.refresh import Refresh, fading
from gradchain.core.slots import like_param, numbers, prepend
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import State, Tree, Where
from gradchain.numerics.arithmetic import debias, ema
from gradchain.optimizers import lra_factors as factors
from gradchain.optimizers.matrix.psgd_kron import DAMPING, FITS, hessian_pair
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import largest_in
from gradchain.tree.random import normal_like, step_key


@transform(roles="adaptive momentum")
def scale_by_psgd_lra(
    b1: Decay = 0.9,
    refresh: Refresh = fading(),
    preconditioner_rate: Fraction = 0.1,
    rank: StaticPositiveInt = 10,
    *,
    fit_to: str = "gradient",
    init_scale: Positive | None = None,
    max_rms: Limit = 1.1,
    damping: NonNegative = DAMPING,
    bound_decay: Decay = 0.9,
    seed: int = 0,
) -> Body:
    r"""PSGD's direction with one low-rank preconditioner of all parameters.

    All parameters are one vector. With :math:`Q = (I + U V^T)\, \mathrm{diag}(d)`:

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad
        u = Q^T Q\, \hat m, \quad
        Q \leftarrow (I - \mu\, \mathcal{E}) Q, \quad
        \mathcal{E} \propto a a^T - b b^T

    for :math:`a = Q h` and :math:`b = Q^{-T} v`, where :math:`v` is normal noise. In the mean the
    two products are equal when preconditioned :math:`h` have no correlations and the mean square 1.
    :math:`\mathcal{E}` is taken in the directions that change :math:`d` alone, and :math:`U` or
    :math:`V`, each with a probability of a half, and divided by a bound of its norm.

    ``fit_to`` says what :math:`h` is: the gradient or the momentum, for any :math:`v`, or with
    ``"hessian"`` the Hessian's product with :math:`v`, from ``update(..., value_fn=loss)``: then
    :math:`Q^T Q` comes near the inverse of the Hessian, with its eigenvalues taken positive, and
    ``update(..., key=key)`` draws :math:`v` from a key of your own. A product costs about two
    gradients, in the steps of ``refresh`` alone.

    The state has :math:`2 r + 2` numbers for each parameter. A vector :math:`h` of zeros, or one
    that is not finite where it is a product, changes nothing of :math:`Q`.

    Args:
        b1: the decay :math:`\beta` of the average, corrected for its start.
        refresh: when :math:`Q` is fitted; by default at each of the first 500 steps, then with a
            probability that falls to 0.03.
        preconditioner_rate: the rate :math:`\mu` of a fit.
        rank: the number :math:`r` of columns of :math:`U` and :math:`V`.
        fit_to: ``"gradient"``, ``"momentum"`` or ``"hessian"``.
        init_scale: of the first preconditioner, nearly a multiple of the identity; by default one
            over the root mean square of the first :math:`h` that is not zero.
        max_rms: the largest root mean square of an update.
        damping: the share of noise in :math:`h`.
        bound_decay: the decay of the bounds of norms.
        seed: of the noise.

    Raises:
        ValueError: if ``fit_to`` is none of the three.
        TypeError: if ``update`` is called without the function that ``"hessian"`` needs.

    Source: Li, "Preconditioned Stochastic Gradient Descent", 2015,
    https://arxiv.org/abs/1512.04202; Li, "Stochastic Hessian Fittings with Lie Groups", 2024,
    https://arxiv.org/abs/2402.11858

    Example:
        >>> tx = scale_by_psgd_lra(rank=3)
        >>> state = tx.init({"kernel": jnp.zeros((8, 4))})["scale_by_psgd_lra"]
        >>> state["left"]["kernel"].shape
        (3, 8, 4)
    """
    check_one_of("scale_by_psgd_lra", FITS, fit_to=fit_to)
    fit = Fit(preconditioner_rate, bound_decay, damping, init_scale)

    def step(g, s, p, t, count, key, pair):
        if not jax.tree.leaves(g):
            return g, s
        mu = map_leaves(lambda g, m: ema(g, m, b1), g, s["mu"])
        mean = map_leaves(lambda m: debias(m, b1, t), mu)
        x = {"gradient": g, "momentum": mean, "hessian": p}[fit_to]
        old = {name: part for name, part in s.items() if name != "mu"}
        fresh = lambda parts: fit.of(parts["old"], **pair(parts["x"], key), count=count, key=key)
        unborn = (largest_in(old["diagonal"]) == 0) & (largest_in(x) > 0)
        new = refresh.apply_to_trees(fresh, {"x": x, "old": old}, old, count, unborn=unborn)
        return bounded(factors.Factors.of(new), mean, max_rms), {"mu": mu} | new

    def whitens(g, s, t, count, key=None):
        key = step_key(seed, count, key)
        return step(g, s, None, t, count, key, _with_noise)

    def inverts(g, s, p, t, count, value_fn, key=None):
        key = step_key(seed, count, key)
        damp = lambda p, key: {"noise": factors.noise_of(key, 2, p)}
        pair = lambda p, key: hessian_pair(value_fn, p, key) | damp(p, key)
        return step(g, s, p, t, count, key, pair)

    rule = inverts if fit_to == "hessian" else whitens
    parts = {"left": prepend(rank), "right": prepend(rank), "diagonal": like_param(real=True)}
    return treewise(rule, mu=like_param, **parts, bounds=numbers(3))


def _with_noise(x: Tree, key: jax.Array) -> dict[str, Tree]:
    """A vector to whiten, with noise as its probe."""
    noise = normal_like(key, x)
    return {"probe": noise, "x": x, "noise": noise}


def bounded(q: factors.Factors, x: Tree, max_rms: float | jax.Array) -> Tree:
    """A preconditioned vector, shortened to a root mean square."""
    _, y, factor = factors.shortened(q.precondition, x, max_rms * math.sqrt(factors.number_of(x)))
    return scale_tree(y, factor)


@dataclass(frozen=True)
class Fit:
    """How factors are fitted; see ``scale_by_psgd_lra``."""

    rate: Any
    bound_decay: Any
    damping: Any
    init_scale: Any

    def of(
        self,
        old: State,
        probe: Tree,
        x: Tree,
        noise: Tree,
        count: jax.Array,
        key: jax.Array,
    ) -> State:
        """Fit to a vector and its probe."""
        kept = factors.begun(old, x, self.init_scale, count, key)
        share = self.damping * factors.mean_magnitude(x)
        noisy = map_leaves(lambda x, n: x + share * n, x, noise)
        coin = jax.random.fold_in(key, 1)
        made = factors.fit_once(kept, probe, noisy, coin, self.rate, self.bound_decay)
        is_zero = largest_in(x) == 0
        return jax.tree.map(lambda new, old: jnp.where(is_zero, old, new), made, kept)


@recipe
def psgd_lra(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = fading(),
    preconditioner_rate: Fraction = 0.1,
    rank: StaticPositiveInt = 10,
    where: Where | None = None,
    *,
    fit_to: str = "gradient",
    init_scale: Positive | None = None,
    max_rms: Limit = 1.1,
    damping: NonNegative = DAMPING,
    bound_decay: Decay = 0.9,
    seed: int = 0,
) -> GradientTransformation:
    """PSGD with one low-rank preconditioner of all parameters.

    It is ``scale_by_psgd_lra``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: about that of AdamW.
        b1: the decay of the average.
        weight_decay: the decay, multiplied by the learning rate.
        refresh: when the preconditioner is fitted; see ``scale_by_psgd_lra``.
        preconditioner_rate: the rate of a fit.
        rank: the rank of the part beside the diagonal.
        where: the leaves that decay; see ``add_decayed_weights``.
        fit_to: ``"gradient"``, ``"momentum"``, or ``"hessian"``, from ``value_fn=``.
        init_scale: of the first preconditioner.
        max_rms: the largest root mean square of an update.
        damping: the share of noise in what the preconditioner is fitted to.
        bound_decay: the decay of the bounds of norms.
        seed: of the noise.

    Source: see ``scale_by_psgd_lra``.

    Example:
        >>> tx = psgd_lra(1e-3, rank=4)
        >>> params = {"w": jnp.ones((3, 2))}
        >>> loss = lambda p: jnp.sum(p["w"] ** 2)
        >>> tx, grads = psgd_lra(0.1, fit_to="hessian"), jax.grad(loss)(params)
        >>> updates, _ = tx.update(grads, tx.init(params), params, value_fn=loss)
        >>> bool((updates["w"] < 0).all())
        True
    """
    return chain(
        scale_by_psgd_lra(
            b1,
            refresh,
            preconditioner_rate,
            rank,
            fit_to=fit_to,
            init_scale=init_scale,
            max_rms=max_rms,
            damping=damping,
            bound_decay=bound_decay,
            seed=seed,
        ),
        add_decayed_weights(weight_decay, where),
        scale_by_learning_rate(learning_rate),
    )
