"""Recipes by signs, and with a rate for each leaf."""

from functools import partial

import gradchain as gc
from tests.golden.case import Case, made_by

PACKAGE = "pytorch_optimizer 4.1.0"


theirs = partial(made_by, "pytorch_optimizer")


# Theirs divides the decay of SGDP by 1 - momentum, and adds the eps of AdamP before the bias
# correction.
CASES = [
    Case(
        "lion",
        lambda: gc.lion(0.01, 0.9, 0.99, weight_decay=0.1),
        theirs("Lion", lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
        f"{PACKAGE}, Lion(lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)",
    ),
    Case(
        "tiger",
        lambda: gc.tiger(0.01, weight_decay=0.1),
        theirs("Tiger", lr=0.01, weight_decay=0.1),
        f"{PACKAGE}, Tiger(lr=0.01, weight_decay=0.1)",
    ),
    Case(
        "lars",
        lambda: gc.lars(0.5, where=gc.ndim_at_least(2)),
        theirs("LARS", lr=0.5),
        f"{PACKAGE}, LARS(lr=0.5)",
    ),
    Case(
        "novograd",
        lambda: gc.novograd(0.01, 0.95, 0.98, 1e-8, weight_decay=0.1),
        theirs("NovoGrad", lr=0.01, weight_decay=0.1),
        f"{PACKAGE}, NovoGrad(lr=0.01, weight_decay=0.1)",
    ),
    Case(
        "fromage",
        lambda: gc.fromage(0.01, min_norm=0.0),
        theirs("Fromage", lr=0.01),
        f"{PACKAGE}, Fromage(lr=0.01)",
    ),
    Case(
        "sgdp",
        lambda: gc.sgdp(0.01, weight_decay=1.0, nesterov=True, channel_axis=0),
        theirs("SGDP", lr=0.01, momentum=0.9, weight_decay=0.1, nesterov=True),
        f"{PACKAGE}, SGDP(lr=0.01, momentum=0.9, weight_decay=0.1, nesterov=True)",
    ),
    Case(
        "sgdp-scale_invariant",
        lambda: gc.sgdp(0.01, weight_decay=1.0, delta=1.5, channel_axis=0),
        theirs("SGDP", lr=0.01, momentum=0.9, weight_decay=0.1, delta=1.5),
        f"{PACKAGE}, SGDP(lr=0.01, momentum=0.9, weight_decay=0.1, delta=1.5)",
    ),
    Case(
        "adamp",
        lambda: gc.adamp(0.01, eps=1e-12, weight_decay=0.1, delta=1.5, channel_axis=0),
        theirs("AdamP", lr=0.01, weight_decay=0.1, delta=1.5, eps=1e-12),
        f"{PACKAGE}, AdamP(lr=0.01, weight_decay=0.1, delta=1.5, eps=1e-12)",
    ),
]
