"""Adam and what keeps its name."""

import gradchain as gc
from tests.golden.case import Case


def adamw(params):
    import torch

    return torch.optim.AdamW(params, lr=0.01, weight_decay=0.1)


CASES = [
    Case("adamw", lambda: gc.adamw(0.01, weight_decay=0.1), adamw, "torch 2.13.0, AdamW(lr=0.01, weight_decay=0.1)"),
]
