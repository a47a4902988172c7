"""Line searches as members of a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_at_least, check_one_of
from gradchain.core.slots import like_param, numbers, scalar
from gradchain.core.types import Numeric, Params, State, Updates
from gradchain.numerics.arithmetic import safe_divide
from gradchain.searches.first_step import first_length
from gradchain.searches.search import Search, Told, Working
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import dot, largest_in, scaled_norm

Numbers: TypeAlias = dict[str, jax.Array]
"""A line search while it goes on: numbers by name."""

Start: TypeAlias = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], Numbers]
"""From the value, the slope, the first step and the reference value to the search."""

Learnt: TypeAlias = tuple[Numbers, jax.Array, jax.Array]
"""A search, whether its last step is the best so far, and whether it is over."""

Tell: TypeAlias = Callable[[Numbers, jax.Array, jax.Array], Learnt]
"""From a search, the value and the slope at its last step to ``Learnt``."""


def along(
    start: Start,
    tell: Tell,
    names: list[str],
    initial_step: Numeric = 1.0,
    guess: str = "unit",
    window: int = 1,
) -> Search:
    """Make a member of a chain from a line search.

    For such line searches on numbers see ``gradchain.searches``. Where the update that it is given
    does not go downhill, or the last search failed, it goes along the negative gradient, with a
    length of its own (``first_length``). A loss or slope that is not finite counts as too high. Its
    slots: the accepted ``step``, its first order decrease ``gain``, and the last ``values``.

    Args:
        start: see there.
        tell: see there.
        names: those of the numbers that ``m`` holds, beside ``step``.
        initial_step: the first step to try.
        guess: ``"unit"``: each search begins with ``initial_step``, unless the update is a tiny
            gradient that is lost in the rounding of the parameters; ``"previous"``: with the step
            that promises the decrease of the last one, and the first with one that makes
            ``initial_step`` times that length.
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

    def begin(
        g: Updates, s: State, p: Params, value: jax.Array, grad: Updates
    ) -> tuple[Working, jax.Array]:
        length = first_length(p, grad, value)
        direction, slope = _downhill(g, grad, s["failed"], length)
        values = jnp.roll(s["values"], 1).at[0].set(value)
        values = jnp.where(s["gain"] == 0, jnp.full_like(values, value), values)  # the first
        first = _previous_step(s, slope, direction, initial_step * length)
        if guess == "unit":
            first = _unit_step(initial_step, first, s["step"], direction, p)
        m = start(value, slope, first, jnp.max(values))
        over = slope == 0
        step = jnp.where(over, 0.0, m["step"])
        q = {"direction": direction, "gain": s["gain"], "values": values, "step": step}
        return q | _pack(m | {"slope": slope}, names), over

    def on(q: Working, value: jax.Array, grad: Updates) -> Told:
        slope = dot(grad, q["direction"])
        is_number = jnp.isfinite(value) & jnp.isfinite(slope)
        value = jnp.where(is_number, value, jnp.finfo(value.dtype).max)
        slope = jnp.where(is_number, slope, 0.0)
        old = _unpack(q, names)
        m, took, over = tell(old, value, slope)
        gain = jnp.where(took, q["step"] * old["slope"], q["gain"])
        return q | _pack(old | m, names) | {"step": m["step"], "gain": gain}, took, over

    trial = lambda q: scale_tree(q["direction"], q["step"])
    working = {"numbers": numbers(len(names)), "direction": like_param}
    lasting = {"step": scalar, "gain": scalar, "values": numbers(window)}
    return Search(begin, trial, on, working, 2, **lasting)


def check_wolfe(factory: str, c1: Any, c2: Any) -> None:
    """Refuse constants of the Wolfe conditions that no step meets."""
    if isinstance(c1, float) and isinstance(c2, float) and c1 > c2:
        raise ValueError(f"{factory}: c1 <= c2 does not hold for c1={c1!r}, c2={c2!r}.")


def _downhill(
    g: Updates,
    grad: Updates,
    failed: jax.Array,
    length: jax.Array,
) -> tuple[Updates, jax.Array]:
    """The direction of a search and the slope along it.

    It is the update, or the negative gradient of a ``length`` if the update does not go downhill or
    the last search failed.
    """
    slope, steepness = dot(grad, g), scaled_norm(grad)
    is_downhill = (slope < 0) & jnp.isfinite(slope) & (failed == 0)
    factor = safe_divide(length, steepness)
    choose = lambda u, d: jnp.where(is_downhill, u, -factor * d)
    steepest = -length * steepness
    direction = map_leaves(choose, g, grad)
    return direction, jnp.where(is_downhill, slope, steepest)


def _pack(m: Numbers, names: list[str]) -> Working:
    """The numbers of a search in one array."""
    # To compile many small ones takes long.
    return {"numbers": jnp.stack([m[k] for k in names])}


def _unpack(q: Working, names: list[str]) -> Numbers:
    return dict(zip(names, q["numbers"], strict=True)) | {"step": q["step"]}


def _unit_step(
    step: Numeric, other: jax.Array, last: jax.Array, direction: Updates, p: Params
) -> jax.Array:
    """The step, or the other one where rounding loses it.

    It does if the update is a tiny gradient. Near a minimum it may be a tiny step of Newton's; but
    then the last factor was about 1.
    """
    length = largest_in(direction)
    is_tiny = step * length < 0.25 * jnp.finfo(length.dtype).eps * largest_in(p)
    is_gradient = (last == 0) | (last > 100 * step)
    return jnp.where(is_tiny & is_gradient, other, step + jnp.zeros_like(other))


def _previous_step(
    s: State, slope: jax.Array, direction: Updates, first_length: jax.Array
) -> jax.Array:
    """The step that promises the decrease of the last one."""
    short = safe_divide(first_length, scaled_norm(direction))
    short = jnp.minimum(short, jnp.finfo(short.dtype).max)
    longer = jnp.minimum(safe_divide(s["gain"], slope), 10 * s["step"])
    return jnp.where(s["step"] == 0, short, longer)
