"""PyTorch's side of a row: how its numbers come from the call that the row shows."""

import copy
import math
from typing import Any

import numpy as np

from tests.migration.case import (
    EPOCH,
    FACTORS,
    HELD_OUT,
    KEPT,
    OVERFLOWS,
    RATES,
    SHALLOW,
    VALUES,
    Row,
    data,
    flat,
    start,
    walk,
)


def origin() -> str:
    import torch

    return f"torch {torch.__version__}"


def setup(frozen: str = "") -> tuple[dict[str, Any], Any]:
    """The parameters, and what gives the loss."""
    import torch

    params = {name: torch.tensor(x, requires_grad=name != frozen) for name, x in start().items()}
    return params, loss_of(params)


def loss_of(params: Any) -> Any:
    import torch

    x, y = map(torch.tensor, data())
    return lambda: ((torch.tanh(x @ params["kernel"]) + params["bias"] - y) ** 2).mean()


def made(call: str, params: dict[str, Any]) -> Any:
    """What a call of ``torch.optim`` makes."""
    import torch

    names = vars(torch.optim) | {"named": params, "params": list(params.values())}
    return eval(call, names)


def values(params: dict[str, Any]) -> list[float]:
    return flat({k: p.detach().numpy() for k, p in params.items()}).tolist()


def train_there(
    row: Row, before=None, after=None, call="", factors=None, frozen=""
) -> dict[str, Any]:
    """Train in torch; ``before`` runs before a step, ``after`` behind it."""
    params, loss = setup(frozen)
    optimizer = made(call or row.theirs, params)

    def step(t):
        optimizer.zero_grad()
        (loss() * (factors[t - 1] if factors else 1.0)).backward()
        if before:
            before(t, optimizer, params)
        optimizer.step(closure(loss, optimizer))
        if after:
            after(t, optimizer, params)

    return {"params": walk(step, lambda: values(params))}


def closure(loss: Any, optimizer: Any) -> Any:
    """The closure that L-BFGS wants, and nothing else does."""

    def evaluate():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return evaluate if type(optimizer).__name__ == "LBFGS" else None


def numbers(row: Row) -> dict[str, Any]:
    """Their numbers for a row."""
    return (row.run or train_there)(row)


def scheduled(row: Row) -> dict[str, Any]:
    """The rates of a scheduler that makes a step after each step."""
    import torch
    from torch.optim import lr_scheduler

    opt = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    scheduler = eval(row.theirs, vars(lr_scheduler) | {"opt": opt, "math": math})
    found = []
    for _ in range(RATES):
        found.append(float(opt.param_groups[0]["lr"]))
        opt.step()
        scheduler.step()
    return {"rates": found}


# ------------------------------------------------------------------------- loops of their own


def clipped(row: Row) -> dict[str, Any]:
    import torch

    def before(t, optimizer, params):
        eval(row.theirs.split(";")[0], vars(torch.nn.utils) | {"params": list(params.values())})

    return train_there(row, before, call="SGD(params, lr=0.3)", factors=FACTORS)


def rate_changed(row: Row) -> dict[str, Any]:
    def after(t, optimizer, params):
        if t == 20:
            optimizer.param_groups[0]["lr"] = 0.01

    return train_there(row, after=after, call="Adam(params, lr=0.1)")


def frozen(row: Row) -> dict[str, Any]:
    return train_there(row, call="AdamW(params, lr=0.05)", frozen="bias")


def accumulated(row: Row) -> dict[str, Any]:
    params, loss = setup()
    optimizer = made("Adam(params, lr=0.05)", params)

    def step(t):
        (loss() * FACTORS[t - 1] / 4).backward()
        if t % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()

    return {"params": walk(step, lambda: values(params))}


def scaled(row: Row) -> dict[str, Any]:
    import torch

    params, loss = setup()
    optimizer = made("Adam(params, lr=0.05)", params)
    scaler = eval(row.theirs, vars(torch.amp))
    scales = []

    def step(t):
        optimizer.zero_grad()
        scaler.scale(loss()).backward()
        if t in OVERFLOWS:
            params["bias"].grad += math.inf
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())

    return {"params": walk(step, lambda: values(params)), "scales": scales}


def plateau(row: Row, values: dict[int, float] | None = None) -> dict[str, Any]:
    """The scheduler is given its values behind the steps that have one, by default all."""
    from torch.optim import lr_scheduler

    schedulers = []
    values = values or dict(enumerate(VALUES, start=1))

    def after(t, opt, params):
        if not schedulers:
            call = row.theirs.split(";")[0]
            schedulers.append(eval(call, vars(lr_scheduler) | {"opt": opt}))
        if t in values:
            sign = -1 if schedulers[0].mode == "max" else 1
            schedulers[0].step(sign * values[t])

    return train_there(row, after=after, call="SGD(params, lr=0.3)")


def plateau_by_epoch(row: Row) -> dict[str, Any]:
    return plateau(row, {EPOCH * i: x for i, x in enumerate(HELD_OUT, start=1)})


def averaged(row: Row) -> dict[str, Any]:
    import torch
    from torch.optim import swa_utils

    model = torch.nn.ParameterDict(setup()[0])
    average = eval(row.theirs, vars(swa_utils) | {"model": model})
    optimizer = made("SGD(params, lr=0.3)", dict(model.items()))
    loss = loss_of(model)

    def step(t):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        average.update_parameters(model)

    return {"params": walk(step, lambda: values(dict(average.module.items())))}


def newton_like(row: Row) -> dict[str, Any]:
    """Twenty steps: then torch stops at a small gradient."""
    params, loss = setup()
    optimizer = made(row.theirs, params)
    step = lambda t: optimizer.step(closure(lambda: SHALLOW * loss(), optimizer))
    path = walk(step, lambda: values(params))
    return {"params": path[: KEPT.index(20) + 1]}


def minimized(row: Row) -> dict[str, Any]:
    params, loss = setup()
    optimizer = made(row.theirs, params)
    optimizer.step(closure(loss, optimizer))
    return {"value": loss().item()}


def continued(row: Row) -> dict[str, Any]:
    """Twenty steps, the state then, and where twenty more end."""
    half: dict[str, Any] = {}

    def after(t, optimizer, params):
        if t == 20:
            state = copy.deepcopy(optimizer.state_dict())
            entries = {
                str(i): {k: np.asarray(x).tolist() for k, x in entry.items()}
                for i, entry in state["state"].items()
            }
            half.update(params=values(params), state=entries)

    path = train_there(row, after=after, call="AdamW(params, lr=0.05)")["params"]
    return {"params": path[-1:], "half": half}
