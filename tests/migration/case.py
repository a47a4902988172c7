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
RATES = 60  # the steps of a schedule that are compared
FACTORS = [1.0 + (t % 7) for t in range(STEPS)]  # of gradients that are to be clipped
VALUES = [round(3.0 / (1 + min(t, 9) + min(max(t - 25, 0), 5)), 3) for t in range(STEPS)]
EPOCH = 4  # the steps of an epoch, at whose end a held-out loss is measured
HELD_OUT = VALUES[::EPOCH]
LAST_VALUES = [1e9, *VALUES[:-1]]  # what is known before each step
LAST_HELD_OUT = [x for x in [1e9, *HELD_OUT[:-1]] for _ in range(EPOCH)]
OVERFLOWS = {6, 7, 21}  # the steps whose gradients are infinite
SICK = [0.5] * 6 + [float("nan")]  # the losses of a run that turns bad
SHALLOW = 0.2  # a factor of the loss, with which the first gradient is short
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
        given: the names in our call that stand for what a user has; then it makes a function of
            them, ``"tx, params"``.
    """

    table: str
    theirs: str
    ours: str
    differs: str = ""
    run: Callable[["Row"], dict[str, Any]] | None = None
    follow: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None
    tolerance: float = 1e-9
    lacks: tuple[str, ...] = ()
    given: str = ""


def data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets, in float64."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 3)), rng.standard_normal((16, 2))


def start() -> dict[str, np.ndarray]:
    """The parameters at the start."""
    rng = np.random.default_rng(1)
    return {"bias": rng.standard_normal(2), "kernel": rng.standard_normal((3, 2))}


def flat(params: dict[str, Any]) -> np.ndarray:
    return np.concatenate([np.asarray(params[name]).ravel() for name in ("bias", "kernel")])


def walk(step: Callable[[int], None], look: Callable[[], list[float]]) -> list[list[float]]:
    """Make all steps of a loop, and look at the numbers of the recorded ones."""
    found = []
    for t in range(1, STEPS + 1):
        step(t)
        if t in KEPT:
            found.append(look())
    return found


def value_of(row: Row) -> Any:
    """What our call makes."""
    return eval(f"lambda {row.given}: {row.ours}" if row.given else row.ours, dict(NAMES))


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
