"""Our side of a row: how its numbers come from the value of our call and their record."""

import math
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.migration.case import (
    FACTORS,
    KEPT,
    LAST_HELD_OUT,
    LAST_VALUES,
    OVERFLOWS,
    SHALLOW,
    SICK,
    STEPS,
    VALUES,
    data,
    flat,
    start,
    walk,
)


def loss(params: dict[str, jax.Array]) -> jax.Array:
    """The mean square of a layer's errors."""
    x, y = data()
    return jnp.mean((jnp.tanh(jnp.asarray(x) @ params["kernel"]) + params["bias"] - y) ** 2)


def our_start() -> dict[str, jax.Array]:
    return {name: jnp.asarray(x) for name, x in start().items()}


def train(
    tx: Any,
    record: dict[str, Any],
    look: Callable = lambda params, state: params,
    value: Any = None,
    scale: Any = None,
) -> dict[str, Any]:
    """What is looked at after each recorded step, by default the parameters, in one compiled loop.

    ``value`` are numbers that go in as ``value=``, ``scale`` are factors of the gradients.
    """
    factors = jnp.ones(STEPS) if scale is None else jnp.asarray(scale)

    def body(carry, x):
        params, state = carry
        grads = jax.tree.map(lambda g: x["factor"] * g, jax.grad(loss)(params))
        extra = {} if value is None else {"value": x["value"]}
        params, state = tx.step(grads, state, params, **extra)
        return (params, state), look(params, state)

    inputs = {"factor": factors} | ({} if value is None else {"value": jnp.asarray(value)})
    first = our_start()
    loop = jax.jit(lambda p, s: jax.lax.scan(body, (p, s), inputs))
    _, path = loop(first, tx.init(first))
    return {"params": [flat({k: x[t - 1] for k, x in path.items()}).tolist() for t in KEPT]}


follow_clipped = partial(train, scale=FACTORS)
follow_plateau = partial(train, value=LAST_VALUES)
follow_plateau_by_epoch = partial(train, value=LAST_HELD_OUT)
follow_averaged = partial(train, look=lambda params, state: gc.eval_params(state, params))


def follow_newton_like(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    path = train(tx, record, scale=[SHALLOW] * STEPS)["params"]
    return {"params": path[: len(record["params"])]}


def rates(schedule: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Our schedule at the recorded steps."""
    steps = jnp.arange(len(record["rates"]))
    return {"rates": np.asarray(jax.jit(jax.vmap(schedule))(steps)).tolist()}


def follow_rate_changed(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    params = our_start()
    state = tx.init(params)
    compiled = jax.jit(lambda tx, p, s: tx.step(jax.grad(loss)(p), s, p))

    def step(t):
        nonlocal params, state
        tx_now = tx if t <= 20 else tx.replace(learning_rate=0.01)
        params, state = compiled(tx_now, params, state)

    return {"params": walk(step, lambda: flat(params).tolist())}


def follow_scaled(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    params = our_start()
    state, scales = tx.init(params), []

    @jax.jit
    def compiled(params, state, more):
        grads = jax.grad(lambda p: gc.loss_scale(state) * loss(p))(params)
        return tx.step(jax.tree.map(lambda g: g + more, grads), state, params)

    def step(t):
        nonlocal params, state
        params, state = compiled(params, state, math.inf if t in OVERFLOWS else 0.0)
        scales.append(float(gc.loss_scale(state)))

    return {"params": walk(step, lambda: flat(params).tolist()), "scales": scales}


def follow_minimized(minimize: Any, record: dict[str, Any]) -> dict[str, Any]:
    return {"value": float(loss(minimize(loss, our_start()).params))}


def follow_continued(adopt: Any, record: dict[str, Any]) -> dict[str, Any]:
    tx = gc.adamw(0.05, weight_decay=0.01)
    half = record["half"]
    bias, kernel = half["params"][:2], np.reshape(half["params"][2:], (3, 2))
    params = {"bias": jnp.asarray(bias), "kernel": jnp.asarray(kernel)}
    entries = {
        int(i): {k: np.asarray(x) for k, x in entry.items()} for i, entry in half["state"].items()
    }
    group = {"params": sorted(entries), "betas": (0.9, 0.999)}
    loaded = {"state": entries, "param_groups": [group]}
    state, report = adopt(tx, loaded, params, lambda path, x: x)
    assert not report.dropped
    step = jax.jit(lambda p, s: tx.step(jax.grad(loss)(p), s, p))
    for _ in range(20):
        params, state = step(params, state)
    return {"params": [flat(params).tolist()]}


def follow_stopped(stopping: Any, record: dict[str, Any]) -> dict[str, Any]:
    for epoch, value in enumerate(VALUES, start=1):
        stopping.update(epoch, value)
        if stopping.should_stop:
            break
    return {"numbers": [epoch, stopping.best.step, stopping.best.value]}


def follow_stopped_by_nan(stop: Any, record: dict[str, Any]) -> dict[str, Any]:
    found = [step for step, value in enumerate(SICK, start=1) if stop.check(step, loss=value)]
    return {"numbers": found}


def follow_best_saved(make: Any, record: dict[str, Any]) -> dict[str, Any]:
    epoch_of = lambda epoch: {"w": jnp.full((1, 1), float(epoch))}
    best = gc.training.EarlyStopping(patience=None)
    with tempfile.TemporaryDirectory() as folder, make(folder) as checkpoints:
        for epoch, value in enumerate(VALUES, start=1):
            best.update(epoch, value)
            checkpoints.save(epoch, epoch_of(epoch), stopping=best)
        saved = checkpoints.restore_best(epoch_of(0)).params["w"]
    return {"numbers": [saved.item()]}
