"""The loop of ``minimize`` and ``least_squares``: evaluate, judge, move."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradchain.core.apply import add_updates
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Numeric, Params, State, Tree, Updates
from gradchain.minimization.callbacks import tell_host
from gradchain.minimization.descent import (
    Descent,
    Height,
    all_equal,
    continued,
    has_flattened,
    is_better,
    is_endless,
    is_far_below,
    is_growing,
    rounding_of,
    started,
)
from gradchain.minimization.history import NO_ROW, RECORDED, record
from gradchain.minimization.result import Result, Status
from gradchain.minimization.tolerance import Tolerance
from gradchain.numerics.arithmetic import safe_sqrt
from gradchain.numerics.counting import increment
from gradchain.searches.bounds import (
    Bounds,
    free_part,
    is_infeasible,
    kept_in_box,
    off_bounds,
    projected,
    projected_gradient,
)
from gradchain.searches.reverse_communication import reverse_communication
from gradchain.searches.search import Search, cast_like, last_search, where_tree
from gradchain.tree.mapping import map_leaves, real_dtype_of, upcast
from gradchain.tree.norms import dot, largest_in

# Steps in a row that change nothing: then it has stalled. Chains without a search do not all move
# at each call. Those of a search change the value by no more than rounding, and a few are enough;
# but where a radius grows the next one is longer.
IDLE_STEPS = 100
OF_A_SEARCH = IDLE_STEPS // 5


@dataclasses.dataclass(frozen=True)
class Settings:
    """The choices that are compiled in.

    Attributes:
        max_steps: after how many steps to stop; compiled in only where it is the length of a
            history.
        history: see ``minimize``.
        has_aux: see there.
        implicit_diff: see there.
        watched: whether there is a callback.
        jacobian: see ``least_squares``.
    """

    max_steps: int | None
    history: bool | str = False
    has_aux: bool = False
    implicit_diff: bool = False
    watched: bool = False
    jacobian: bool = False


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Limits:
    """When a minimization ends, and which callback is told.

    Attributes:
        tol: a ``Tolerance``.
        max_steps: after how many steps to stop.
        max_evals: after how many evaluations.
        number: that of the callback.
    """

    tol: Tolerance
    max_steps: Numeric
    max_evals: Numeric
    number: Numeric


@dataclasses.dataclass(frozen=True)
class Problem:
    """The function to minimize.

    Attributes:
        value_and_aux: from the parameters to the value and anything beside it.
        functions: the extra arguments of ``update`` that are functions of the parameters.
    """

    value_and_aux: Callable[[Params], tuple[jax.Array, Tree]]
    functions: dict[str, Callable[[Params], Tree]]


class Evaluation(NamedTuple):
    """A point, and the function there."""

    params: Params
    value: jax.Array
    grad_norm: jax.Array  # the largest magnitude in the projected gradient
    aux: Tree  # the second output of the function, if it has two


class Step(NamedTuple):
    """The last step.

    A search needs several turns for one; any other chain makes one in each turn. While a search is
    under way, this is its best point so far, and ``is_step`` does not hold.
    """

    params: Params  # where it led
    value: jax.Array
    grad_norm: jax.Array
    slope: jax.Array  # as ``grad_norm``, but in units of the gradient alone
    is_step: jax.Array  # whether a step ended in this turn; the start counts as one
    is_still: jax.Array  # whether it changed nothing; never said of a search
    is_little: jax.Array  # whether the next one promises no more than rounding
    is_flat: jax.Array  # whether the gradient, or what stands for it, is within the tolerance
    is_exact: jax.Array  # whether residuals, or what can be removed of them, are rounding
    is_telling: jax.Array  # whether a small change of the value means a minimum
    is_growing: jax.Array  # whether the next one is longer, since a radius grows
    is_away: jax.Array  # whether the value falls without bound
    has_failed: jax.Array  # whether the search can find nothing better


class Carry(NamedTuple):
    """Everything that goes from turn to turn."""

    point: Params  # where to evaluate next
    state: State  # that of the chain
    best: Evaluation  # the best point so far
    last: Height  # after the last step
    steps: jax.Array  # how many there were, the start not counted
    evals: jax.Array  # how many evaluations there were
    descent: Descent  # how far it has come, by the steps of a search
    idle: jax.Array  # how many steps in a row changed nothing
    status: jax.Array  # a ``Status``; the loop goes on while it is RUNNING
    history: dict[str, Tree] | None  # one row for each step


def solve(
    problem: Problem,
    settings: Settings,
    x0: Params,
    tx: GradientTransformation,
    bounds: Bounds,
    limits: Limits,
) -> Result:
    """Minimize from ``x0``; for the arguments see ``minimize``."""
    loop = Loop(problem, settings, tx, bounds, limits)
    is_running = lambda c: c.status == Status.RUNNING
    end = lax.while_loop(is_running, loop.turn, loop.start(x0))
    found = (end.best.params, end.best.value, end.best.grad_norm)
    return Result(*found, end.steps, end.evals, end.status, end.history, end.best.aux)


class Loop:
    """One turn: evaluate a point, ask for the next.

    It holds all that is the same in each turn; a ``Carry`` holds all that changes.
    """

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        tx: GradientTransformation,
        bounds: Bounds,
        limits: Limits,
    ):
        if "model_fn" in tx.extras and "model_fn" not in problem.functions:
            raise TypeError(
                f"minimize: {tx.factory.name} has to know the residuals or outputs of"
                " which fun makes a number. Use least_squares, or call its step with"
                " model_fn= in a loop of your own."
            )
        self.problem, self.settings = problem, settings
        self.bounds, self.limits = bounds, limits
        self.search = last_search(tx)
        self.handles_bounds = "bounds" in tx.extras
        if self.search is not None:
            needs_box = bounds is not None and not self.handles_bounds
            tx = reverse_communication(kept_in_box(tx) if needs_box else tx)
        self.tx = tx

    def start(self, x0: Params) -> Carry:
        """The carry before the first turn."""
        dtype, is_wrong = real_dtype_of(x0), is_infeasible(self.bounds)
        point = where_tree(is_wrong, x0, projected(x0, self.bounds))
        unknown = jnp.full((), jnp.nan, dtype)
        none = jnp.zeros((), jnp.int32)
        aux = jax.eval_shape(self.problem.value_and_aux, x0)[1]
        aux = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), aux)
        status = jnp.where(is_wrong, Status.INFEASIBLE, Status.RUNNING)
        return Carry(
            point=point,
            state=self.tx.init(x0),
            best=Evaluation(point, unknown, unknown, aux),
            last=Height(unknown, unknown),
            descent=started(Height(unknown, unknown), point),
            steps=none,
            evals=none,
            idle=none,
            status=status.astype(jnp.int32),
            history=self.pages(x0) if self.settings.history else None,
        )

    def pages(self, x0: Params) -> dict[str, Tree]:
        """Empty arrays for the history."""
        length = (self.settings.max_steps or 0) + 1
        empty = lambda shape, dtype: jnp.full((length, *shape), jnp.nan, dtype)
        pages: dict[str, Tree] = {k: empty((), real_dtype_of(x0)) for k in RECORDED}
        if self.settings.history == "params":
            pages["params"] = jax.tree.map(lambda x: empty(x.shape, x.dtype), x0)
        return pages

    def turn(self, c: Carry) -> Carry:
        """One evaluation, and all that follows from it."""
        now, grad = self.evaluate(c.point)
        evals = increment(c.evals)
        is_first = evals == 1
        is_best = is_better(Height(*now[1:3]), Height(*c.best[1:3]))
        best = where_tree(is_first | is_best, now, c.best)
        point, state, step = self.move(c, now, grad)
        steps = jnp.where(step.is_step & ~is_first, increment(c.steps), c.steps)
        scale = jnp.maximum(jnp.abs(step.value), jnp.abs(c.last.value))
        change = jnp.abs(c.last.value - step.value)
        rounding = 10 * jnp.finfo(scale.dtype).eps  # of a search at its end
        least = self.least(step.value.dtype)
        is_level = step.is_step & ~is_first & (change <= least * scale)
        is_same = ~is_first & (change <= rounding * scale)
        is_idle = is_same if self.search else step.is_still
        weight = jnp.where(step.is_growing, 1, OF_A_SEARCH) if self.search else 1
        idle = jnp.where(step.is_step, jnp.where(is_idle, c.idle + weight, 0), c.idle)

        last = where_tree(step.is_step, Height(step.value, step.slope), c.last)
        descent = continued(c.descent, c.last, last, step.params, is_first)
        new = Carry(point, state, best, last, steps, evals, descent, idle, c.status, c.history)
        status = self.judge(new, step, now, is_level)
        told = {"value": step.value, "grad_norm": step.grad_norm, "evals": evals}
        told["params"] = step.params
        if new.history is not None:
            row = jnp.where(step.is_step, steps, NO_ROW)
            new = new._replace(history=record(new.history, told, row))
        if self.settings.watched:
            # Under vmap others may still be running.
            is_told = step.is_step & (c.status == Status.RUNNING)
            told = {"step": steps, **told}
            tell = lambda: tell_host(self.limits.number, is_told, told)
            stop = lax.cond(is_told, tell, lambda: jnp.array(False))
            stops = (status == Status.RUNNING) & stop
            status = jnp.where(stops, Status.STOPPED, status)
        return new._replace(status=status.astype(jnp.int32))

    def evaluate(self, point: Params) -> tuple[Evaluation, Updates]:
        """Evaluate the function and the direction uphill."""
        value_and_grad = jax.value_and_grad(self.problem.value_and_aux, has_aux=True)
        (value, aux), grad = value_and_grad(point)
        grad = map_leaves(jnp.conj, grad)
        norm = largest_in(projected_gradient(grad, point, self.bounds))
        dtype = real_dtype_of(point)
        now = Evaluation(point, value.astype(dtype), norm.astype(dtype), aux)
        if not self.handles_bounds:
            grad = free_part(grad, point, grad, self.bounds)
        return now, grad

    def move(self, c: Carry, now: Evaluation, grad: Updates) -> tuple[Params, State, Step]:
        """The next point, the next state, and the last step."""
        extra: dict[str, Tree] = dict(self.problem.functions)
        if self.bounds is not None:
            extra["bounds"] = self.bounds
        takes_any = "*" in self.tx.extras
        extra = {k: x for k, x in extra.items() if k in self.tx.extras or takes_any}
        if takes_any:  # foreign pairs ask for it
            extra["grad"] = grad
        updates, state = self.tx.update(grad, c.state, c.point, value=now.value, **extra)
        state = cast_like(state, c.state) if isinstance(state, dict) else state
        if self.search is not None:
            point, step = self.step_of_search(self.search, c, state)
            return point, state, step
        point = projected(add_updates(c.point, updates), self.bounds)
        no = jnp.array(False)
        step = Step(
            now.params,
            now.value,
            now.grad_norm,
            now.grad_norm,
            is_step=~no,
            is_still=all_equal(point, c.point),
            is_little=no,
            is_flat=self.is_flat(now.grad_norm),
            is_exact=no,
            is_telling=c.descent.steepness > 0,
            is_growing=no,
            is_away=is_far_below(c.descent, now.params, Height(now.value, now.grad_norm)),
            has_failed=no,
        )
        return point, state, step

    def step_of_search(self, search: Search, c: Carry, state: State) -> tuple[Params, Step]:
        """The next point and the last step of a search."""
        (entry,), (before,) = state.values(), c.state.values()
        trial = cast_like({"x": entry["trial"]}, {"x": c.point})["x"]
        point = projected(trial, self.bounds)
        kept, value, grad = entry["kept"], entry["value"], entry["grad"]
        is_first = c.evals == 0
        is_step = (entry["steps"] > before["steps"]) | is_first
        grad_norm = largest_in(projected_gradient(grad, kept, self.bounds))
        height = Height(value, largest_in(off_bounds(grad, kept, self.bounds)))
        promised = jnp.abs(dot(grad, map_leaves(jnp.subtract, upcast(point), kept)))
        is_flat, is_exact = self.is_flat(grad_norm), jnp.array(False)
        noise = 10 * self.least(value.dtype) * jnp.abs(value)
        is_lost = (promised == 0) & (~is_first | (entry["over"] > 0))
        has_failed = (entry["failed"] >= search.patience) | is_step & is_lost
        least = jnp.asarray(self.least(value.dtype))
        has_come = has_flattened(c.descent, height, least)
        is_telling = (entry.get("is_whole", 1.0) > 0) & has_come
        if "reducible" in entry:  # a search that knows of residuals, whose units do not matter
            size, reducible = safe_sqrt(2 * value), entry["reducible"]
            is_flat = self.is_flat(reducible, size)
            is_telling = 0.5 * reducible**2 <= 2 * noise  # of two values that are compared
            is_small = size <= 4 * jnp.finfo(size.dtype).eps * entry["noise"]
            finest = rounding_of(c.point) * entry["noise"]  # no step of theirs removes less
            is_exact = is_step & is_small | has_failed & (is_telling | (reducible <= finest))
        step = Step(
            kept,
            value,
            grad_norm,
            height.grad_norm,
            is_step=is_step,
            is_still=jnp.array(False),
            is_little=promised <= noise,
            is_flat=is_flat,
            is_exact=is_exact,
            is_telling=is_telling,
            is_growing=is_growing(entry, before),
            is_away=is_step & is_endless(c.descent, before["base"], c.last, kept, height),
            has_failed=has_failed,
        )
        return point, step

    def is_flat(self, steepness: jax.Array, size: Numeric = 1.0) -> jax.Array:
        """Whether a gradient is within the tolerance."""
        return steepness <= jnp.asarray(self.limits.tol.grad, steepness.dtype) * size

    def least(self, dtype: jnp.dtype) -> jax.Array | np.floating:
        """The relative change of the value that counts as none."""
        value = self.limits.tol.value
        return 2 * jnp.finfo(dtype).eps if value is None else jnp.asarray(value, dtype)

    def judge(self, new: Carry, step: Step, now: Evaluation, is_level: jax.Array) -> jax.Array:
        """Whether to go on, and if not, for which reason."""
        value, limits = step.value, self.limits
        is_fine = jnp.isfinite(value) & jnp.isfinite(step.grad_norm)
        is_low = now.value < -0.01 * jnp.finfo(value.dtype).max
        is_final = step.is_little if limits.tol.value is None else ~step.is_still
        is_final &= step.is_telling
        is_exact = step.is_exact & (limits.tol.value is None)
        ends = {
            Status.UNBOUNDED: is_low | step.is_away,
            Status.NON_FINITE: step.is_step & ~is_fine,
            Status.CONVERGED_GRADIENT: step.is_step & step.is_flat,
            Status.CONVERGED_VALUE: is_level & is_final | is_exact,
            Status.STALLED: (new.idle >= IDLE_STEPS) | step.has_failed & step.is_little,
            Status.LINE_SEARCH_FAILED: step.has_failed,
            Status.OUT_OF_STEPS: step.is_step & (new.steps >= limits.max_steps),
            Status.OUT_OF_EVALS: new.evals >= limits.max_evals,
        }
        codes = [jnp.int32(s) for s in ends]
        return jnp.select(list(ends.values()), codes, jnp.int32(Status.RUNNING))
