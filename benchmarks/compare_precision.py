"""``python -m benchmarks.compare_precision``: the same training with fewer bits.

A transformer that predicts characters and a convolutional network that reads digits are trained
with AdamW: with moments in few bytes, and with bfloat16 parameters that are rounded in several
ways. For each seed all begin with the same weights and see the same batches. ``--write`` puts the
losses at the end into ``docs/data/precision.json``; what ``--only`` leaves out stays there.

The passes compute in float32 from whatever the parameters are, so that runs differ by what is kept
alone. Gradients have the dtype of the parameters.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from sklearn.datasets import load_digits

import gradchain as gc

FILE = Path(__file__).parents[1] / "docs" / "data" / "precision.json"
SEEDS, STEPS = 3, 500

Make = Callable[[gc.GradientTransformation], gc.GradientTransformation]


class Policy(NamedTuple):
    """How many bits are kept, and of what."""

    params: str
    around: Make


POLICIES = {
    "float32": Policy("float32", lambda tx: tx),
    "bfloat16 moments": Policy("float32", lambda tx: gc.storage(tx, "bfloat16")),
    "int8_log": Policy("float32", lambda tx: gc.storage(tx, "int8_log")),
    "int8, int8_log": Policy("float32", lambda tx: gc.storage(tx, mu="int8", nu="int8_log")),
    "int8_companded, uint8_root": Policy(
        "float32", lambda tx: gc.storage(tx, mu="int8_companded", nu="uint8_root")
    ),
    "int8_dynamic, uint8_dynamic": Policy(
        "float32", lambda tx: gc.storage(tx, mu="int8_dynamic", nu="uint8_dynamic")
    ),
    "int8_dynamic, uint8_log": Policy(
        "float32", lambda tx: gc.storage(tx, mu="int8_dynamic", nu="uint8_log")
    ),
    "int8_dynamic, uint8_log, by chance": Policy(
        "float32",
        lambda tx: gc.storage(tx, mu="int8_dynamic", nu="uint8_log", stochastic=True),
    ),
    "int4, uint4_log": Policy("float32", lambda tx: gc.storage(tx, mu="int4", nu="uint4_log")),
    "int4, uint4_log, by chance": Policy(
        "float32", lambda tx: gc.storage(tx, mu="int4", nu="uint4_log", stochastic=True)
    ),
    "nothing": Policy("bfloat16", lambda tx: tx),
    "stochastic_rounding": Policy("bfloat16", gc.stochastic_rounding),
    "kahan": Policy("bfloat16", gc.kahan),
    "split_weights": Policy("bfloat16", gc.split_weights),
    "master_weights": Policy("bfloat16", gc.master_weights),
}


class Problem(NamedTuple):
    """A model and its data.

    Attributes:
        model: makes the model of a seed.
        batch: the inputs and targets of some examples.
        examples: how many examples there are.
        held: the held-out inputs and targets.
        size: how many examples are in a batch.
        rate: the highest learning rate.
    """

    model: Callable[[int], nnx.Module]
    batch: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    examples: int
    held: tuple[np.ndarray, np.ndarray]
    size: int
    rate: float


WIDTH, WINDOW = 64, 32


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.norm1, self.norm2 = (nnx.LayerNorm(WIDTH, rngs=rngs) for _ in range(2))
        self.attend = nnx.MultiHeadAttention(4, WIDTH, decode=False, rngs=rngs)
        self.up = nnx.Linear(WIDTH, 4 * WIDTH, rngs=rngs)
        self.down = nnx.Linear(4 * WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + self.attend(self.norm1(x), mask=nnx.make_causal_mask(x[..., 0]))
        return x + self.down(nnx.gelu(self.up(self.norm2(x))))


class Transformer(nnx.Module):
    def __init__(self, letters: int, rngs: nnx.Rngs):
        self.embed, self.place = (nnx.Embed(n, WIDTH, rngs=rngs) for n in (letters, WINDOW))
        self.block, self.norm = Block(rngs), nnx.LayerNorm(WIDTH, rngs=rngs)
        self.head = nnx.Linear(WIDTH, letters, rngs=rngs)

    def __call__(self, codes: jax.Array) -> jax.Array:
        return self.head(self.norm(self.block(self.embed(codes) + self.place.embedding[...])))


class CNN(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 16, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, kernel_size=(3, 3), rngs=rngs)
        self.head = nnx.Linear(4 * 4 * 32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.conv2(nnx.relu(self.conv1(x))))
        return self.head(nnx.max_pool(x, (2, 2), strides=(2, 2)).reshape(len(x), -1))


def characters() -> Problem:
    """The next character of the documentation that ships with Python."""
    paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
    paragraphs = np.random.default_rng(0).permutation(list(dict.fromkeys(paragraphs)))
    letters, codes = np.unique(list("\n\n".join(paragraphs)), return_inverse=True)
    codes, held = np.split(codes.astype(np.int32), [len(codes) * 9 // 10])
    windows = held[: 400 * (WINDOW + 1)].reshape(-1, WINDOW + 1)

    def batch(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = codes[starts[:, None] + np.arange(WINDOW + 1)]
        return found[:, :-1], found[:, 1:]

    model = lambda seed: Transformer(len(letters), nnx.Rngs(seed))
    held_out = windows[:, :-1], windows[:, 1:]
    return Problem(model, batch, len(codes) - WINDOW, held_out, 16, 5e-3)


def digits() -> Problem:
    """Which digit is drawn, of 1,797 images of scikit-learn; a third of them is held out."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x = (images[order].reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    y = labels[order].astype(np.int32)
    model = lambda seed: CNN(nnx.Rngs(seed))
    batch = lambda rows: (x[rows], y[rows])
    return Problem(model, batch, 1200, (x[1200:], y[1200:]), 32, 3e-3)


PROBLEMS = {"characters": characters, "digits": digits}


def losses_of(problem: Problem, policy: Policy, steps: int) -> tuple[list[float], list[float]]:
    """The losses of each seed at the end: on held-out data, and the mean of the last steps."""
    rate = gc.warmup_cosine_decay_schedule(0.0, problem.rate, steps // 20, steps)
    tx = policy.around(gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(rate)))
    graph = nnx.graphdef(problem.model(0))
    float32 = lambda params: jax.tree.map(lambda p: p.astype(jnp.float32), params)

    @jax.jit
    def loss_fn(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, float32(params))(x)
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def step(params: Any, state: Any, x: jax.Array, y: jax.Array) -> tuple:
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        return *tx.step(grads, state, params), loss

    held, trained = [], []
    for seed in range(SEEDS):
        params = nnx.as_pure(nnx.state(problem.model(seed)))
        params = jax.tree.map(lambda p: p.astype(policy.params), params)
        state, seen = tx.init(params), []
        rows = np.random.default_rng(seed).integers(0, problem.examples, (steps, problem.size))
        for some in rows:
            params, state, loss = step(params, state, *problem.batch(some))
            seen.append(loss)
        held.append(float(loss_fn(params, *problem.held)))
        trained.append(float(np.mean(jax.device_get(seen[-steps // 10 :]))))
    return held, trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run")
    parser.add_argument("--only", nargs="+", choices=POLICIES, default=list(POLICIES))
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(FILE.read_text())["problems"] if FILE.exists() else {}
    for name, make in PROBLEMS.items():
        problem, rows = make(), found.get(name, {})
        for label in options.only:
            begun = time.process_time()
            held, trained = losses_of(problem, POLICIES[label], options.steps)
            rows[label] = {
                "params": POLICIES[label].params,
                "held": [round(x, 5) for x in held],
                "trained": [round(x, 5) for x in trained],
            }
            text = lambda losses: " ".join(f"{x:.4f}" for x in losses)
            print(
                f"{name}: {POLICIES[label].params} parameters, {label:34}"
                f" held out {text(held)}, trained {text(trained)};"
                f" {time.process_time() - begun:.0f} s",
                flush=True,
            )
        found[name] = {label: rows[label] for label in POLICIES if label in rows}
    if options.write:
        record = {
            "origin": "python -m benchmarks.compare_precision --write",
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, CPU",
            "steps": options.steps,
            "problems": found,
        }
        FILE.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: {FILE}")


if __name__ == "__main__":
    main()
