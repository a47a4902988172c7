"""Adam's further relatives in pytorch_optimizer."""

from functools import partial

import gradchain as gc
from tests.golden.case import Case, made_and_told

ORIGIN = "pytorch_optimizer 4.1.0, "
theirs = partial(made_and_told, "pytorch_optimizer", ORIGIN)


def adopt_from_one(params):
    """The bound of their step t is that of the paper's step t - 1."""
    import pytorch_optimizer

    return pytorch_optimizer.ADOPT(
        params, lr=0.01, betas=(0.9, 0.99), clip_lambda=lambda step: (step - 1) ** 0.25
    )


def adamc_with_falling_rate(params):
    import pytorch_optimizer
    import torch

    group = {"params": params, "normalized": True}
    optimizer = pytorch_optimizer.AdamC([group], lr=0.01, weight_decay=0.1, eps=1e-15)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=50)
    optimizer.register_step_post_hook(lambda *_: rate.step())
    return optimizer


# Their SimplifiedAdEMAMix averages where the paper sums, and corrects the second moment by its
# square root too little, at each step another number: as rates both can be taken back.
def uncorrected(step):
    return 0.01 * (1 - 0.95) / (1 - 0.9 ** (step.astype(float) + 1))


CASES = [
    Case("adabelief", lambda: gc.adabelief(0.01), *theirs("AdaBelief", lr=0.01)),
    Case(
        "adabelief-eps",
        lambda: gc.adabelief(0.01, eps=1e-3, eps_root=1e-3),
        *theirs("AdaBelief", lr=0.01, eps=1e-3),
    ),
    Case("yogi", lambda: gc.yogi(0.01), *theirs("Yogi", lr=0.01)),
    # They add 1e-15 to each second moment under its root.
    Case(
        "adabound",
        lambda: gc.adabound(0.01, final_scale=10.0),
        *theirs("AdaBound", lr=0.01, final_lr=0.1),
    ),
    Case(
        "adabound-amsbound",
        lambda: gc.adabound(0.01, 0.9, 0.9, 1e-3, final_scale=1.0, gamma=0.1, amsbound=True),
        *theirs(
            "AdaBound",
            lr=0.01,
            final_lr=0.01,
            betas=(0.9, 0.9),
            gamma=0.1,
            ams_bound=True,
            eps=1e-3,
        ),
    ),
    Case(
        "padam",
        lambda: gc.padam(0.01, partial=0.25, amsgrad=False),
        *theirs("PAdam", lr=0.01, partial=0.25),
    ),
    Case("laprop", lambda: gc.laprop(0.01), *theirs("LaProp", lr=0.01)),
    Case("adan", lambda: gc.adan(0.01), *theirs("Adan", lr=0.01)),
    Case(
        "adan-weight_decay",
        lambda: gc.adan(0.01, weight_decay=0.1),
        *theirs("Adan", lr=0.01, weight_decay=0.1, weight_decouple=True),
    ),
    Case(
        "adopt",
        lambda: gc.adopt(0.01, b2=0.99),
        adopt_from_one,
        ORIGIN + "ADOPT(lr=0.01, betas=(0.9, 0.99), clip_lambda=lambda step: (step - 1) ** 0.25)",
    ),
    Case(
        "ademamix",
        lambda: gc.ademamix(0.01, weight_decay=0.1),
        *theirs("AdEMAMix", lr=0.01, weight_decay=0.1, weight_decouple=True),
    ),
    Case(
        "simplified_ademamix",
        lambda: gc.simplified_ademamix(uncorrected, b1=0.95, b2=0.9, alpha=2.0 / (1 - 0.95)),
        *theirs(
            "SimplifiedAdEMAMix",
            lr=0.01,
            betas=(0.95, 0.9),
            alpha=2.0,
            beta1_warmup=None,
            foreach=False,
        ),
    ),
    # They correct eps with the second moment, and add 1e-15 to that.
    Case(
        "adamc",
        lambda: gc.adamc(gc.linear_schedule(0.01, 0.001, 50), 0.01, eps=1e-15, weight_decay=0.1),
        adamc_with_falling_rate,
        ORIGIN
        + (
            "AdamC(lr=0.01, weight_decay=0.1, eps=1e-15), normalized, with LinearLR(1.0, 0.1, "
            "total_iters=50)"
        ),
    ),
    Case("madgrad", lambda: gc.madgrad(0.01), *theirs("MADGRAD", lr=0.01)),
    Case(
        "madgrad-weight_decay",
        lambda: gc.madgrad(0.01, 0.5, 0.1),
        *theirs("MADGRAD", lr=0.01, momentum=0.5, weight_decay=0.1),
    ),
    Case(
        "diffgrad", lambda: gc.diffgrad(0.01, eps=1e-15), *theirs("DiffGrad", lr=0.01, eps=1e-15)
    ),
]
