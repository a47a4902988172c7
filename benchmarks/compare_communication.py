"""``python -m benchmarks.compare_communication``: the same training with fewer bytes sent.

Four replicas train a network that reads digits, each with images of few kinds. They send gradients
by each wire, with error feedback and without, or meet every few steps alone; and one replica trains
with gradients that are some steps old. Of several rates the best counts. Bytes are those of the
collectives in compiled steps, for 2 and for 8 replicas. ``--write`` puts all of it into
``docs/data/communication.json``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from sklearn.datasets import load_digits

import gradchain as gc

ways = gc.distributed
FILE = Path(__file__).parents[1] / "docs" / "data" / "communication.json"
REPLICAS, BATCH, STEPS, SEEDS = 4, 16, 400, 3
RATES = (0.03, 0.1, 0.3)
WIRES: dict[str, Any] = {
    "mean()": ways.mean(),
    '"bfloat16"': "bfloat16",
    '"int8"': "int8",
    '"int4"': "int4",
    "sign()": ways.sign(),
    "vote()": ways.vote(),
    "top_k()": ways.top_k(),
    "dct()": ways.dct(),
    "power_sgd(1)": ways.power_sgd(1),
    "power_sgd(2)": ways.power_sgd(2),
    "power_sgd(4)": ways.power_sgd(4),
}
PERIODS = (1, 4, 16, 64)
DELAYS = (0, 1, 2, 4, 8, 16)
STALE_RATES = tuple(float(x) for x in np.geomspace(0.003, 3.0, 16))

#: A layer of a transformer, on which bytes are counted.
LAYER = {
    "scale": jax.ShapeDtypeStruct((512,), jnp.float32),
    "attention": jax.ShapeDtypeStruct((512, 2048), jnp.float32),
    "feedforward": jax.ShapeDtypeStruct((512, 4096), jnp.float32),
}


def data() -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """Images of each replica, of which half are of its own kinds, and others."""
    images, labels = load_digits(return_X_y=True)
    draw = np.random.default_rng(0)
    order = draw.permutation(len(labels))
    images, labels = images[order].astype(np.float32) / 16, labels[order].astype(np.int32)
    held = images[1440:], labels[1440:]
    common = np.arange(720)
    own = 720 + np.argsort(labels[720:1440], kind="stable")
    parts = [np.concatenate(p) for p in zip(np.split(common, 4), np.split(own, 4), strict=True)]
    trained = np.stack([images[p] for p in parts]), np.stack([labels[p] for p in parts])
    return tuple(map(jnp.asarray, trained)), tuple(map(jnp.asarray, held))


def start(seed: jax.Array) -> dict[str, jax.Array]:
    inner, outer = jax.random.split(jax.random.key(seed))
    return {
        "inner": jax.random.normal(inner, (64, 64)) / 8,
        "bias": jnp.zeros((1, 64)),
        "outer": jax.random.normal(outer, (64, 10)) / 8,
    }


def loss(params: dict[str, jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    logits = jnp.tanh(x @ params["inner"] + params["bias"]) @ params["outer"]
    return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


Make = Callable[[Any], gc.GradientTransformation]


def losses(
    make: Make, axis: str, rates: tuple[float, ...], steps: int, seeds: int, replicas: int
) -> np.ndarray:
    """The losses at the end, over all images: rates by seeds."""
    (images, labels), _ = data()
    if replicas == 1:
        images, labels = images.reshape(1, -1, 64), labels.reshape(1, -1)

    def run(rate: jax.Array, seed: jax.Array) -> jax.Array:
        tx, params = make(rate), start(seed)
        carry = ways.stack_replicas((params, tx.init(params)), replicas)
        keys = jax.random.split(jax.random.key(seed + 1), (steps, replicas))

        def step(params: Any, state: Any, key: jax.Array, x: jax.Array, y: jax.Array) -> Any:
            picked = jax.random.randint(key, (BATCH,), 0, len(y))
            return tx.step(jax.grad(loss)(params, x[picked], y[picked]), state, params)

        on_all = jax.vmap(step, axis_name=axis)
        (params, _), _ = jax.lax.scan(
            lambda carry, key: (on_all(*carry, key, images, labels), None), carry, keys
        )
        mean = jax.tree.map(lambda x: x.mean(0), params)
        return loss(mean, images.reshape(-1, 64), labels.reshape(-1))

    over_seeds = jax.vmap(run, (None, 0))
    found = jax.jit(jax.vmap(over_seeds, (0, None)))(jnp.asarray(rates), jnp.arange(seeds))
    return np.nan_to_num(np.asarray(found), nan=np.inf)


def best(found: np.ndarray, rates: tuple[float, ...]) -> dict[str, Any]:
    """The rate whose mean is least, and its losses."""
    at = int(np.argmin(found.mean(1)))
    return {"rate": rates[at], "losses": [round(float(x), 5) for x in found[at]]}


def exchanging(wire: Any, error_feedback: float | None, steps: int) -> Make:
    exchange = ways.exchange(wire, error_feedback=error_feedback)
    scale = 0.03 if wire == ways.vote() else 1.0  # its directions have the length of the network
    rate = lambda rate: gc.cosine_decay_schedule(scale * rate, steps)
    return lambda x: gc.chain(exchange, gc.sgd(rate(x), 0.9))


def meeting(every: int, outer: Any, steps: int) -> Make:
    rate = lambda rate: gc.cosine_decay_schedule(rate, steps)
    return lambda x: ways.diloco(gc.sgd(rate(x), 0.9), outer, every)


OUTER = {"diloco": gc.sgd(0.7, 0.5, nesterov=True), "local_sgd": None}


def bytes_of(wire: Any, replicas: int, shapes: Any = None) -> int:
    """The bytes that a replica sends in one exchange, by the compiled program."""
    shapes = LAYER if shapes is None else shapes
    mesh = jax.make_mesh((replicas,), ("data",), axis_types=(AxisType.Auto,))
    tx = ways.diloco(gc.chain(), None, 1, "data", wire=wire)
    over = NamedSharding(mesh, P("data"))
    give = lambda x: jax.ShapeDtypeStruct((replicas, *x.shape), x.dtype, sharding=over)
    given = jax.tree.map(give, (shapes, tx.init(shapes), shapes))
    step = jax.jit(ways.on_replicas(tx.step, mesh, "data"))
    return ways.wire_bytes(ways.collectives(step.lower(*given).compile()))


def measured(steps: int = STEPS, seeds: int = SEEDS, wires: Any = None) -> dict[str, Any]:
    """All that the page shows."""
    found: dict[str, Any] = {"wires": {}, "local": {}, "stale": {}}
    network = jax.eval_shape(start, jnp.int32(0))
    for name, wire in (wires or WIRES).items():
        row: dict[str, Any] = {f"bytes_{n}": bytes_of(wire, n) for n in (2, 8)}
        row["network"] = bytes_of(wire, REPLICAS, network)
        for label, feedback in {"without": None, "feedback": 1.0}.items():
            if feedback is None or name != "vote()":
                make = exchanging(wire, feedback, steps)
                row[label] = best(losses(make, "data", RATES, steps, seeds, REPLICAS), RATES)
        found["wires"][name] = row
        print(name, row, flush=True)
    for name, outer in OUTER.items():
        for every in PERIODS:
            make = meeting(every, outer, steps)
            row = best(losses(make, "replica", RATES, steps, seeds, REPLICAS), RATES)
            found["local"][f"{name}, {every}"] = row
            print(name, every, row, flush=True)
    for delay in DELAYS:
        tx = lambda rate, k=delay: ways.delayed(gc.sgd(rate, 0.9), k) if k else gc.sgd(rate, 0.9)
        ends = losses(tx, "data", STALE_RATES, steps, seeds, 1).mean(1)
        found["stale"][delay] = [round(min(float(x), 99.0), 5) for x in ends]
        print("stale", delay, found["stale"][delay], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each run")
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", 8)
    record = {
        "origin": "python -m benchmarks.compare_communication --write",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, CPU",
        "steps": options.steps,
        "rates": STALE_RATES,
        **measured(options.steps),
    }
    if options.write:
        FILE.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: {FILE}")


if __name__ == "__main__":
    main()
