"""The loop of ``minimize`` and ``least_squares``: evaluate, judge, move."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.checks import check_one_of
from gradchain.core import GradientTransformation
from gradchain.curvature.bounds import is_infeasible, masked_gradient, projected, projected_gradient
from gradchain.curvature.callbacks import tell_host
from gradchain.curvature.result import Result, Status
from gradchain.curvature.search import choose, last_search, like, reverse_communication
from gradchain.numerics import compute_dtype, increment, largest, real_dtype
from gradchain.trees import add_updates, map_leaves

RECORDED = ("value", "grad_norm", "evals")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tolerance:
    """When a minimization has converged.

    Attributes:
        grad: by gradient: the largest magnitude in it is at most this.
        value: by value: a step changes the value by at most this times its magnitude; ``None`` for twice the rounding
            of its dtype.
    """

    grad: Any = 1e-6
    value: Any = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """What of a minimization is compiled in.

    Attributes:
        max_steps: after how many steps to stop.
        history: see ``minimize``.
        has_aux: see there.
        implicit_diff: see there.
        watched: whether there is a callback.
    """

    max_steps: int
    history: bool | str = False
    has_aux: bool = False
    implicit_diff: bool = False
    watched: bool = False

    def __post_init__(self):
        if not isinstance(self.history, bool):
            check_one_of("minimize", ["params"], history=self.history)


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
    tol: Tolerance,
    max_evals: Any,
    number: Any,
) -> Result:
    """Minimize from ``x0``; for the arguments see ``minimize``."""
    loop = Loop(problem, settings, tx, bounds, tol, max_evals, number)
    start = loop.start(projected(x0, bounds))
    end = lax.while_loop(lambda c: c["status"] == Status.RUNNING, loop.turn, start)
    best = end["best"]
    history = end["history"] if settings.history else None
    return Result(
        best["params"],
        best["value"],
        best["grad_norm"],
        end["steps"],
        end["evals"],
        end["status"],
        history,
        best["aux"],
    )


class Loop:
    """One turn: evaluate at the present point, and let the chain say where to go next."""

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        tx: GradientTransformation,
        bounds: Any,
        tol: Tolerance,
        max_evals: Any,
        number: Any,
    ):
        self.problem, self.settings, self.bounds, self.tol = problem, settings, bounds, tol
        self.max_evals, self.number = max_evals, number
        self.search = last_search(tx)
        self.tx = tx if self.search is None else reverse_communication(tx)
        self.handles_bounds = "bounds" in tx.extras

    def start(self, x0: Any) -> dict:
        """What is carried from turn to turn, before the first."""
        dtype = real_dtype(compute_dtype(*(x.dtype for x in jax.tree.leaves(x0))))
        zero, none = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
        aux = jax.eval_shape(self.problem.value_and_aux, x0)[1]
        aux = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), aux)
        best = {"params": x0, "value": zero + jnp.inf, "grad_norm": zero + jnp.inf, "aux": aux}
        status = jnp.where(is_infeasible(self.bounds), Status.INFEASIBLE, Status.RUNNING).astype(jnp.int32)
        counts = {"steps": none, "evals": none, "status": status}
        return {"point": x0, "state": self.tx.init(x0), "best": best, "last": zero + jnp.inf} | counts | self.pages(x0)

    def pages(self, x0: Any) -> dict:
        """Empty arrays for the history."""
        if not self.settings.history:
            return {}
        dtype = real_dtype(compute_dtype(*(x.dtype for x in jax.tree.leaves(x0))))
        length = self.settings.max_steps + 1
        empty = lambda x: jnp.full((length, *x.shape), jnp.nan, x.dtype)
        pages: dict[str, Any] = {k: jnp.full(length, jnp.nan, dtype) for k in RECORDED}
        return {"history": pages | ({"params": jax.tree.map(empty, x0)} if self.settings.history == "params" else {})}

    def turn(self, c: dict) -> dict:
        """One evaluation, and what follows from it."""
        now, grad = self.evaluate(c["point"])
        evals = increment(c["evals"])
        best = choose(_is_better(now, c["best"]), now, c["best"])
        following, state, at = self.move(c, now, grad)
        steps = c["steps"] + (at["is_step"] & (evals > 1)).astype(jnp.int32)
        at |= {"steps": steps, "evals": evals, "is_first": evals == 1}
        new = {"point": following, "state": state, "best": best, "steps": steps, "evals": evals}
        new["last"] = jnp.where(at["is_step"], at["value"], c["last"])
        status = self.judge(at, now, c)
        if self.settings.history:
            new["history"] = self.record(c["history"], at)
        if self.settings.watched:
            told = {"step": steps, **{k: at[k] for k in (*RECORDED, "params")}}
            stop = lax.cond(at["is_step"], lambda: tell_host(self.number, told), lambda: jnp.array(False))
            status = jnp.where((status == Status.RUNNING) & stop, Status.STOPPED, status)
        return new | {"status": status.astype(jnp.int32)}

    def evaluate(self, point: Any) -> tuple[dict, Any]:
        """What is known of a point, and the direction uphill there."""
        (value, aux), grad = jax.value_and_grad(self.problem.value_and_aux, has_aux=True)(point)
        grad = map_leaves(jnp.conj, grad)
        norm = largest_in(projected_gradient(grad, point, self.bounds))
        dtype = real_dtype(compute_dtype(*(x.dtype for x in jax.tree.leaves(point))))
        now = {"params": point, "value": value.astype(dtype), "grad_norm": norm.astype(dtype), "aux": aux}
        return now, grad if self.handles_bounds else masked_gradient(grad, point, self.bounds)

    def move(self, c: dict, now: dict, grad: Any) -> tuple[Any, Any, dict]:
        """The next point, the next state, and what is known of the last step: where it led, and whether it is one."""
        extra = self.problem.functions | ({"bounds": self.bounds} if self.handles_bounds else {})
        extra = {k: x for k, x in extra.items() if k in self.tx.extras or "*" in self.tx.extras}
        updates, state = self.tx.update(grad, c["state"], c["point"], value=now["value"], **extra)
        state = like(state, c["state"]) if isinstance(state, dict) else state
        if self.search is None:
            following = projected(add_updates(c["point"], updates), self.bounds)
            is_stuck = all_equal(following, c["point"])
            at = {k: now[k] for k in ("value", "grad_norm", "params")} | {"is_step": jnp.array(True)}
            return following, state, at | {"is_stuck": is_stuck, "status": Status.STALLED}
        (entry,) = state.values()
        following = projected(like({"x": entry["trial"]}, {"x": c["point"]})["x"], self.bounds)
        (before,) = c["state"].values()
        is_step = (entry["steps"] > before["steps"]) | (c["evals"] == 0)
        norm = largest_in(projected_gradient(entry["grad"], entry["kept"], self.bounds))
        at = {"value": entry["value"], "grad_norm": norm, "params": entry["kept"], "is_step": is_step}
        status = Status.LINE_SEARCH_FAILED
        return following, state, at | {"is_stuck": entry["failed"] >= self.search.patience, "status": status}

    def judge(self, at: dict, now: dict, c: dict) -> jax.Array:
        """Whether to go on."""
        value, dtype = at["value"], at["value"].dtype
        least = 2 * jnp.finfo(dtype).eps if self.tol.value is None else self.tol.value
        scale = jnp.maximum(jnp.abs(value), jnp.abs(c["last"]))
        is_flat = at["is_step"] & ~at["is_first"] & (jnp.abs(c["last"] - value) <= least * scale)
        is_fine = jnp.isfinite(value) & jnp.isfinite(at["grad_norm"])
        is_low = now["value"] < -jnp.sqrt(jnp.finfo(dtype).max)
        max_evals = jnp.inf if self.max_evals is None else self.max_evals
        ends = [
            (is_low, Status.UNBOUNDED),
            (at["is_step"] & ~is_fine, Status.NON_FINITE),
            (
                at["is_step"] & (at["grad_norm"] <= self.tol.grad),
                Status.CONVERGED_GRADIENT,
            ),
            (is_flat, Status.CONVERGED_VALUE),
            (at["is_stuck"], at["status"]),
            (at["is_step"] & (at["steps"] >= self.settings.max_steps), Status.OUT_OF_STEPS),
            (at["evals"] >= max_evals, Status.OUT_OF_EVALS),
        ]
        return jnp.select([flag for flag, _ in ends], [jnp.int32(s) for _, s in ends], jnp.int32(Status.RUNNING))

    def record(self, pages: dict, at: dict) -> dict:
        """The history with one more step."""
        put = lambda page, x: jnp.where(at["is_step"], page.at[at["steps"]].set(x.astype(page.dtype)), page)
        return {k: jax.tree.map(put, page, at[k]) for k, page in pages.items()}


def _is_better(now: dict, best: dict) -> jax.Array:
    """Whether the value is lower, or as good as the best and the gradient smaller."""
    noise = 4 * jnp.finfo(now["value"].dtype).eps * jnp.abs(best["value"])
    is_level = (now["value"] <= best["value"] + jnp.where(jnp.isfinite(noise), noise, 0.0)) & (
        now["grad_norm"] < best["grad_norm"]
    )
    return jnp.isfinite(now["value"]) & ((now["value"] < best["value"]) & jnp.isfinite(now["grad_norm"]) | is_level)


def largest_in(tree: Any) -> jax.Array:
    """The largest magnitude in a tree; not a number if there is one."""
    tops = [largest(x) for x in jax.tree.leaves(tree)]
    return jnp.max(jnp.stack([x.astype(jnp.result_type(*tops)) for x in tops])) if tops else jnp.zeros(())


def all_equal(a: Any, b: Any) -> jax.Array:
    """Whether two trees hold the same numbers."""
    same = [jnp.all(x == y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return jnp.all(jnp.stack(same)) if same else jnp.array(True)
