"""What a step of L-BFGS costs when there are many parameters: ``python -m benchmarks.time_large``.

Each method takes the same number of steps on a bowl with ripples, of condition 1e4, in float32,
remembering ten pairs. Contestants take turns; what is printed is the median of the turns, compiled
before, for one step and one evaluation.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize

import gradchain as gc
from benchmarks.frame import Contestant, interleave, per_call

STEPS = 30


def ripples(x: jax.Array, scales: jax.Array) -> jax.Array:
    """The loss."""
    return 0.5 * jnp.sum(scales * x**2) + jnp.sum(jnp.cos(x))


def with_gradchain(form: str, scales: jax.Array) -> tuple[float, int]:
    """The value at the end, and the number of evaluations."""
    start = jnp.ones_like(scales)
    result = gc.minimize(
        ripples, start, gc.lbfgs(form=form), args=(scales,), tol=0.0, max_steps=STEPS
    )
    return float(result.value), int(result.evals)


@jax.jit
def _optax_loop(scales: jax.Array) -> tuple[jax.Array, jax.Array]:
    tx, fun = optax.lbfgs(), lambda x: ripples(x, scales)
    value_and_grad = optax.value_and_grad_from_state(fun)

    def turn(carry: Any, _: None) -> tuple[Any, jax.Array]:
        x, state = carry
        value, grad = value_and_grad(x, state=state)
        updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=fun)
        return (optax.apply_updates(x, updates), state), state[-1].info.num_linesearch_steps

    start: Any = jnp.ones_like(scales)
    (_, state), searches = jax.lax.scan(turn, (start, tx.init(start)), None, length=STEPS)
    return state[-1].value, jnp.sum(searches) + 1


def with_optax(scales: jax.Array) -> tuple[float, int]:
    """The same; its states count the trials of each search."""
    value, evals = _optax_loop(scales)
    return float(value), int(evals)


_value_and_grad = jax.jit(jax.value_and_grad(ripples))


def with_scipy(scales: jax.Array) -> tuple[float, int]:
    """The same, with a jitted gradient; SciPy computes in float64."""

    def fun(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, grad = _value_and_grad(jnp.asarray(x, jnp.float32), scales)
        return float(value), np.asarray(grad, np.float64)

    options = {"maxiter": STEPS, "maxcor": 10, "ftol": 0.0, "gtol": 0.0}
    result = scipy.optimize.minimize(
        fun, np.ones(len(scales)), jac=True, method="L-BFGS-B", options=options
    )
    return float(result.fun), int(result.nfev)


METHODS: dict[str, Callable[[jax.Array], tuple[float, int]]] = {
    "gradchain, two loops": functools.partial(with_gradchain, "two_loop"),
    "gradchain, compact": functools.partial(with_gradchain, "compact"),
    "optax.lbfgs": with_optax,
    "SciPy L-BFGS-B": with_scipy,
}


def measure(size: int, turns: int) -> list[str]:
    """A line for each method."""
    scales = jnp.geomspace(1.0, 1e4, size)
    ends = {name: method(scales) for name, method in METHODS.items()}
    calls = {name: functools.partial(method, scales) for name, method in METHODS.items()}
    samples = interleave(
        [Contestant(name, per_call(call, 0.0), name) for name, call in calls.items()], turns
    )
    lines = [
        f"{size:,} parameters, {STEPS} steps",
        "| method | ms a step | ms an evaluation | evaluations | value |",
    ]
    lines += ["|---|---|---|---|---|"]
    for name, (value, evals) in ends.items():
        ms = statistics.median(samples[name]["step"])
        lines += [f"| {name} | {ms / STEPS:.2f} | {ms / evals:.2f} | {evals} | {value:.6g} |"]
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size",
        type=float,
        action="append",
        help="parameters; may be repeated (default 1e4 and 1e6)",
    )
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args(arguments)
    for size in options.size or [1e4, 1e6]:
        print("\n".join(measure(int(size), options.turns)), end="\n\n")


if __name__ == "__main__":
    main()
