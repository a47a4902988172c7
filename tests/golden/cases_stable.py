"""Adam guarded against sudden large gradients."""

import gradchain as gc
from tests.golden.case import Case


def stable_adamw(params):
    from pytorch_optimizer import StableAdamW

    return StableAdamW(params, lr=0.01, weight_decay=0.1)


def spam(params):
    from pytorch_optimizer import SPAM

    # Its eps is not bias-corrected with the second moment.
    return SPAM(
        params,
        lr=0.01,
        eps=1e-30,
        threshold=4,
        grad_accu_steps=4,
        warmup_epoch=5,
        update_proj_gap=20,
    )


def stable_spam(params):
    from pytorch_optimizer import StableSPAM

    return StableSPAM(
        params, lr=0.01, weight_decay=0.1, theta=0.9, update_proj_gap=20, t_max=None
    )


CASES = [
    Case(
        "stable_adamw",
        lambda: gc.stable_adamw(0.01, weight_decay=0.1),
        stable_adamw,
        "pytorch_optimizer 4.1.0, StableAdamW(lr=0.01, weight_decay=0.1)",
    ),
    Case(
        "spam",
        lambda: gc.spam(
            0.01, eps=1e-30, threshold=4.0, reset_every=20, warmup_steps=5, clip_after=4
        ),
        spam,
        "pytorch_optimizer 4.1.0, SPAM(lr=0.01, eps=1e-30, threshold=4, grad_accu_steps=4, "
        "warmup_epoch=5,"
        " update_proj_gap=20)",
    ),
    Case(
        "stable_spam",
        lambda: gc.stable_spam(0.01, weight_decay=0.1, theta=0.9, reset_every=20),
        stable_spam,
        (
            "pytorch_optimizer 4.1.0, StableSPAM(lr=0.01, weight_decay=0.1, theta=0.9, "
            "update_proj_gap=20, t_max=None)"
        ),
    ),
]
