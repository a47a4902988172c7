"""Adam and its variants in PyTorch."""

from functools import partial

import gradchain as gc
from tests.golden.case import Case, made_and_told

TORCH = "torch 2.13.0, "
theirs = partial(made_and_told, "torch.optim", TORCH)


CASES = [
    Case("adam", lambda: gc.adam(0.01, eps=1e-3), *theirs("Adam", lr=0.01, eps=1e-3)),
    Case(
        "adamw",
        lambda: gc.adamw(0.01, weight_decay=0.1),
        *theirs("AdamW", lr=0.01, weight_decay=0.1),
    ),
    Case(
        "amsgrad",
        lambda: gc.amsgrad(0.01, b2=0.9, max_first=True),
        *theirs("Adam", lr=0.01, betas=(0.9, 0.9), amsgrad=True),
    ),
    Case("adamax", lambda: gc.adamax(0.01, eps=1e-3), *theirs("Adamax", lr=0.01, eps=1e-3)),
    Case("nadam", lambda: gc.nadam(0.01, momentum_decay=0.004), *theirs("NAdam", lr=0.01)),
    Case(
        "nadamw",
        lambda: gc.nadamw(0.01, weight_decay=0.1, momentum_decay=0.004),
        *theirs("NAdam", lr=0.01, weight_decay=0.1, decoupled_weight_decay=True),
    ),
    Case(
        "radam",
        lambda: gc.radam(0.01, eps=1e-3, debias_eps=True),
        *theirs("RAdam", lr=0.01, eps=1e-3),
    ),
]
