"""The line search of CG_DESCENT, by Hager and Zhang."""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Hyper, NonNegative, Positive, PositiveInt
from gradchain.core.transformation import transform
from gradchain.numerics.arithmetic import safe_divide
from gradchain.searches.along import Learnt, Numbers, along, check_wolfe
from gradchain.searches.search import Search

# The paper's: of growth, of where to cut a bracket, of how much it has to shrink.
RHO, THETA, GAMMA = 5.0, 0.5, 0.66

NAMES = [
    *("start", "slope", "limit", "tried", "a", "slope_a", "b", "slope_b"),
    *("width", "phase", "is_cut", "best", "best_value"),
]

# The phases of a search, by the step that is tried: growth, one of two secants, a bisection.
BRACKET, FIRST, SECOND, MIDDLE = range(4)


@transform
def hager_zhang(
    c1: Annotated[Hyper, "(0, 0.5)"] = 0.1,
    c2: Annotated[Hyper, "(0, 1)"] = 0.9,
    eps: NonNegative = 1e-6,
    max_evals: PositiveInt = 50,
    initial_step: Positive = 1.0,
    guess: str = "unit",
) -> Search:
    r"""Line search for the Wolfe conditions, exact or approximate.

    The approximate conditions are those that rounding does not hide. With :math:`\varphi(\alpha) =
    f(p + \alpha u)`, the Wolfe conditions and, near a minimum, the approximate ones are

    .. math::
        \varphi(\alpha) \le \varphi(0) + c_1 \alpha \varphi'(0), \quad \varphi'(\alpha) \ge c_2
        \varphi'(0) \qquad \text{or} \\ \varphi(\alpha) \le \varphi(0) + \epsilon |\varphi(0)|,
        \quad (2 c_1 - 1) \varphi'(0) \ge \varphi'(\alpha) \ge c_2 \varphi'(0)

    Steps grow until they bracket a minimum, then two secants of the slope and, where these do not
    cut off a third, a bisection shrink the bracket. So minima are found to the precision of the
    gradient, where a search by values stops at the root of it. A loss or slope that is not finite
    counts as too high. Where no step meets the conditions, the best that meets the first one is
    taken; without one the update is zero. Where the update does not go downhill, or the last search
    failed, the search is along the negative gradient.

    Args:
        c1: :math:`c_1`, in (0, 1/2).
        c2: :math:`c_2`, in [:math:`c_1`, 1).
        eps: :math:`\epsilon`, by how much the value may rise, as a share of it. In float32 rounding
            is more than 1e-6: there the least is 10 times the rounding.
        max_evals: how often a search may evaluate the loss and its gradient.
        initial_step: the first step to try, as a factor of the update.
        guess: whether each search begins there, ``"unit"``, or with the step that promises the
            decrease of the last one, ``"previous"``.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if ``update`` is called without ``value_fn=`` or ``params``.

    Sources: Hager & Zhang, "A New Conjugate Gradient Method with Guaranteed Descent and an
    Efficient Line Search", 2005, https://doi.org/10.1137/030601880, and "Algorithm 851:
    CG_DESCENT", 2006, https://doi.org/10.1145/1132973.1132979

    Example:
        >>> import jax
        >>> import gradchain as gc
        >>> tx, params = gc.chain(gc.scale(-1.0), hager_zhang()), jnp.array([2.0])
        >>> loss = lambda p: jnp.sum(3 * p**2)
        >>> grads = jax.grad(loss)(params)
        >>> updates, state = tx.update(grads, tx.init(params), params, value_fn=loss)
        >>> print(updates.round(3), state["hager_zhang"]["evals"])
        [-2.] 3
    """
    check_wolfe("hager_zhang", c1, c2)

    def start(
        value: jax.Array, slope: jax.Array, step: jax.Array, reference: jax.Array
    ) -> Numbers:
        zeros = dict.fromkeys(NAMES, jnp.zeros_like(value))
        noise = jnp.maximum(eps, 10 * jnp.finfo(value.dtype).eps)
        limit = value + noise * jnp.abs(value)
        own = {"start": value, "slope": slope, "limit": limit}
        return zeros | own | {"slope_a": slope, "best_value": value, "step": step}

    def tell(m: Numbers, value: jax.Array, slope: jax.Array) -> Learnt:
        c, rises = m["step"], slope >= 0
        is_high = ~rises & (value > m["limit"])
        falls = value <= m["start"] + c1 * c * m["slope"]
        is_flat = (value <= m["limit"]) & (slope <= (2 * c1 - 1) * m["slope"])
        accepted = (falls | is_flat) & (slope >= c2 * m["slope"])
        took = accepted | falls & (value < m["best_value"])
        new = m | bracket(m, slope, rises, is_high)
        new |= {
            "tried": m["tried"] + 1,
            "best": jnp.where(took, c, m["best"]),
            "best_value": jnp.where(took, value, m["best_value"]),
        }
        second = second_secant(m, slope, rises | is_high)
        step, phase, width = following(new, second)
        rounding = 4 * jnp.finfo(c.dtype).eps * new["b"]
        is_narrow = (new["b"] > 0) & (new["b"] - new["a"] <= rounding)
        is_last = new["tried"] >= max_evals
        over = accepted | is_narrow | is_last
        step = jnp.where(over, new["best"], step)
        new |= {"step": step, "phase": phase, "width": width}
        return new, took, over

    return along(start, tell, NAMES, initial_step, guess)


def bracket(m: Numbers, slope: jax.Array, rises: jax.Array, is_high: jax.Array) -> Numbers:
    """Make the last step an end of the bracket.

    This is ``update`` of the paper. If it is too high though the slope falls, the next steps cut
    back from it.
    """
    c, is_right = m["step"], rises | is_high
    return {
        "a": jnp.where(is_right, m["a"], c),
        "slope_a": jnp.where(is_right, m["slope_a"], slope),
        "b": jnp.where(is_right, c, m["b"]),
        "slope_b": jnp.where(is_right, slope, m["slope_b"]),
        "is_cut": jnp.where(rises, 0.0, jnp.where(is_high, 1.0, m["is_cut"])),
    }


def second_secant(m: Numbers, slope: jax.Array, is_right: jax.Array) -> jax.Array:
    """The step of a second secant.

    The secant goes through the last step and the end that it replaces. It is 0, which is in no
    bracket, while the bracket is cut back.
    """
    left = secant(m["a"], m["slope_a"], m["step"], slope)
    right = secant(m["b"], m["slope_b"], m["step"], slope)
    found = jnp.where(is_right, right, left)
    return jnp.where(m["is_cut"] > 0, 0.0, found)


def following(m: Numbers, second: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The step to try next, its phase, and a width.

    This is the width that the bracket had when the present round of two secants began.
    """
    a, b, phase = m["a"], m["b"], m["phase"]
    is_cut = m["is_cut"] > 0
    inside = lambda c: (a < c) & (c < b)
    is_secant = (phase == FIRST) | (phase == SECOND)
    is_wide = is_secant & (b - a > GAMMA * m["width"])
    first = secant(a, m["slope_a"], b, m["slope_b"])
    cases = [
        (is_cut, a + THETA * (b - a), phase),
        (b == 0, RHO * a, BRACKET),
        ((phase == FIRST) & inside(second), second, SECOND),
        (~is_wide & inside(first), first, FIRST),
        (jnp.array(True), (a + b) / 2, MIDDLE),
    ]
    flags, steps, phases = zip(*cases, strict=True)
    step = jnp.select(flags, steps)
    phase = jnp.select(flags, [jnp.asarray(x, b.dtype) for x in phases])
    starts = ~is_cut & (phase == FIRST)
    width = jnp.where(starts, b - a, m["width"])
    return step, phase, width


def secant(a: jax.Array, slope_a: jax.Array, b: jax.Array, slope_b: jax.Array) -> jax.Array:
    """The zero of the line through two slopes.

    Without one it is 0, which is in no bracket.
    """
    return safe_divide(a * slope_b - b * slope_a, slope_b - slope_a)
