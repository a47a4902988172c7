"""What PyTorch has, what it is here, and how they differ: the tables of ``coming_from_pytorch.md``.

``opt`` in a call is SGD with the rate 0.3, ``params`` are the parameters of the small problem.
"""

import copy
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.migration.case import (
    KEPT,
    STEPS,
    Row,
    data,
    flat,
    kept,
    loss as our_loss,
    our_start,
    rates,
    run_ours,
    start,
)

RATES = 60
FACTORS = [1.0 + (t % 7) for t in range(STEPS)]  # of gradients that are to be clipped
VALUES = [round(3.0 / (1 + min(t, 9) + min(max(t - 25, 0), 5)), 3) for t in range(STEPS)]


# ------------------------------------------------------------------------------ the other side


def origin() -> str:
    import torch

    return f"torch {torch.__version__}"


def setup() -> tuple[dict[str, Any], Any]:
    """The parameters, and what gives the loss."""
    import torch

    params = {name: torch.tensor(x, requires_grad=True) for name, x in start().items()}
    x, y = map(torch.tensor, data())
    return params, lambda: ((torch.tanh(x @ params["kernel"]) + params["bias"] - y) ** 2).mean()


def made(call: str, params: dict[str, Any]) -> Any:
    """What a call of ``torch.optim`` makes."""
    import torch

    names = vars(torch.optim) | {"named": params, "params": list(params.values())}
    return eval(call, names)


def values(params: dict[str, Any]) -> list[float]:
    return flat({k: p.detach().numpy() for k, p in params.items()}).tolist()


def train_there(row: Row, before=None, after=None, call="", factors=None) -> dict[str, Any]:
    """Train in torch; ``before`` runs before a step, ``after`` behind it."""
    params, loss = setup()
    optimizer = made(call or row.theirs, params)
    found = []
    for t in range(1, STEPS + 1):
        optimizer.zero_grad()
        (loss() * (factors[t - 1] if factors else 1.0)).backward()
        if before:
            before(t, optimizer, params)
        optimizer.step(loss_of(loss, optimizer))
        if after:
            after(t, optimizer, params)
        if t in KEPT:
            found.append(values(params))
    return {"params": found}


def loss_of(loss: Any, optimizer: Any) -> Any:
    """The closure that L-BFGS wants, and nothing else does."""

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return closure if type(optimizer).__name__ == "LBFGS" else None


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


def follow_clipped(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    _, path = run_ours(tx, lambda params, state: params, scale=FACTORS)
    return {"params": kept(path)}


def rate_changed(row: Row) -> dict[str, Any]:
    def after(t, optimizer, params):
        if t == 20:
            optimizer.param_groups[0]["lr"] = 0.01

    return train_there(row, after=after, call="Adam(params, lr=0.1)")


def follow_rate_changed(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    params = our_start()
    state = tx.init(params)
    step = jax.jit(lambda tx, p, s: tx.step(jax.grad(our_loss)(p), s, p))
    found = []
    for t in range(1, STEPS + 1):
        params, state = step(tx if t <= 20 else tx.replace(learning_rate=0.01), params, state)
        if t in KEPT:
            found.append(flat(params).tolist())
    return {"params": found}


def frozen(row: Row) -> dict[str, Any]:
    params, loss = setup()
    params["bias"].requires_grad = False
    optimizer = made("AdamW(params, lr=0.05)", params)
    found = []
    for t in range(1, STEPS + 1):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if t in KEPT:
            found.append(values(params))
    return {"params": found}


def accumulated(row: Row) -> dict[str, Any]:
    params, loss = setup()
    optimizer = made("Adam(params, lr=0.05)", params)
    found = []
    for t in range(1, STEPS + 1):
        (loss() * FACTORS[t - 1] / 4).backward()
        if t % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
        if t in KEPT:
            found.append(values(params))
    return {"params": found}


OVERFLOWS = {6, 7, 21}


def scaled(row: Row) -> dict[str, Any]:
    import torch

    params, loss = setup()
    optimizer = made("Adam(params, lr=0.05)", params)
    scaler = eval(row.theirs, vars(torch.amp))
    found, scales = [], []
    for t in range(1, STEPS + 1):
        optimizer.zero_grad()
        scaler.scale(loss()).backward()
        if t in OVERFLOWS:
            params["bias"].grad += math.inf
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        if t in KEPT:
            found.append(values(params))
    return {"params": found, "scales": scales}


def follow_scaled(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    params = our_start()
    state = tx.init(params)

    @jax.jit
    def step(params, state, more):
        grads = jax.grad(lambda p: gc.loss_scale(state) * our_loss(p))(params)
        return tx.step(jax.tree.map(lambda g: g + more, grads), state, params)

    found, scales = [], []
    for t in range(1, STEPS + 1):
        params, state = step(params, state, math.inf if t in OVERFLOWS else 0.0)
        scales.append(float(gc.loss_scale(state)))
        if t in KEPT:
            found.append(flat(params).tolist())
    return {"params": found, "scales": scales}


def plateau(row: Row) -> dict[str, Any]:
    from torch.optim import lr_scheduler

    schedulers = []

    def before(t, opt, params):
        if not schedulers:
            schedulers.append(eval(row.theirs, vars(lr_scheduler) | {"opt": opt}))
        schedulers[0].step(VALUES[t - 1])

    return train_there(row, before, call="SGD(params, lr=0.3)")


def follow_plateau(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    _, path = run_ours(tx, lambda params, state: params, value=VALUES)
    return {"params": kept(path)}


def averaged(row: Row) -> dict[str, Any]:
    import torch
    from torch.optim import swa_utils

    params, _ = setup()
    model = torch.nn.ParameterDict(params)
    params = dict(model.items())
    average = eval(row.theirs, vars(swa_utils) | {"model": model})
    optimizer = made("SGD(params, lr=0.3)", params)
    x, y = map(torch.tensor, data())
    found = []
    for t in range(1, STEPS + 1):
        optimizer.zero_grad()
        ((torch.tanh(x @ params["kernel"]) + params["bias"] - y) ** 2).mean().backward()
        optimizer.step()
        average.update_parameters(model)
        if t in KEPT:
            found.append(values(dict(average.module.items())))
    return {"params": found}


def follow_averaged(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    _, path = run_ours(tx, lambda params, state: gc.eval_params(state, params))
    return {"params": kept(path)}


SHALLOW = 0.2  # a factor of the loss, with which the first gradient is short


def newton_like(row: Row) -> dict[str, Any]:
    params, loss = setup()
    optimizer = made(row.theirs, params)
    found = []
    for t in range(1, STEPS + 1):
        optimizer.step(loss_of(lambda: SHALLOW * loss(), optimizer))
        if t in KEPT and t <= 20:
            found.append(values(params))
    return {"params": found}


def follow_newton_like(tx: Any, record: dict[str, Any]) -> dict[str, Any]:
    _, path = run_ours(tx, lambda params, state: params, scale=[SHALLOW] * STEPS)
    return {"params": kept(path)[: KEPT.index(20) + 1]}


def minimized(row: Row) -> dict[str, Any]:
    params, loss = setup()
    optimizer = made(row.theirs, params)
    optimizer.step(loss_of(loss, optimizer))
    return {"value": loss().item()}


def follow_minimized(minimize: Any, record: dict[str, Any]) -> dict[str, Any]:
    return {"value": float(our_loss(minimize(our_loss, our_start()).params))}


def continued(row: Row) -> dict[str, Any]:
    """Twenty steps, the state then, and where twenty more end."""
    params, loss = setup()
    optimizer = made("AdamW(params, lr=0.05)", params)
    half: dict[str, Any] = {}
    for t in range(1, STEPS + 1):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if t == 20:
            state = copy.deepcopy(optimizer.state_dict())
            entries = {
                str(i): {k: np.asarray(x).tolist() for k, x in entry.items()}
                for i, entry in state["state"].items()
            }
            half = {"params": values(params), "state": entries}
    return {"params": [values(params)], "half": half}


def follow_continued(make: Any, record: dict[str, Any]) -> dict[str, Any]:
    tx, adopt = make
    half = record["half"]
    bias, kernel = half["params"][:2], np.reshape(half["params"][2:], (3, 2))
    params = {"bias": jnp.asarray(bias), "kernel": jnp.asarray(kernel)}
    entries = {
        int(i): {k: np.asarray(x) for k, x in entry.items()} for i, entry in half["state"].items()
    }
    group = {"params": sorted(entries), "betas": (0.9, 0.999)}
    state = adopt({"state": entries, "param_groups": [group]}, params)
    step = jax.jit(lambda p, s: tx.step(jax.grad(our_loss)(p), s, p))
    for _ in range(20):
        params, state = step(params, state)
    return {"params": [flat(params).tolist()]}


# ------------------------------------------------------------------------------------ the rows

DECAY_FIRST = "the decay is a member of its own, in front: it goes through the optimizer"


def optimizers() -> list[Row]:
    table = "optimizers"
    row = lambda theirs, ours, differs="", **more: Row(table, theirs, ours, differs, **more)
    return [
        row("SGD(params, lr=0.1)", "gc.sgd(0.1)"),
        row("SGD(params, lr=0.1, momentum=0.9)", "gc.sgd(0.1, momentum=0.9)"),
        row(
            "SGD(params, lr=0.1, momentum=0.9, nesterov=True)",
            "gc.sgd(0.1, momentum=0.9, nesterov=True)",
        ),
        row(
            "SGD(params, lr=0.1, momentum=0.9, dampening=0.3)",
            "gc.sgd(0.1, momentum=0.9, dampening=0.3)",
        ),
        row(
            "SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01)",
            "gc.chain(gc.add_decayed_weights(0.01), gc.sgd(0.1, momentum=0.9))",
            DECAY_FIRST,
        ),
        row(
            "SGD(params, lr=0.1, maximize=True)",
            "gc.chain(gc.scale(-1.0), gc.sgd(0.1))",
            "a sign in front; or differentiate the negative",
        ),
        row("Adam(params, lr=0.05)", "gc.adam(0.05)", "the rate has no default here"),
        row(
            "Adam(params, lr=0.05, betas=(0.8, 0.99), eps=1e-3)",
            "gc.adam(0.05, b1=0.8, b2=0.99, eps=1e-3)",
        ),
        row(
            "Adam(params, lr=0.05, weight_decay=0.01)",
            "gc.chain(gc.add_decayed_weights(0.01), gc.adam(0.05))",
            DECAY_FIRST,
        ),
        row(
            "Adam(params, lr=0.05, amsgrad=True)",
            "gc.amsgrad(0.05, max_first=True)",
            "without `max_first` the maximum comes after the correction of the bias, as in optax",
        ),
        row(
            "AdamW(params, lr=0.05)",
            "gc.adamw(0.05, weight_decay=0.01)",
            "**the default of `weight_decay`**: 0.01 there, 0.0001 here as in optax",
        ),
        row(
            "AdamW(params, lr=0.05, weight_decay=0.1)",
            "gc.adamw(0.05, weight_decay=0.1)",
            "`where=gc.weight_matrices()` leaves biases and norms out",
        ),
        row(
            "Adagrad(params, lr=0.1)",
            "gc.adagrad(0.1, 0.0, eps=1e-10, eps_in_sqrt=False)",
            "the sum starts at 0.1 here, and `eps` stands under the root, unless you say otherwise",
        ),
        row(
            "Adagrad(params, lr=0.1, lr_decay=0.05)",
            "gc.adagrad(gc.schedules.inverse_time_decay_schedule(0.1, 1, 0.05), 0.0,"
            " eps=1e-10, eps_in_sqrt=False)",
            "the decay is a schedule",
        ),
        row(
            "RMSprop(params, lr=0.01)",
            "gc.rmsprop(0.01, decay=0.99, eps_in_sqrt=False)",
            "`alpha` is `decay`, 0.9 by default",
        ),
        row(
            "RMSprop(params, lr=0.01, centered=True, momentum=0.9)",
            "gc.rmsprop(0.01, decay=0.99, eps_in_sqrt=False, centered=True, momentum=0.9)",
            "the same",
        ),
        row("Adadelta(params, lr=1.0)", "gc.adadelta(1.0)"),
        row(
            "NAdam(params, lr=0.05)",
            "gc.nadam(0.05, momentum_decay=0.004)",
            "without `momentum_decay` the momentum is constant, as in optax",
        ),
        row(
            "NAdam(params, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)",
            "gc.nadamw(0.05, weight_decay=0.1, momentum_decay=0.004)",
            "a name of its own",
        ),
        row(
            "RAdam(params, lr=0.05)",
            "gc.radam(0.05, debias_eps=True)",
            "without `debias_eps` the `eps` is added after the correction of the bias",
        ),
        row("Adamax(params, lr=0.05)", "gc.adamax(0.05)"),
        row("Rprop(params, lr=0.01)", "gc.rprop(0.01)"),
        row(
            "ASGD(params, lr=0.1)",
            "gc.asgd(0.1)",
            "the average: `gc.eval_params(state, params)`; torch keeps its rate in float32",
            tolerance=1e-8,
        ),
        row(
            "Adafactor(params, lr=0.05)",
            "gc.adafactor(lambda t: jnp.minimum(0.05, (t + 1.0) ** -0.5), 1, eps=2.0**-104,"
            ' dims="last", add_eps=False)',
            "torch takes the least of `lr` and the inverse root of the step; in float64 its"
            " `eps` is the square of float32's; here matrices below 128 are factored only if you"
            " say so, with 1. Its `weight_decay=w` is `weight_decay_rate=lr * w`",
        ),
        row(
            "LBFGS(params, lr=0.5, max_iter=1, history_size=10)",
            "gc.chain(gc.scale_by_lbfgs(10, scale_first=False), gc.scale_by_learning_rate(0.5))",
            "torch shortens its first step to length 1 in the sum of magnitudes, if the gradient"
            " is longer, which the test avoids, and stops at a gradient of 1e-7;"
            " one iteration here is one call of `update`",
            run=newton_like,
            follow=follow_newton_like,
            tolerance=1e-6,
        ),
        row(
            'LBFGS(params, max_iter=100, line_search_fn="strong_wolfe")',
            "lambda loss, params: gc.minimize(loss, params, gc.lbfgs(), tol=1e-9)",
            "the same minimum by another line search; the whole loop is one compiled call",
            run=minimized,
            follow=follow_minimized,
            tolerance=1e-8,
        ),
        row(
            "Muon(params, lr=0.02)",
            "",
            "missing; `optax.contrib.muon(0.02)` goes into `gc.chain`",
            lacks=("muon", "scale_by_muon"),
        ),
    ]


def groups() -> list[Row]:
    row = lambda theirs, ours, differs="", **more: Row("groups", theirs, ours, differs, **more)
    return [
        row(
            'AdamW([{"params": [named["bias"]], "weight_decay": 0.0}, {"params":'
            ' [named["kernel"]]}], lr=0.05, weight_decay=0.1)',
            "gc.adamw(0.05, weight_decay=0.1, where=gc.weight_matrices())",
            "parameters are told apart by path or shape; nobody lists them",
        ),
        row(
            'SGD([{"params": [named["bias"]], "lr": 0.3}, {"params": [named["kernel"]]}], lr=0.1,'
            " momentum=0.9)",
            'gc.groups([("*bias", {"learning_rate": 0.3})], default=gc.sgd(0.1, momentum=0.9))',
            "a dict edits the default",
        ),
        row(
            "bias.requires_grad = False; AdamW(params, lr=0.05)",
            'gc.groups([("*bias", gc.freeze())], default=gc.adamw(0.05, weight_decay=0.01))',
            "frozen parameters have no state",
            run=frozen,
        ),
        row(
            'opt.param_groups[0]["lr"] = 0.01',
            "gc.adam(0.1)",
            "`tx.replace(learning_rate=0.01)`, with `tx` an argument of the compiled step:"
            " nothing compiles again",
            run=rate_changed,
            follow=follow_rate_changed,
        ),
    ]


def schedules() -> list[Row]:
    def row(theirs, ours, differs=""):
        return Row("schedules", theirs, ours, differs, scheduled, rates, 1e-12)

    return [
        row("LambdaLR(opt, lambda t: 0.9**t)", "lambda t: 0.3 * 0.9**t", "any function"),
        row(
            "MultiplicativeLR(opt, lambda t: 0.95)",
            "gc.schedules.multiplicative_schedule(0.3, lambda t: 0.95, 100)",
            "after 100 steps it stays",
        ),
        row(
            "StepLR(opt, 7, gamma=0.5)",
            "gc.exponential_decay(0.3, 7, 0.5, staircase=True)",
        ),
        row(
            "MultiStepLR(opt, [5, 20], gamma=0.1)",
            "gc.piecewise_constant_schedule(0.3, {5: 0.1, 20: 0.1})",
        ),
        row(
            "ConstantLR(opt, factor=0.25, total_iters=7)",
            "gc.piecewise_constant_schedule(0.3 * 0.25, {7: 4.0})",
        ),
        row(
            "LinearLR(opt, start_factor=0.25, end_factor=0.9, total_iters=12)",
            "0.3 * gc.linear_schedule(0.25, 0.9, 12)",
            "schedules are added and multiplied",
        ),
        row("ExponentialLR(opt, 0.9)", "gc.exponential_decay(0.3, 1, 0.9)"),
        row(
            "PolynomialLR(opt, total_iters=20, power=2.0)",
            "gc.polynomial_schedule(0.3, 0.0, 2.0, 20)",
        ),
        row(
            "CosineAnnealingLR(opt, T_max=11, eta_min=0.01)",
            "gc.schedules.cosine_annealing_schedule(0.3, 11, 0.01)",
            "it rises again after `T_max`; `gc.cosine_decay_schedule` stays down",
        ),
        row(
            "CosineAnnealingWarmRestarts(opt, 7, 2, eta_min=0.01)",
            "gc.schedules.cosine_restarts_schedule(0.3, 7, 2, end_value=0.01)",
        ),
        row(
            "OneCycleLR(opt, 0.8, total_steps=61)",
            "gc.cosine_onecycle_schedule(61, 0.8, inclusive=True)",
            "the rate alone: its cycle of momenta is a schedule of its own, as `momentum=`",
        ),
        row(
            'OneCycleLR(opt, 0.8, total_steps=61, anneal_strategy="linear")',
            "gc.linear_onecycle_schedule(61, 0.8, pct_final=None, inclusive=True)",
            "the same",
        ),
        row(
            "CyclicLR(opt, 0.1, 0.8, step_size_up=4, step_size_down=7)",
            "gc.schedules.cyclic_schedule(0.1, 0.8, 4, 7)",
            "the rate alone",
        ),
        row(
            "SequentialLR(opt, [LinearLR(opt, 0.1, total_iters=10), ExponentialLR(opt, 0.9)],"
            " [10])",
            "gc.linear_schedule(0.03, 0.3, 10).until(10) | gc.exponential_decay(0.3, 1, 0.9)",
            "`|` puts one after another",
        ),
        row(
            "SequentialLR(opt, [LinearLR(opt, 1e-8, total_iters=10), CosineAnnealingLR(opt, 60)],"
            " [10])",
            "gc.linear_schedule(3e-9, 0.3, 10).until(10) | gc.cosine_decay_schedule(0.3, 60)",
            "`gc.warmup_cosine_decay_schedule(0.0, 0.3, 10, 70)` is nearly the same, from 0",
        ),
        row(
            "ChainedScheduler([LinearLR(opt, 0.1, total_iters=10), ExponentialLR(opt, 0.9)], opt)",
            "gc.linear_schedule(0.1, 1.0, 10) * gc.exponential_decay(0.3, 1, 0.9)",
            "a product",
        ),
        Row(
            "schedules",
            "ReduceLROnPlateau(opt, factor=0.5, patience=3, cooldown=2)",
            "gc.chain(gc.sgd(0.3), gc.reduce_on_plateau(0.5, patience=4, cooldown=2))",
            "`patience` is one more; the loss goes in as `update(..., value=loss)` and counts at"
            " once, as if `scheduler.step(loss)` came before `opt.step()`. `min_lr` is"
            " `min_scale`, relative to the rate",
            plateau,
            follow_plateau,
        ),
    ]


def around() -> list[Row]:
    row = lambda theirs, ours, differs="", *more: Row("around", theirs, ours, differs, *more)
    return [
        row(
            "clip_grad_norm_(params, 1.0)",
            "gc.chain(gc.clip_by_global_norm(1.0, eps=1e-6), gc.sgd(0.3))",
            "a member of the chain; torch adds 1e-6 to the norm, 0 is the default here",
            clipped,
            follow_clipped,
        ),
        row(
            "clip_grad_value_(params, 0.2)",
            "gc.chain(gc.clip(0.2), gc.sgd(0.3))",
            "a member of the chain",
            clipped,
            follow_clipped,
        ),
        row(
            "(loss / 4).backward(), opt.step() at every fourth",
            "gc.accumulate(gc.adam(0.05), every=4)",
            "the mean is taken here; `step` is called each time",
            accumulated,
            follow_clipped,
        ),
        row(
            'GradScaler("cpu", growth_interval=4)',
            "gc.dynamic_loss_scale(gc.adam(0.05), growth_interval=4)",
            "the step multiplies the loss with `gc.loss_scale(state)`; the scale"
            " stays between 1 and 2\\*\\*24, torch's has no bounds",
            scaled,
            follow_scaled,
        ),
        row(
            "AveragedModel(model)",
            "gc.average_weights(gc.sgd(0.3))",
            "`gc.eval_params(state, params)` finds the average",
            averaged,
            follow_averaged,
        ),
        row(
            "AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))",
            "gc.average_weights(gc.sgd(0.3), 0.9, start=2, debias=False)",
            "torch begins with the parameters after the first step. Plain"
            " `average_weights(tx, 0.9)` does better: it does not lean to its start",
            averaged,
            follow_averaged,
        ),
        row(
            "opt.state_dict(), after 20 steps of AdamW",
            "(gc.adamw(0.05, weight_decay=0.01), lambda loaded, params: gc.adopt_state("
            "gc.adamw(0.05, weight_decay=0.01), gc.checkpoints.torch_state(loaded, ['bias',"
            " 'kernel'], lambda path, x: x), params)[0])",
            "twenty more steps here end where torch's would; see [checkpoints](checkpoints.md"
            "#from-torch)",
            continued,
            follow_continued,
        ),
    ]


ROWS = [*optimizers(), *groups(), *schedules(), *around()]
assert len({row.theirs for row in ROWS}) == len(ROWS)
