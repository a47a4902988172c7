"""How near the numbers of optax and of its dialect are to float64.

An optimizer runs for 100 steps, on parameters and gradients that every dtype can hold; the error is
that of the last updates, relative to their norm, against optax in float64. ``--write`` puts all of
it into ``docs/data/dialect.json``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gradchain.as_optax as dialect

FILE = Path(__file__).parents[1] / "docs" / "data" / "dialect.json"
STEPS = 100
CALLS = (
    "sgd(0.1, momentum=0.9)",
    "adam(1e-3)",
    "adamw(1e-3)",
    "nadam(1e-3)",
    "radam(1e-3)",
    "adabelief(1e-3)",
    "yogi(1e-3)",
    "lamb(1e-3)",
    "rmsprop(1e-3)",
    "adadelta(1.0)",
    "adafactor(1e-3)",
    "lion(1e-3)",
)


def rounded(x: np.ndarray) -> np.ndarray:
    """Numbers that bfloat16 can hold."""
    return np.asarray(jnp.asarray(x, jnp.bfloat16), np.float64)


def last_updates(call: str, library: ModuleType, dtype: str, steps: int = STEPS) -> np.ndarray:
    """The updates of the last step, in one row."""
    draw = np.random.default_rng(0)
    params = rounded(draw.normal(size=(8, 4)))
    grads = rounded(0.1 * draw.normal(size=(steps, 8, 4)))
    with jax.enable_x64(dtype == "float64"):
        tx = eval(f"optax.{call}", {"optax": library})
        start = jnp.asarray(params, dtype)

        def step(state: Any, grad: jax.Array) -> tuple[Any, jax.Array]:
            updates, state = tx.update(grad, state, start)
            return state, updates

        _, updates = jax.lax.scan(step, tx.init(start), jnp.asarray(grads, dtype))
        return np.asarray(updates[-1], np.float64).ravel()


def errors(call: str, steps: int = STEPS) -> dict[str, list[float]]:
    """Of optax and of the dialect, by dtype."""
    exact = last_updates(call, optax, "float64", steps)
    found: dict[str, list[float]] = {}
    for dtype in ("float64", "float32", "bfloat16"):
        rows = [last_updates(call, library, dtype, steps) for library in (optax, dialect)]
        sizes = [np.linalg.norm(row - exact) / np.linalg.norm(exact) for row in rows]
        found[dtype] = [float(f"{size:.3g}") for size in sizes]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    options = parser.parse_args()
    record = {
        "origin": "python -m benchmarks.compare_dialect --write",
        "date": datetime.date.today().isoformat(),
        "optax": optax.__version__,
        "steps": STEPS,
        "errors": {call: errors(call) for call in CALLS},
    }
    text = json.dumps(record, indent=1) + "\n"
    FILE.write_text(text) if options.write else sys.stdout.write(text)


if __name__ == "__main__":
    main()
