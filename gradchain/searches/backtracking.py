"""Backtracking: try shorter steps until the loss falls enough."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Hyper, Positive, PositiveInt, StaticPositiveInt
from gradchain.core.transformation import transform
from gradchain.core.types import Numeric
from gradchain.searches.along import Learnt, Numbers, along
from gradchain.searches.search import Search

NAMES = ["start", "slope", "reference", "tried", "short", "long", "best", "best_value"]


@transform
def backtracking(
    condition: str = "armijo",
    c1: Annotated[Hyper, "(0, 0.5)"] = 1e-4,
    shrink: Annotated[Hyper, "(0, 1)"] = 0.5,
    interpolate: bool = True,
    max_evals: PositiveInt = 20,
    initial_step: Positive = 1.0,
    guess: str = "unit",
    window: StaticPositiveInt = 1,
) -> Search:
    r"""Try shorter steps until the loss falls enough.

    With :math:`\varphi(\alpha) = f(p + \alpha u)`, Armijo's condition asks for a share of the fall
    that the slope promises; that of Goldstein asks in addition that the step be not too short:

    .. math::
        \varphi(\alpha) \le R + c_1 \alpha \varphi'(0); \qquad
        \varphi(0) + (1 - c_1) \alpha \varphi'(0) \le \varphi(\alpha)

    :math:`R` is the largest of the last ``window`` values: with 1, :math:`\varphi(0)`; with more,
    the loss may rise for a while, as on the floor of a curved valley. A step that is too long is
    followed by the minimum of the parabola through :math:`\varphi(0), \varphi'(0)` and the value
    there, one that is too short by a longer one, and both together by the middle between them.
    Where no step meets the condition, the best that meets the first one is taken; without one the
    update is zero. Where the update does not go downhill, or the last search failed, the search is
    along the negative gradient.

    Args:
        condition: ``"armijo"`` or ``"goldstein"``.
        c1: :math:`c_1`, in (0, 1/2).
        shrink: a step that is too long is multiplied by it, or with ``interpolate`` by less; one
            that is too short is divided by it.
        interpolate: whether to use the parabola; a tenth of the step is the least that it may lead
            to.
        max_evals: how often a search may evaluate the loss and its gradient.
        initial_step: the first step to try, as a factor of the update.
        guess: whether each search begins there, ``"unit"``, or with the step that promises the
            decrease of the last one, ``"previous"``.
        window: of how many values :math:`R` is the largest; 10 is usual for the search that is not
            monotone.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if ``update`` is called without ``value_fn=`` or ``params``.

    Sources: Armijo, 1966, https://doi.org/10.2140/pjm.1966.16.1; Goldstein, 1965,
    https://doi.org/10.1137/0303013; for the window Grippo, Lampariello & Lucidi, "A Nonmonotone
    Line Search Technique for Newton's Method", 1986, https://doi.org/10.1137/0723046

    Example:
        >>> import jax
        >>> import gradchain as gc
        >>> tx, params = gc.chain(gc.scale(-1.0), backtracking()), jnp.array([2.0])
        >>> loss = lambda p: jnp.sum(3 * p**2)
        >>> grads = jax.grad(loss)(params)
        >>> updates, state = tx.update(grads, tx.init(params), params, value_fn=loss)
        >>> print(updates.round(3), state["backtracking"]["evals"])
        [-2.] 3
    """
    check_one_of("backtracking", ["armijo", "goldstein"], condition=condition)

    def start(
        value: jax.Array, slope: jax.Array, step: jax.Array, reference: jax.Array
    ) -> Numbers:
        zeros = dict.fromkeys(["tried", "short", "long", "best"], jnp.zeros_like(value))
        own = {"start": value, "slope": slope, "reference": reference, "step": step}
        return own | zeros | {"best_value": value}

    def tell(m: Numbers, value: jax.Array, slope: jax.Array) -> Learnt:
        step, tried = m["step"], m["tried"] + 1
        falls = value <= m["reference"] + c1 * step * m["slope"]
        is_deep = value < m["start"] + (1 - c1) * step * m["slope"]
        is_short = falls & is_deep & (condition == "goldstein")
        accepted = falls & ~is_short
        took = accepted | falls & ((m["best"] == 0) | (value < m["best_value"]))
        new = {
            "tried": tried,
            "short": jnp.where(is_short, step, m["short"]),
            "long": jnp.where(falls, m["long"], step),
            "best": jnp.where(took, step, m["best"]),
            "best_value": jnp.where(took, value, m["best_value"]),
        }
        share = jnp.maximum(0.1, parabola_minimum(m, value)) if interpolate else shrink
        new = m | new
        step = following(new, is_short, share, shrink)
        over = accepted | (tried >= max_evals)
        return new | {"step": jnp.where(over, new["best"], step)}, took, over

    return along(start, tell, NAMES, initial_step, guess, window)


def following(m: Numbers, is_short: jax.Array, share: Numeric, shrink: Numeric) -> jax.Array:
    """The step to try next."""
    longer = m["step"] / shrink
    shorter = m["step"] * jnp.minimum(share, shrink)
    between = (m["short"] + m["long"]) / 2
    open_end = jnp.where(is_short, longer, shorter)
    is_bracketed = (m["short"] > 0) & (m["long"] > 0)
    return jnp.where(is_bracketed, between, open_end)


def parabola_minimum(m: Numbers, value: jax.Array) -> jax.Array:
    """The minimum of a parabola, relative to the step.

    The parabola goes through the start, with its slope, and the present point.
    """
    promised = m["step"] * m["slope"]
    above = value - m["start"] - promised
    width = 2 * jnp.where(above > 0, above, 1.0)
    return jnp.where(above > 0, -promised / width, 0.5)
