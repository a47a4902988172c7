"""The loop of ``minimize`` and ``least_squares``: evaluate, judge, move."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.apply import add_updates
from gradchain.core.transformation import GradientTransformation
from gradchain.minimization.callbacks import tell_host
from gradchain.minimization.result import Result, Status
from gradchain.numerics.arithmetic import increment
from gradchain.searches.bounds import (
    free_part,
    is_infeasible,
    kept_in_box,
    projected,
    projected_gradient,
)
from gradchain.searches.reverse_communication import reverse_communication
from gradchain.searches.search import cast_like, last_search, where_tree
from gradchain.tree.mapping import map_leaves, real_dtype_of, upcast
from gradchain.tree.reductions import dot, largest_in

RECORDED = ("value", "grad_norm", "evals")

IDLE_STEPS = 5  # in a row that change the value by no more than rounding, until it has stalled

STILL_STEPS = (
    100  # in a row that change nothing, for chains without a search: some do not move at each call
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tolerance:
    """When a minimization has converged.

    Attributes:
        grad: by gradient: the largest magnitude in it is at most this.
        value: by value: a step changes the value by at most this times its magnitude. ``None``: by
            twice the rounding of its dtype, where the next step promises no more than rounding
            either; only after steps of a search, since others may be small because their rate is.
    """

    grad: Any = 1e-6
    value: Any = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """What of a minimization is compiled in.

    Attributes:
        max_steps: after how many steps to stop; compiled in only where it is the length of a
            history.
        history: see ``minimize``.
        has_aux: see there.
        implicit_diff: see there.
        watched: whether there is a callback.
    """

    max_steps: int | None
    history: bool | str = False
    has_aux: bool = False
    implicit_diff: bool = False
    watched: bool = False


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Limits:
    """What ends a minimization, and who is told.

    Attributes:
        tol: a ``Tolerance``.
        max_steps: after how many steps to stop.
        max_evals: after how many evaluations.
        number: that of the callback.
    """

    tol: Tolerance
    max_steps: Any
    max_evals: Any
    number: Any


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is minimized.

    Attributes:
        value_and_aux: from the parameters to the value and what comes beside it.
        functions: the extra arguments of ``update`` that are functions of the parameters.
    """

    value_and_aux: Callable
    functions: dict[str, Callable]


def solve(
    problem: Problem,
    settings: Settings,
    x0: Any,
    tx: GradientTransformation,
    bounds: Any,
    limits: Limits,
) -> Result:
    """Minimize from ``x0``; for the arguments see ``minimize``."""
    loop = Loop(problem, settings, tx, bounds, limits)
    end = lax.while_loop(lambda c: c["status"] == Status.RUNNING, loop.turn, loop.start(x0))
    best, history = end["best"], end["history"] if settings.history else None
    counts = (end["steps"], end["evals"], end["status"])
    return Result(best["params"], best["value"], best["grad_norm"], *counts, history, best["aux"])


class Loop:
    """One turn: evaluate at the present point, and let the chain say where to go next."""

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        tx: GradientTransformation,
        bounds: Any,
        limits: Limits,
    ):
        if "model_fn" in tx.extras and "model_fn" not in problem.functions:
            raise TypeError(
                f"minimize: {tx.factory.name} has to know the residuals or outputs of which fun makes a number. Use"
                " least_squares, or call its step with model_fn= in a loop of your own."
            )
        self.problem, self.settings, self.bounds, self.limits = problem, settings, bounds, limits
        self.search = last_search(tx)
        self.handles_bounds = "bounds" in tx.extras
        if self.search is not None:
            tx = reverse_communication(
                tx if bounds is None or self.handles_bounds else kept_in_box(tx)
            )
        self.tx = tx

    def start(self, x0: Any) -> dict:
        """What is carried from turn to turn, before the first."""
        dtype, is_wrong = real_dtype_of(x0), is_infeasible(self.bounds)
        point = where_tree(is_wrong, x0, projected(x0, self.bounds))
        unknown, none = jnp.full((), jnp.nan, dtype), jnp.zeros((), jnp.int32)
        aux = jax.eval_shape(self.problem.value_and_aux, x0)[1]
        aux = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), aux)
        best = {"params": point, "value": unknown, "grad_norm": unknown, "aux": aux}
        last = {"value": unknown, "grad_norm": unknown}
        status = jnp.where(is_wrong, Status.INFEASIBLE, Status.RUNNING).astype(jnp.int32)
        counts = {"steps": none, "evals": none, "idle": none, "status": status}
        return (
            {"point": point, "state": self.tx.init(x0), "best": best, "last": last}
            | counts
            | self.pages(x0)
        )

    def pages(self, x0: Any) -> dict:
        """Empty arrays for the history."""
        if not self.settings.history:
            return {}
        length = (self.settings.max_steps or 0) + 1
        empty = lambda shape, dtype: jnp.full((length, *shape), jnp.nan, dtype)
        pages: dict[str, Any] = {k: empty((), real_dtype_of(x0)) for k in RECORDED}
        if self.settings.history == "params":
            pages["params"] = jax.tree.map(lambda x: empty(x.shape, x.dtype), x0)
        return {"history": pages}

    def turn(self, c: dict) -> dict:
        """One evaluation, and what follows from it."""
        now, grad = self.evaluate(c["point"])
        evals = increment(c["evals"])
        is_first = evals == 1
        best = where_tree(is_first | _is_better(now, c["best"]), now, c["best"])
        following, state, at = self.move(c, now, grad)
        steps = c["steps"] + (at["is_step"] & ~is_first).astype(jnp.int32)
        at |= {"steps": steps, "evals": evals}
        last = c["last"]["value"]
        scale = jnp.maximum(jnp.abs(at["value"]), jnp.abs(last))
        change, rounding = (
            jnp.abs(last - at["value"]),
            10 * jnp.finfo(scale.dtype).eps,
        )  # of a search at its end
        at["is_level"] = at["is_step"] & ~is_first & (change <= self.least(at) * scale)
        is_idle = ~is_first & (change <= rounding * scale) if self.search else at["is_still"]
        idle = jnp.where(at["is_step"], jnp.where(is_idle, c["idle"] + 1, 0), c["idle"])
        status = self.judge(at | {"idle": idle}, now)
        new = {
            "point": following,
            "state": state,
            "best": best,
            "steps": steps,
            "evals": evals,
            "idle": idle,
        }
        new["last"] = where_tree(at["is_step"], {k: at[k] for k in c["last"]}, c["last"])
        if self.settings.history:
            new["history"] = self.record(c["history"], at)
        if self.settings.watched:
            told = {"step": steps, **{k: at[k] for k in (*RECORDED, "params")}}
            is_told = at["is_step"] & (
                c["status"] == Status.RUNNING
            )  # under vmap others may still be running
            tell = lambda: tell_host(self.limits.number, is_told, told)
            stop = lax.cond(is_told, tell, lambda: jnp.array(False))
            status = jnp.where((status == Status.RUNNING) & stop, Status.STOPPED, status)
        return new | {"status": status.astype(jnp.int32)}

    def evaluate(self, point: Any) -> tuple[dict, Any]:
        """What is known of a point, and the direction uphill there."""
        (value, aux), grad = jax.value_and_grad(self.problem.value_and_aux, has_aux=True)(point)
        grad = map_leaves(jnp.conj, grad)
        norm = largest_in(projected_gradient(grad, point, self.bounds))
        dtype = real_dtype_of(point)
        now = {
            "params": point,
            "value": value.astype(dtype),
            "grad_norm": norm.astype(dtype),
            "aux": aux,
        }
        return now, grad if self.handles_bounds else free_part(grad, point, grad, self.bounds)

    def move(self, c: dict, now: dict, grad: Any) -> tuple[Any, Any, dict]:
        """The next point, the next state, and what is known of the last step.

        Of the step: where it led, whether it is one, whether the next one promises ``little``, no
        more than rounding, whether it went ``away``, so far and so steeply that there is no end to
        it, and whether the search has failed.
        """
        extra = self.problem.functions | (
            {"bounds": self.bounds} if self.bounds is not None else {}
        )
        extra = {k: x for k, x in extra.items() if k in self.tx.extras or "*" in self.tx.extras}
        extra |= {"grad": grad} if "*" in self.tx.extras else {}  # foreign pairs ask for it
        updates, state = self.tx.update(grad, c["state"], c["point"], value=now["value"], **extra)
        state = cast_like(state, c["state"]) if isinstance(state, dict) else state
        no = jnp.array(False)
        if self.search is None:
            following = projected(add_updates(c["point"], updates), self.bounds)
            at = {k: now[k] for k in ("value", "grad_norm", "params")}
            at |= {"is_still": all_equal(following, c["point"])}
            return (
                following,
                state,
                at | {"is_step": ~no, "is_little": no, "is_away": no, "has_failed": no},
            )
        (entry,), (before,) = state.values(), c["state"].values()
        following = projected(cast_like({"x": entry["trial"]}, {"x": c["point"]})["x"], self.bounds)
        is_step = (entry["steps"] > before["steps"]) | (c["evals"] == 0)
        norm = largest_in(projected_gradient(entry["grad"], entry["kept"], self.bounds))
        at = {
            "value": entry["value"],
            "grad_norm": norm,
            "params": entry["kept"],
            "is_step": is_step,
        }
        promised = jnp.abs(
            dot(entry["grad"], map_leaves(jnp.subtract, upcast(following), entry["kept"]))
        )
        at["is_little"] = promised <= 10 * self.least(at) * jnp.abs(entry["value"])
        at["is_away"] = is_step & is_endless(before["base"], c["last"], at)
        at["has_failed"] = (entry["failed"] >= self.search.patience) | is_step & (promised == 0)
        return following, state, at

    def least(self, at: dict) -> Any:
        """The relative change of the value that counts as none."""
        value = self.limits.tol.value
        return (
            2 * jnp.finfo(at["value"].dtype).eps
            if value is None
            else jnp.asarray(value, at["value"].dtype)
        )

    def judge(self, at: dict, now: dict) -> jax.Array:
        """Whether to go on."""
        value, limits = at["value"], self.limits
        is_fine = jnp.isfinite(value) & jnp.isfinite(at["grad_norm"])
        is_low = now["value"] < -0.01 * jnp.finfo(value.dtype).max
        is_final = (
            at["is_little"] if limits.tol.value is None else ~at.get("is_still", jnp.array(False))
        )
        patience = STILL_STEPS if self.search is None else IDLE_STEPS
        ends = {
            Status.UNBOUNDED: is_low | at["is_away"],
            Status.NON_FINITE: at["is_step"] & ~is_fine,
            Status.CONVERGED_GRADIENT: at["is_step"]
            & (at["grad_norm"] <= jnp.asarray(limits.tol.grad, value.dtype)),
            Status.CONVERGED_VALUE: at["is_level"] & is_final,
            Status.STALLED: (at["idle"] >= patience) | at["has_failed"] & at["is_little"],
            Status.LINE_SEARCH_FAILED: at["has_failed"],
            Status.OUT_OF_STEPS: at["is_step"] & (at["steps"] >= limits.max_steps),
            Status.OUT_OF_EVALS: at["evals"] >= limits.max_evals,
        }
        return jnp.select(
            list(ends.values()), [jnp.int32(s) for s in ends], jnp.int32(Status.RUNNING)
        )

    def record(self, pages: dict, at: dict) -> dict:
        """The history with one more step."""
        beyond = len(pages["value"])  # where nothing is written
        place = jnp.where(at["is_step"], at["steps"], beyond)
        put = lambda page, x: page.at[place].set(x.astype(page.dtype), mode="drop")
        return {k: jax.tree.map(put, page, at[k]) for k, page in pages.items()}


def _is_better(now: dict, best: dict) -> jax.Array:
    """Whether the value is lower, or as good as the best and the gradient smaller."""
    noise = 4 * jnp.finfo(now["value"].dtype).eps * jnp.abs(best["value"])
    is_level = (now["value"] <= best["value"] + jnp.where(jnp.isfinite(noise), noise, 0.0)) & (
        now["grad_norm"] < best["grad_norm"]
    )
    return jnp.isfinite(now["value"]) & (
        (now["value"] < best["value"]) & jnp.isfinite(now["grad_norm"]) | is_level
    )


def all_equal(a: Any, b: Any) -> jax.Array:
    """Whether two trees hold the same numbers."""
    same = [jnp.all(x == y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return jnp.all(jnp.stack(same)) if same else jnp.array(True)


def is_endless(base: Any, last: dict, at: dict) -> jax.Array:
    """Whether a step went a hundred million times as far as parameters and value are large, to
    where it is as steep.

    Args:
        base: where it began.
        last: value and norm of the gradient there.
        at: where it ended.
    """
    is_far = largest_in(map_leaves(jnp.subtract, at["params"], base)) > 1e8 * jnp.maximum(
        1.0, largest_in(base)
    )
    is_deep = at["value"] < -1e8 * jnp.maximum(1.0, jnp.abs(last["value"]))
    return is_far & (at["grad_norm"] > 0.99 * last["grad_norm"]) & is_deep
