"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper, Positive, PositiveInt
from gradchain.core.transformation import transform
from gradchain.searches.along import Learnt, Numbers, along, check_wolfe
from gradchain.searches.search import Search

NAMES = [
    *("start", "slope", "most", "tried", "is_bracketed"),
    *("low", "low_value", "low_slope", "high", "high_value", "high_slope"),
]


@transform
def strong_wolfe(
    c1: Annotated[Hyper, "(0, 0.5)"] = 1e-4,
    c2: Annotated[Hyper, "(0, 1)"] = 0.9,
    max_evals: PositiveInt = 20,
    initial_step: Positive = 1.0,
    guess: str = "unit",
    max_step: Annotated[Hyper, "(0, inf]"] = 1e10,
) -> Search:
    r"""Line search for the strong Wolfe conditions.

    It goes so far along the update that the loss falls enough and its slope is small. With
    :math:`\varphi(\alpha) = f(p + \alpha u)`,

    .. math::
        \varphi(\alpha) \le \varphi(0) + c_1 \alpha \varphi'(0), \quad |\varphi'(\alpha)| \le c_2
        |\varphi'(0)|

    Steps grow until they bracket such a point, then the bracket shrinks; each new step is the
    minimum of the cubic through the two ends, kept away from both. Where rounding hides the fall of
    the loss, :math:`\varphi'(\alpha) \le (2 c_1 - 1) \varphi'(0)` stands for the first condition
    (Hager & Zhang, 2005). A loss or slope that is not finite counts as too high. Where no step
    meets both conditions, the best that meets the first is taken; without one the update is zero.

    Args:
        c1: :math:`c_1`, in (0, 1/2).
        c2: :math:`c_2`, in [:math:`c_1`, 1): 0.9 after Newton's and quasi-Newton directions, 0.1
            after conjugate gradients.
        max_evals: how often a search may evaluate the loss and its gradient.
        initial_step: the first step to try, as a factor of the update.
        guess: whether each search begins there, ``"unit"``, or with the step that promises the
            decrease of the last one, ``"previous"``.
        max_step: the longest step, as a factor of the update, or with ``"previous"`` of the first
            step that is tried: an update may be in other units than the parameters.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if ``update`` is called without ``value_fn=`` or ``params``.

    Source: Nocedal & Wright, "Numerical Optimization", 2006, algorithms 3.5 and 3.6,
    https://doi.org/10.1007/978-0-387-40065-5

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.chain(gc.scale(-1.0), strong_wolfe(c2=0.1)), jnp.array([2.0])
        >>> loss = lambda p: jnp.sum(3 * p**2)
        >>> grads = jax.grad(loss)(params)
        >>> updates, state = tx.update(grads, tx.init(params), params, value_fn=loss)
        >>> print(updates.round(3), state["strong_wolfe"]["evals"])
        [-2.] 3
    """
    check_wolfe("strong_wolfe", c1, c2)
    return interpolating(c1, c2, max_evals, initial_step, guess, max_step)


def interpolating(
    c1: Any, c2: Any, max_evals: Any, initial_step: Any, guess: str, max_step: Any
) -> Search:
    """The search of ``strong_wolfe``, for any numbers.

    An infinite ``c2`` is for no condition on the slope.
    """

    def start(value: jax.Array, slope: jax.Array, step: jax.Array, reference: Any) -> Numbers:
        zero = jnp.zeros_like(value)
        ends = {"low": zero, "low_value": value, "low_slope": slope}
        ends |= {"high": zero, "high_value": value, "high_slope": slope}
        most = max_step * (step if guess == "previous" else jnp.ones_like(value))
        m = {"start": value, "slope": slope, "most": most}
        m |= {"tried": zero, "is_bracketed": zero}
        return m | ends | {"step": jnp.minimum(step, most)}

    def tell(m: Numbers, value: jax.Array, slope: jax.Array) -> Learnt:
        step = m["step"]
        noise = 10 * jnp.finfo(value.dtype).eps * jnp.abs(m["start"])
        is_hidden = jnp.abs(value - m["start"]) <= noise
        is_flat_fall = is_hidden & (slope <= (2 * c1 - 1) * m["slope"])
        falls = (value <= m["start"] + c1 * step * m["slope"]) | is_flat_fall
        is_last = (step >= m["most"]) & (slope < 0)
        is_curved = (jnp.abs(slope) <= -c2 * m["slope"]) | jnp.isinf(c2)
        accepted = falls & (is_curved | is_last)

        is_high = ~falls | (value > m["low_value"] + noise)
        new = m | bracket(m, value, slope, is_high) | {"tried": m["tried"] + 1}
        is_bracketed, width = new["is_bracketed"] > 0, jnp.abs(new["high"] - new["low"])
        rounding = 4 * jnp.finfo(step.dtype).eps * jnp.maximum(step, new["low"])
        is_narrow = is_bracketed & (width <= rounding)
        took = accepted | ~is_high
        over = accepted | is_narrow | (new["tried"] >= max_evals)
        settled = jnp.where(accepted, step, new["low"])
        longer = jnp.minimum(beyond(m, new), m["most"])
        following = jnp.where(is_bracketed, within(new), longer)
        new["step"] = jnp.where(over, settled, following)
        return new, took, over

    return along(start, tell, NAMES, initial_step, guess)


def bracket(m: Numbers, value: jax.Array, slope: jax.Array, is_high: jax.Array) -> Numbers:
    """The bracket after one more step."""
    ahead = jnp.where(m["is_bracketed"] > 0, m["high"] - m["low"], 1.0)
    turns = ~is_high & (slope * ahead >= 0)
    new = {}
    for part, x in (("", m["step"]), ("_value", value), ("_slope", slope)):
        low, high = m[f"low{part}"], m[f"high{part}"]
        opposite = jnp.where(turns, low, high)
        new[f"low{part}"] = jnp.where(is_high, low, x)
        new[f"high{part}"] = jnp.where(is_high, x, opposite)
    is_closed = (is_high | turns).astype(m["step"].dtype)
    new["is_bracketed"] = jnp.maximum(m["is_bracketed"], is_closed)
    return new


def within(m: Numbers) -> jax.Array:
    """A step inside the bracket.

    It is a tenth of the bracket's width from either end at least.
    """
    low = (m["low"], m["low_value"], m["low_slope"])
    high = (m["high"], m["high_value"], m["high_slope"])
    width = m["high"] - m["low"]
    at = cubic_minimum(*low, *high)
    share = jnp.where(jnp.isfinite(at), (at - m["low"]) / width, 0.1)
    return m["low"] + jnp.clip(share, 0.1, 0.9) * width


def beyond(old: Numbers, new: Numbers) -> jax.Array:
    """A step beyond the last one, which still goes downhill."""
    moved = new["low"] - old["low"]
    low = (old["low"], old["low_value"], old["low_slope"])
    high = (new["low"], new["low_value"], new["low_slope"])
    at = cubic_minimum(*low, *high)
    least = new["low"] + 1.1 * moved
    most = new["low"] + 9 * moved
    inside = jnp.clip(at, least, most)
    return jnp.where(at > new["low"], inside, most)


def cubic_minimum(
    a: jax.Array,
    value_a: jax.Array,
    slope_a: jax.Array,
    b: jax.Array,
    value_b: jax.Array,
    slope_b: jax.Array,
) -> jax.Array:
    """The minimum of the cubic through two points with slopes.

    It is NaN if there is none. The slopes are divided by a power of two, since their squares may be
    out of range.
    """
    mean = slope_a + slope_b - 3 * (value_a - value_b) / (a - b)
    size = jnp.maximum(jnp.abs(mean), jnp.maximum(jnp.abs(slope_a), jnp.abs(slope_b)))
    by = jnp.ldexp(jnp.ones_like(size), -jnp.frexp(size)[1])
    mean, slope_a, slope_b = mean * by, slope_a * by, slope_b * by
    root = jnp.sign(b - a) * jnp.sqrt(jnp.square(mean) - slope_a * slope_b)
    return b - (b - a) * (slope_b + root - mean) / (slope_b - slope_a + 2 * root)
