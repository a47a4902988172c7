"""A learning rate to begin with, for each optimizer: ``python -m benchmarks.starting_rates``.

A small network on scikit-learn's digits trains with every rate of a grid and from three seeds, as
one vmapped program for each optimizer: an optimizer is a tree of its hyperparameters, so a grid of
rates is a population. The rate is constant from the first step on, and all other arguments have
their defaults. What counts is the loss of held-out images in the end. ``--write`` puts it into
``docs/data/starting_rates.json``, of which the page "Which optimizer?" makes a table; names after
it renew their rows only.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from numpy.typing import ArrayLike
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc
from benchmarks.__main__ import surroundings
from gradchain.core.factory import FACTORIES

FILE = Path(__file__).parents[1] / "docs" / "data" / "starting_rates.json"
RATES = tuple(float(f"{10 ** (k / 2):.1g}") for k in range(-12, 9))  # half decades
STEPS, BATCH, SEEDS = 300, 32, 3
#: A rate works if its loss is at most so many times that of the best one.
FACTOR = 2.0
#: Optimizers that are used with an option so often that they have a row of their own.
WITH_OPTIONS = ("sgd(momentum=0.9)", "rmsprop(momentum=0.9)")
#: Arguments without a default.
ARGUMENTS = {
    "dpsgd": {"l2_norm_clip": 1.0, "noise_multiplier": 1.0},
    "natural_gradient": {"likelihood": "categorical"},
}


class MLP(nn.Module):
    """Two hidden layers, small enough to train thousands."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for _ in range(2):
            x = nn.relu(nn.Dense(64)(x))
        return nn.Dense(10)(x)


def logits(params: Any, x: jax.Array) -> Any:
    """The outputs of the network."""
    return MLP().apply({"params": params}, x)


def loss_fn(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Cross entropy, the mean over a batch."""
    log_p = jax.nn.log_softmax(logits(params, x))
    return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()


@functools.cache
def digits() -> tuple[Any, ...]:
    """Images and labels to train with, and those held out."""
    images, labels = load_digits(return_X_y=True)
    x, x_held, y, y_held = train_test_split(
        images.astype(np.float32) / 16, labels, test_size=0.25, stratify=labels, random_state=0
    )
    return x, y, x_held, y_held


def calls() -> list[str]:
    """The rows: all optimizers of the library, some of them with an option too."""
    is_ours = lambda name: FACTORIES[name].function.__module__.startswith("gradchain.")
    return sorted([*filter(is_ours, gc.optimizers_named("*")), *WITH_OPTIONS])


def rates_of(call: str) -> list[str]:
    """The arguments that are the learning rate; none where the optimizer takes no rate."""
    parameters = FACTORIES[call.split("(")[0]].signature.parameters
    return [name for name in ("learning_rate", "max_learning_rate") if name in parameters]


def make(call: str, rate: Any) -> gc.GradientTransformation:
    """The optimizer ``name`` or ``name(option=number)`` at a rate."""
    name, *option = re.split(r"[(=)]", call)[:3]
    given = {option[0]: float(option[1])} if option else {}
    rates = dict.fromkeys(rates_of(call), rate)
    return getattr(gc, name)(**rates, **ARGUMENTS.get(name, {}), **given)


def batches(key: jax.Array, examples: int, steps: int) -> jax.Array:
    """The examples of each step, epoch by epoch in another order."""
    epochs = jax.random.split(key, -(-steps * BATCH // examples))
    order = jax.vmap(lambda k: jax.random.permutation(k, examples))(epochs)
    return order.reshape(-1)[: steps * BATCH].reshape(steps, BATCH)


def train(tx: gc.GradientTransformation, seed: jax.Array, steps: int) -> jax.Array:
    """The held-out loss after training from a seed."""
    x, y, x_held, y_held = map(jnp.asarray, digits())
    at_start, at_batches = jax.random.split(jax.random.key(seed))
    params = MLP().init(at_start, x[:1])["params"]

    def train_step(carry: tuple, batch: jax.Array) -> tuple:
        params, state = carry
        part = x[batch], y[batch]
        value, grads = jax.value_and_grad(loss_fn)(params, *part)
        if tx.factory.name == "dpsgd":
            per_example = jax.vmap(jax.grad(loss_fn), (None, 0, 0))
            grads = per_example(params, part[0][:, None], part[1][:, None])
        extras = {
            "value": value,
            "value_fn": lambda p: loss_fn(p, *part),
            "model_fn": lambda p: logits(p, part[0]),
        }
        asked = {name: extras[name] for name in extras if name in tx.extras}
        return tx.step(grads, state, params, **asked), None

    order = batches(at_batches, len(x), steps)
    (params, state), _ = jax.lax.scan(train_step, (params, tx.init(params)), order)
    return loss_fn(gc.eval_params(state, params), x_held, y_held)


def sweep(
    call: str, rates: Sequence[float] = RATES, seeds: int = SEEDS, steps: int = STEPS
) -> np.ndarray:
    """The held-out loss of each rate, the mean over seeds; infinite where one diverges."""
    population = jax.vmap(functools.partial(make, call))(jnp.asarray(rates))
    one = functools.partial(train, steps=steps)
    program = jax.jit(jax.vmap(jax.vmap(one, (0, None)), (None, 0)))
    losses = np.asarray(program(population, jnp.arange(seeds)), np.float64)
    return np.where(np.isfinite(losses), losses, np.inf).mean(0)


def row(losses: ArrayLike, rates: Sequence[float] = RATES) -> dict[str, Any]:
    """The best rate, and the smallest and largest of those around it that work."""
    rounded = np.round(np.asarray(losses, np.float64), 4)
    best = int(np.argmin(rounded))
    works = rounded <= FACTOR * rounded[best]
    low = high = best
    while low > 0 and works[low - 1]:
        low -= 1
    while high + 1 < len(works) and works[high + 1]:
        high += 1
    return {
        "best": rates[best],
        "low": rates[low],
        "high": rates[high],
        "losses": [float(loss) if np.isfinite(loss) else None for loss in rounded],
    }


def measure(call: str) -> dict[str, Any] | None:
    """The row of an optimizer; none where it takes no rate."""
    if not rates_of(call):
        return None
    found = row(sweep(call))
    print(f"{call:28} {found['best']:8g}  {found['low']:g} to {found['high']:g}", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser("python -m benchmarks.starting_rates", description=__doc__)
    parser.add_argument("only", nargs="*", help="rows to measure; all if not said")
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - set(calls()):
        parser.error(f"no optimizers: {', '.join(sorted(unknown))}")
    old = json.loads(FILE.read_text())["rows"] if options.only and FILE.exists() else {}
    rows = old | {call: measure(call) for call in options.only or calls()}
    if options.write:
        write({call: rows[call] for call in calls() if call in rows})
        print(f"written: {FILE}")


def write(rows: dict[str, dict[str, Any] | None]) -> None:
    """Write the rows and their origin, a row on a line."""
    about = surroundings()
    record = {
        "origin": "python -m benchmarks.starting_rates --write",
        "date": about["date"][:10],
        "machine": f"{about['processor']}, {about['cpu_count']} cores, {about['device']}",
        "versions": {k: about["versions"][k] for k in ("python", "gradchain", "jax", "numpy")},
        "process": "digits of scikit-learn, 64-64-64-10 with ReLU, constant rate, no warm-up; the"
        " least held-out loss counts, and what is within the factor around it",
        "steps": STEPS,
        "batch": BATCH,
        "seeds": SEEDS,
        "factor": FACTOR,
        "rates": RATES,
    }
    head = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in record.items())
    body = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in rows.items())
    FILE.write_text(f'{{\n{head} "rows": {{\n{body}\n }}\n}}\n')


if __name__ == "__main__":
    main()
