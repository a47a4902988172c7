"""Rows of the pages on migration, and the small problem on which both sides of a row run.

A row is a line of a table: the call of the other library, ours, and what differs. Its test compares
their trajectories. Both are code; what a row shows is what is run.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc

STEPS = 40
KEPT = (1, 2, 5, 10, 20, 40)  # the steps whose numbers are compared
HERE = Path(__file__).parent
NAMES = {"gc": gc, "jax": jax, "jnp": jnp}


@dataclass(frozen=True)
class Row:
    """A line of a table, which is a test.

    Attributes:
        table: the heading under which it stands.
        theirs: the call of the other library.
        ours: the call of this one; empty where there is none.
        differs: what differs, in words; empty where nothing does.
        run: makes their numbers; by default their call makes an optimizer, which trains.
        follow: makes ours from the value of our call and the record; by default it trains.
        tolerance: relative to the largest number.
        lacks: names that this library must not have, where a row says that it lacks something.
    """

    table: str
    theirs: str
    ours: str
    differs: str = ""
    run: Callable[["Row"], dict[str, Any]] | None = None
    follow: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None
    tolerance: float = 1e-9
    lacks: tuple[str, ...] = ()


def data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets, in float64."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 3)), rng.standard_normal((16, 2))


def start() -> dict[str, np.ndarray]:
    """The parameters at the start."""
    rng = np.random.default_rng(1)
    return {"bias": rng.standard_normal(2), "kernel": rng.standard_normal((3, 2))}


def loss(params: dict[str, jax.Array]) -> jax.Array:
    """The mean square of a layer's errors."""
    x, y = data()
    return jnp.mean((jnp.tanh(jnp.asarray(x) @ params["kernel"]) + params["bias"] - y) ** 2)


def our_start() -> dict[str, jax.Array]:
    return {name: jnp.asarray(x) for name, x in start().items()}


def flat(params: dict[str, Any]) -> np.ndarray:
    return np.concatenate([np.asarray(params[name]).ravel() for name in ("bias", "kernel")])


def train(tx: Any, record: dict[str, Any] | None = None, **slots: Any) -> dict[str, Any]:
    """Our parameters after each recorded step, in one compiled loop."""
    _, path = run_ours(tx, lambda params, state: params, **slots)
    return {"params": kept(path)}


def run_ours(tx: Any, look: Callable, steps: int = STEPS, value: Any = None, scale: Any = None):
    """Train, and look at parameters and state after each step.

    ``value`` are numbers that go in as ``value=``, ``scale`` are factors of the gradients.
    """
    factors = jnp.ones(steps) if scale is None else jnp.asarray(scale)

    def body(carry, x):
        params, state = carry
        grads = jax.tree.map(lambda g: x["factor"] * g, jax.grad(loss)(params))
        extra = {} if value is None else {"value": x["value"]}
        params, state = tx.step(grads, state, params, **extra)
        return (params, state), look(params, state)

    inputs = {"factor": factors} | ({} if value is None else {"value": jnp.asarray(value)})
    first = our_start()
    loop = jax.jit(lambda p, s: jax.lax.scan(body, (p, s), inputs))
    (params, _), path = loop(first, tx.init(first))
    return params, path


def kept(path: dict[str, jax.Array]) -> list[list[float]]:
    """The numbers of the recorded steps."""
    return [flat({k: x[t - 1] for k, x in path.items()}).tolist() for t in KEPT if t <= STEPS]


def rates(schedule: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Our schedule at the recorded steps."""
    steps = jnp.arange(len(record["rates"]))
    return {"rates": np.asarray(jax.jit(jax.vmap(schedule))(steps)).tolist()}


def value_of(row: Row) -> Any:
    """What our call makes."""
    return eval(row.ours, dict(NAMES))


def recorded(library: str) -> dict[str, Any]:
    return json.loads((HERE / f"{library}.json").read_text())


def error(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """The largest difference, relative to the largest number."""
    worst = 0.0
    for name, x in ours.items():
        x, y = np.asarray(x, float), np.asarray(theirs[name], float)
        assert x.shape == y.shape, f"{name}: {x.shape} and {y.shape}"
        worst = max(worst, float(np.max(np.abs(x - y)) / max(np.max(np.abs(y)), 1e-300)))
    return worst
