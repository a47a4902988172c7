"""Keras's side of a row: how its numbers come from the call that the row shows.

Keras runs in float64 on its torch backend: ``KERAS_BACKEND=torch``.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.migration.case import (
    EPOCH,
    FACTORS,
    HELD_OUT,
    OVERFLOWS,
    RATES,
    SICK,
    VALUES,
    Row,
    data,
    flat,
    start,
    walk,
)


def origin() -> str:
    keras = module()
    return f"keras {keras.__version__}, backend {keras.backend.backend()}, float64"


def module() -> Any:
    import os

    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    keras.backend.set_floatx("float64")
    return keras


def array(x: Any) -> np.ndarray:
    return np.asarray(module().ops.convert_to_numpy(x))


def made(call: str) -> Any:
    optimizers = module().optimizers
    return eval(call, vars(optimizers) | vars(optimizers.schedules))


def variables() -> tuple[dict[str, Any], list[Any]]:
    keras = module()
    named = {k: keras.Variable(x, dtype="float64", name=k) for k, x in start().items()}
    return named, list(named.values())


def gradients(named: dict[str, Any], factor: float = 1.0) -> dict[str, np.ndarray]:
    """The gradients of the loss, by hand."""
    x, y = data()
    w, b = (array(named[k]) for k in ("kernel", "bias"))
    layer = np.tanh(x @ w)
    back = 2 * (layer + b - y) / y.size * factor
    return {"bias": back.sum(0), "kernel": x.T @ (back * (1 - layer**2))}


def train_there(row: Row, call="", before=None, after=None, factors=None, look=None):
    """Train in Keras; ``before`` may change the gradients of a step."""
    optimizer = made(call or row.theirs)
    named, all_variables = variables()
    optimizer.build(all_variables)

    def step(t):
        grads = gradients(named, factors[t - 1] if factors else 1.0)
        if before:
            grads = before(t, optimizer, grads)
        optimizer.apply(
            [module().ops.convert_to_tensor(g) for g in grads.values()], all_variables
        )
        if after:
            after(t, optimizer)

    def values():
        seen = look(optimizer) if look else all_variables
        return flat({k: array(v) for k, v in zip(named, seen, strict=True)}).tolist()

    return {"params": walk(step, values)}


def numbers(row: Row) -> dict[str, Any]:
    """Their numbers for a row."""
    return (row.run or train_there)(row)


def scheduled(row: Row) -> dict[str, Any]:
    schedule = made(row.theirs)
    return {"rates": [float(array(schedule(t))) for t in range(RATES)]}


# ------------------------------------------------------------------------- loops of their own


def clipped(row: Row) -> dict[str, Any]:
    return train_there(row, factors=FACTORS)


def averaged(row: Row) -> dict[str, Any]:
    return train_there(row, look=lambda optimizer: optimizer._model_variables_moving_average)


def scale_of(optimizer: Any) -> float:
    return float(array(optimizer.scale_loss(module().ops.convert_to_tensor(1.0))))


def scaled(row: Row) -> dict[str, Any]:
    scales = []

    def before(t, optimizer, grads):
        scale = scale_of(optimizer)
        grads = {k: scale * g for k, g in grads.items()}
        return {k: g + math.inf for k, g in grads.items()} if t in OVERFLOWS else grads

    def after(t, optimizer):
        scales.append(scale_of(optimizer))

    return train_there(row, before=before, after=after) | {"scales": scales}


class Model:
    """What a callback sees of a model."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.stop_training = optimizer, False


def callback(row: Row, model: Any, **names: str) -> Any:
    made = eval(row.theirs, vars(module().callbacks) | names)
    made.set_model(model)
    made.on_train_begin()
    return made


def plateau(row: Row) -> dict[str, Any]:
    """The value of an epoch is measured behind its last step."""
    callbacks = []

    def after(t, optimizer):
        if not callbacks:
            callbacks.append(callback(row, Model(optimizer)))
        if t % EPOCH == 0:
            epoch = t // EPOCH - 1
            callbacks[0].on_epoch_end(epoch, {"val_loss": HELD_OUT[epoch]})

    return train_there(row, "SGD(0.3)", after=after)


def rate_by_epoch(row: Row) -> dict[str, Any]:
    """An epoch has five steps."""
    optimizer = made("SGD(0.3)")
    scheduler = callback(row, Model(optimizer))
    found = []
    for epoch in range(RATES // 5):
        scheduler.on_epoch_begin(epoch)
        found += [float(array(optimizer.learning_rate))] * 5
    return {"rates": found}


def stopped(row: Row) -> dict[str, Any]:
    """An epoch for each value: where it stops, and which one was the best."""
    model = Model(None)
    stopping = callback(row, model)
    for epoch, value in enumerate(VALUES, start=1):
        stopping.on_epoch_end(epoch, {"val_loss": value})
        if model.stop_training:
            break
    return {"numbers": [epoch, stopping.best_epoch, stopping.best]}


def stopped_by_nan(row: Row) -> dict[str, Any]:
    model = Model(None)
    guard = callback(row, model)
    for step, value in enumerate(SICK, start=1):
        guard.on_train_batch_end(step, {"loss": value})
        if model.stop_training:
            break
    return {"numbers": [step]}


def best_saved(row: Row) -> dict[str, Any]:
    """A model whose only weight is the number of the epoch: which one is in the file."""
    keras = module()
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, input_shape=(1,))])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "best.keras"
        saver = callback(row, model, file=str(file))
        for epoch, value in enumerate(VALUES, start=1):
            model.set_weights([np.full((1, 1), float(epoch))])
            saver.on_epoch_end(epoch, {"val_loss": value})
        saved = keras.models.load_model(file).get_weights()[0].item()
    return {"numbers": [saved]}
