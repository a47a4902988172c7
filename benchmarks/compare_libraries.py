"""``python -m benchmarks.compare_libraries``: one network, trained in each library.

The data, the weights at the start and the order of the batches are the same. It prints how far the
losses and the weights are apart after each run, how long a step takes, and how much state there is.
What is not installed is left out; ``--write`` puts the curves into ``docs/data/same_curves.json``.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import inspect
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

FILE = Path(__file__).parents[1] / "docs" / "data" / "same_curves.json"
STEPS, BATCH, HIDDEN = 200, 64, 32
BLOCK = 10  # steps that are timed together
OPTIMIZERS = ("sgd with momentum", "adam", "adamw")

Weights = dict[str, np.ndarray]


def data() -> tuple[np.ndarray, np.ndarray]:
    """The images of each step and their labels: ``(steps, batch, 64)`` and ``(steps, batch)``."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).integers(0, len(images), (STEPS, BATCH))
    return (images[order] / 16).astype(np.float32), labels[order].astype(np.int32)


def start() -> Weights:
    """The weights at the start: kernels are ``(inputs, outputs)``."""
    rng = np.random.default_rng(1)
    kernel = lambda n, m: (rng.standard_normal((n, m)) * n**-0.5).astype(np.float32)
    zeros = lambda n: np.zeros(n, np.float32)
    return {
        "kernel1": kernel(64, HIDDEN),
        "bias1": zeros(HIDDEN),
        "kernel2": kernel(HIDDEN, 10),
        "bias2": zeros(10),
    }


# Each function below trains. What stands between its marks is what a user writes; the lines of it
# are counted.


def train_gradchain(name: str, x: np.ndarray, y: np.ndarray) -> tuple[list, Weights, float]:
    # >>>
    import jax
    import jax.numpy as jnp

    import gradchain as gc

    tx = {
        "sgd with momentum": lambda: gc.sgd(0.05, momentum=0.9),
        "adam": lambda: gc.adam(0.003),
        "adamw": lambda: gc.adamw(0.003, weight_decay=0.01),
    }[name]()

    def loss_fn(params, x, y):
        hidden = jnp.tanh(x @ params["kernel1"] + params["bias1"])
        logits = hidden @ params["kernel2"] + params["bias2"]
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def train_step(params, state, x, y):
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        params, state = tx.step(grads, state, params)
        return params, state, loss

    params = {k: jnp.asarray(w) for k, w in start().items()}
    state = tx.init(params)
    # <<<
    return carried(train_step, params, state, x, y)


def train_optax(name: str, x: np.ndarray, y: np.ndarray) -> tuple[list, Weights, float]:
    # >>>
    import jax
    import jax.numpy as jnp
    import optax

    tx = {
        "sgd with momentum": lambda: optax.sgd(0.05, momentum=0.9),
        "adam": lambda: optax.adam(0.003),
        "adamw": lambda: optax.adamw(0.003, weight_decay=0.01),
    }[name]()

    def loss_fn(params, x, y):
        hidden = jnp.tanh(x @ params["kernel1"] + params["bias1"])
        logits = hidden @ params["kernel2"] + params["bias2"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def train_step(params, state, x, y):
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    params = {k: jnp.asarray(w) for k, w in start().items()}
    state = tx.init(params)
    # <<<
    return carried(train_step, params, state, x, y)


def train_torch(name: str, x: np.ndarray, y: np.ndarray) -> tuple[list, Weights, float]:
    # >>>
    import torch

    model = torch.nn.Sequential(
        torch.nn.Linear(64, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 10)
    )
    loss_fn = torch.nn.CrossEntropyLoss()
    optimizer = {
        "sgd with momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=0.003),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.003, weight_decay=0.01),
    }[name](model.parameters())

    def train_step(x, y):
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    # <<<
    torch.set_num_threads(1)  # as quick for a network of this size, and fair
    names = {"0.weight": "kernel1", "0.bias": "bias1", "2.weight": "kernel2", "2.bias": "bias2"}
    weights = start()
    model.load_state_dict({k: torch.tensor(weights[n].T) for k, n in names.items()})
    losses, seconds = loop(train_step, torch.tensor(x), torch.tensor(y, dtype=torch.int64))
    state = model.state_dict()
    return losses, {n: state[k].numpy().T for k, n in names.items()}, seconds


def train_keras(name: str, x: np.ndarray, y: np.ndarray) -> tuple[list, Weights, float]:
    # >>>
    import keras

    model = keras.Sequential(
        [
            keras.layers.Input((64,)),
            keras.layers.Dense(HIDDEN, activation="tanh"),
            keras.layers.Dense(10),
        ]
    )
    optimizer = {
        "sgd with momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        "adam": lambda: keras.optimizers.Adam(0.003, epsilon=1e-8),
        "adamw": lambda: keras.optimizers.AdamW(0.003, weight_decay=0.01, epsilon=1e-8),
    }[name]()
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss_fn)

    def train_step(x, y):
        return model.train_on_batch(x, y)

    # <<<
    names = ["kernel1", "bias1", "kernel2", "bias2"]
    weights = start()
    model.set_weights([weights[n] for n in names])

    def step(x, y):  # the loss of this batch alone: train_on_batch gives the mean so far
        model.reset_metrics()
        return train_step(x, y)

    losses, seconds = loop(step, x, y)
    return losses, dict(zip(names, model.get_weights(), strict=True)), seconds


def carried(
    train_step: Callable, params: Any, state: Any, x: np.ndarray, y: np.ndarray
) -> tuple[list, Weights, float]:
    """Train by a step that takes parameters and state, and gives them back."""

    def step(x, y):
        nonlocal params, state
        params, state, loss = train_step(params, state, x, y)
        return loss

    losses, seconds = loop(step, x, y)
    return losses, {k: np.asarray(w) for k, w in params.items()}, seconds


def loop(step: Callable, x: Any, y: Any) -> tuple[list[float], float]:
    """The loss of each step, and the seconds of one: those of the quickest ten in a row.

    Other work on the machine then counts for little.
    """
    losses, seconds = [], []
    for first in range(0, STEPS, BLOCK):
        begun = time.perf_counter()
        block = [step(x[t], y[t]) for t in range(first, first + BLOCK)]
        losses += [to_number(loss) for loss in block]
        seconds.append((time.perf_counter() - begun) / BLOCK)
    return losses, min(seconds)


def to_number(loss: Any) -> float:
    loss = loss[0] if isinstance(loss, list) else loss
    return float(loss.detach()) if hasattr(loss, "detach") else float(loss)


TRAINERS = {
    "gradchain": train_gradchain,
    "optax": train_optax,
    "torch": train_torch,
    "keras": train_keras,
}


def lines_of(train: Callable) -> int:
    """How many lines a user writes."""
    code = inspect.getsource(train).split("# >>>")[1].split("# <<<")[0]
    return sum(bool(line.strip()) for line in code.splitlines())


def label(library: str) -> str:
    """The library with its version, and what it runs on."""
    if library != "keras":
        return f"{library} {version(library)}"
    import keras

    backend = keras.backend.backend()
    return f"keras {version('keras')} on {backend} {version(BACKENDS.get(backend, backend))}"


BACKENDS = {"tensorflow": "tensorflow_cpu"}


def distance(a: Weights, b: Weights) -> float:
    return max(float(np.max(np.abs(a[k] - b[k]))) for k in a)


def compare(repeats: int) -> dict[str, Any]:
    """Train in every library that is installed."""
    x, y = data()
    found: dict[str, Any] = {}
    ends: dict[str, Weights] = {}
    for library, train in TRAINERS.items():
        if importlib.util.find_spec(library) is None:
            print(f"{library}: not installed")
            continue
        runs = {}
        for name in OPTIMIZERS:
            results = [train(name, x, y) for _ in range(repeats)]
            losses, weights, _ = results[0]
            seconds = min(run[2] for run in results)
            ends.setdefault(name, weights)
            first = found.get("gradchain", {}).get("runs", runs)[name] if found else None
            runs[name] = {
                "loss": [round(loss, 7) for loss in losses],
                "milliseconds": round(1000 * seconds, 3),
                "weights_apart": distance(weights, ends[name]),
            }
            apart = np.max(np.abs(np.subtract(losses, first["loss"]))) if first else 0.0
            print(
                f"{label(library):32} {name:18} loss {losses[0]:.4f} to {losses[-1]:.4f}, "
                f"{apart:.1e} from gradchain's, weights {runs[name]['weights_apart']:.1e}; "
                f"{1000 * seconds:.2f} ms a step"
            )
        found[library] = {"label": label(library), "lines": lines_of(train), "runs": runs}
    return found


def counts() -> dict[str, dict[str, int]]:
    """How many optimizers, schedules and losses each installed library has, by its public names."""
    return {name: count() for name, count in COUNTS.items() if importlib.util.find_spec(name)}


def count_gradchain() -> dict[str, int]:
    import gradchain as gc
    from gradchain.inspection.listing import names_of

    return {
        "optimizers": len(gc.optimizers_named()),
        "schedules": len(names_of("schedules")),
        "losses": len(functions(gc.losses)),
    }


def count_optax() -> dict[str, int]:
    import optax

    made = lambda room: [
        f
        for f in functions(room).values()
        if "GradientTransformation" in str(inspect.signature(f).return_annotation)
        and "learning_rate" in inspect.signature(f).parameters
        and not f.__name__.startswith("scale_by")
    ]
    return {
        "optimizers": len(made(optax)) + len(made(optax.contrib)),
        "schedules": sum(not n.startswith("inject") for n in functions(optax.schedules)),
        "losses": len(functions(optax.losses)),
    }


def count_torch() -> dict[str, int]:
    import torch
    from torch.optim import lr_scheduler

    return {
        "optimizers": len(subclasses(torch.optim, torch.optim.Optimizer)),
        "schedules": len(subclasses(lr_scheduler, lr_scheduler.LRScheduler)),
        "losses": len(subclasses(torch.nn.modules.loss, torch.nn.modules.loss._Loss)),
    }


def count_keras() -> dict[str, int]:
    import keras

    schedules = keras.optimizers.schedules
    around_others = {"LossScaleOptimizer", "MultiOptimizer"}
    optimizers = subclasses(keras.optimizers, keras.optimizers.Optimizer)
    return {
        "optimizers": len(set(optimizers) - around_others),
        "schedules": len(subclasses(schedules, schedules.LearningRateSchedule)),
        "losses": len(subclasses(keras.losses, keras.losses.Loss)),
    }


COUNTS = {
    "gradchain": count_gradchain,
    "optax": count_optax,
    "torch": count_torch,
    "keras": count_keras,
}


def functions(room: Any) -> dict[str, Callable]:
    return {n: f for n, f in vars(room).items() if n[0] != "_" and inspect.isfunction(f)}


def subclasses(room: Any, base: type) -> list[str]:
    """The public classes of a module that are of a kind, the kind itself aside."""
    return sorted(
        n
        for n, c in vars(room).items()
        if n[0] != "_" and inspect.isclass(c) and issubclass(c, base) and c is not base
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    parser.add_argument("--repeats", type=int, default=3, help="times the shortest of so many")
    options = parser.parse_args()
    found = compare(options.repeats)
    if options.write:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, CPU"
        record = {
            "origin": "python -m benchmarks.compare_libraries --write",
            "date": datetime.date.today().isoformat(),
            "machine": machine,
            "counts": counts(),
            "libraries": found,
        }
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(record, indent=None, separators=(", ", ": ")) + "\n")
        print(f"written: {FILE}")


if __name__ == "__main__":
    main()
