"""Wrappers around Adam, Lion and plain descent."""

from functools import partial

import gradchain as gc
from tests.golden.case import Case, made_by

TINY = 1e-30  # theirs add eps to another form of the denominator; it is to be of no account


theirs = partial(made_by, "pytorch_optimizer")


def lookahead(make):
    def wrap(params):
        import pytorch_optimizer

        return pytorch_optimizer.Lookahead(make(params), k=4, alpha=0.6)

    return wrap


def adamw(params):
    import torch

    return torch.optim.AdamW(params, lr=0.01, weight_decay=0.1)


def sgd(params):
    import torch

    return torch.optim.SGD(params, lr=0.01, momentum=0.9)


def after(direction, weight_decay=0.1):
    return gc.chain(
        direction, gc.add_decayed_weights(weight_decay), gc.scale_by_learning_rate(0.01)
    )


PEER = "pytorch_optimizer 4.1.0"
MARS = dict(lr=0.01, betas=(0.9, 0.99), gamma=0.1, optimize_1d=True, weight_decay=0.1, eps=TINY)

CASES = [
    Case(
        "mars",
        lambda: after(gc.mars(gc.scale_by_adam(0.9, 0.99, TINY), 0.1, 0.9)),
        theirs("MARS", **MARS),
        (
            f"{PEER}, MARS(lr=0.01, betas=(0.9, 0.99), gamma=0.1, optimize_1d=True, "
            f"weight_decay=0.1, eps=1e-30)"
        ),
    ),
    # Theirs masks the first moment of the corrected gradient by the raw gradient: cautious around
    # mars.
    Case(
        "cautious-mars",
        lambda: after(gc.cautious(gc.mars(gc.scale_by_adam(0.9, 0.99, TINY), 0.1, 0.9))),
        theirs("MARS", cautious=True, **MARS),
        f"{PEER}, MARS(lr=0.01, betas=(0.9, 0.99), gamma=0.1, optimize_1d=True, "
        f"weight_decay=0.1, eps=1e-30,"
        " cautious=True)",
    ),
    Case(
        "cautious-lion",
        lambda: after(gc.cautious(gc.scale_by_lion())),
        theirs("Lion", lr=0.01, weight_decay=0.1, cautious=True),
        f"{PEER}, Lion(lr=0.01, weight_decay=0.1, cautious=True)",
    ),
    Case(
        "grams",
        lambda: after(gc.grams(gc.scale_by_adam())),
        theirs("Grams", lr=0.01, weight_decay=0.1, eps=1e-8),
        f"{PEER}, Grams(lr=0.01, weight_decay=0.1, eps=1e-8)",
    ),
    Case(
        "grokfast",
        lambda: after(gc.grokfast(gc.scale_by_adam(0.9, 0.99, TINY), 0.9, 2.0)),
        theirs(
            "GrokFastAdamW",
            lr=0.01,
            weight_decay=0.1,
            grokfast_alpha=0.9,
            normalize_lr=False,
            eps=TINY,
        ),
        (
            f"{PEER}, GrokFastAdamW(lr=0.01, weight_decay=0.1, grokfast_alpha=0.9, "
            f"normalize_lr=False, eps=1e-30)"
        ),
    ),
    Case(
        "lookahead",
        lambda: gc.lookahead(gc.sgd(0.01, 0.9), 4, 0.6),
        lookahead(sgd),
        f"{PEER}, Lookahead(torch.optim.SGD(lr=0.01, momentum=0.9), k=4, alpha=0.6)",
    ),
    Case(
        "lookahead-adamw",
        lambda: gc.lookahead(gc.adamw(0.01, weight_decay=0.1), 4, 0.6),
        lookahead(adamw),
        f"{PEER}, Lookahead(torch.optim.AdamW(lr=0.01, weight_decay=0.1), k=4, alpha=0.6)",
    ),
    Case(
        "schedule_free_sgd",
        lambda: gc.schedule_free_sgd(0.1, 5, 0.8, 0.1, weight_step_power=0.5),
        theirs("ScheduleFreeSGD", lr=0.1, momentum=0.8, weight_decay=0.1, r=0.5, warmup_steps=5),
        f"{PEER}, ScheduleFreeSGD(lr=0.1, momentum=0.8, weight_decay=0.1, r=0.5, warmup_steps=5)",
    ),
    Case(
        "schedule_free_adamw",
        lambda: gc.schedule_free_adamw(0.1, 5, weight_decay=0.1),
        theirs("ScheduleFreeAdamW", lr=0.1, weight_decay=0.1, warmup_steps=5),
        f"{PEER}, ScheduleFreeAdamW(lr=0.1, weight_decay=0.1, warmup_steps=5)",
    ),
]
