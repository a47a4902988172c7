"""Line searches as members of a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gradchain.core.errors import check_at_least, check_one_of
from gradchain.core.slots import like_param, numbers, scalar
from gradchain.numerics.arithmetic import safe_divide
from gradchain.searches.search import Search
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.reductions import dot, scaled_norm


def along(
    start: Callable,
    tell: Callable,
    names: list[str],
    initial_step: Any = 1.0,
    guess: str = "unit",
    window: int = 1,
) -> Search:
    """Lift a line search on numbers to a member of a chain; see
    ``gradchain.searches``.

    Where the update that it is given does not go downhill, or the last search failed, it goes along
    the negative gradient, scaled to a length of 1 at most. A loss or slope that is not finite
    counts as too high. Its slots: the accepted ``step``, its first order decrease ``gain``, and the
    last ``values``.

    Args:
        start: see there.
        tell: see there.
        names: those of the numbers that ``m`` holds, beside ``step``.
        initial_step: the first step to try.
        guess: ``"unit"``: each search begins with ``initial_step``; ``"previous"``: with the step
            that promises the decrease of the last one, and the first with one as long as
            ``initial_step`` at most.
        window: how many of the last values an increase is measured from: with 1, the last one.

    Example:
        >>> import jax
        >>> import gradchain as gc
        >>> @gc.transform
        ... def exact():
        ...     def start(value, slope, step, reference):
        ...         return {"start": slope, "step": step}
        ...
        ...     def tell(m, value, slope):  # the slope of a parabola is a straight line
        ...         is_end = jnp.abs(slope) < 1e-5 * jnp.abs(m["start"])
        ...         best = m["step"] * m["start"] / (m["start"] - slope)
        ...         return m | {"step": jnp.where(is_end, m["step"], best)}, is_end, is_end
        ...
        ...     return along(start, tell, ["start"])
        >>> tx, params = gc.chain(gc.scale(-1.0), exact()), jnp.array([2.0])
        >>> loss = lambda p: jnp.sum(3 * p**2)
        >>> params, state = tx.step(jax.grad(loss)(params), tx.init(params), params, value_fn=loss)
        >>> print(abs(params) < 1e-6, state["exact"]["evals"])
        [ True] 3
    """
    check_one_of(None, ["unit", "previous"], guess=guess)
    check_at_least(None, 1, window=window)
    names = list(dict.fromkeys(["slope", *names]))

    def begin(g: Any, s: dict, p: Any, value: Any, grad: Any) -> tuple[dict, Any]:
        slope, length = dot(grad, g), scaled_norm(grad)
        is_downhill = (slope < 0) & jnp.isfinite(slope) & (s["failed"] == 0)
        factor = jnp.minimum(1.0, safe_divide(1.0, length))
        direction = map_leaves(lambda u, d: jnp.where(is_downhill, u, -factor * d), g, grad)
        slope = jnp.where(is_downhill, slope, -jnp.minimum(length, 1.0) * length)
        values = jnp.roll(s["values"], 1).at[0].set(value)
        values = jnp.where(s["gain"] == 0, jnp.full_like(values, value), values)  # the first one
        m = start(value, slope, first_step(s, slope, direction), jnp.max(values))
        over = slope == 0
        step = jnp.where(over, 0.0, m["step"])
        q = {"direction": direction, "gain": s["gain"], "values": values, "step": step}
        return q | packed(m | {"slope": slope}), over

    def packed(m: dict) -> dict:
        """The numbers of a search in one array: compiling many small ones takes long."""
        return {"numbers": jnp.stack([m[k] for k in names])}

    def unpacked(q: dict) -> dict:
        return dict(zip(names, q["numbers"], strict=True)) | {"step": q["step"]}

    def first_step(s: dict, slope: Any, direction: Any) -> Any:
        if guess == "unit":
            return initial_step + jnp.zeros_like(slope)
        short = initial_step * jnp.minimum(1.0, safe_divide(1.0, scaled_norm(direction)))
        return jnp.where(
            s["step"] == 0, short, jnp.minimum(safe_divide(s["gain"], slope), 10 * s["step"])
        )

    def trial(q: dict) -> Any:
        return scale_tree(q["direction"], q["step"])

    def on(q: dict, value: Any, grad: Any) -> tuple[dict, Any, Any]:
        slope = dot(grad, q["direction"])
        is_number = jnp.isfinite(value) & jnp.isfinite(slope)
        value, slope = (
            jnp.where(is_number, value, jnp.finfo(value.dtype).max),
            jnp.where(is_number, slope, 0.0),
        )
        old = unpacked(q)
        m, took, over = tell(old, value, slope)
        gain = jnp.where(took, q["step"] * old["slope"], q["gain"])
        return q | packed(old | m) | {"step": m["step"], "gain": gain}, took, over

    working = {"numbers": numbers(len(names)), "direction": like_param}
    return Search(begin, trial, on, working, 2, step=scalar, gain=scalar, values=numbers(window))
