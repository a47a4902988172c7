"""Methods without a learning rate.

The distances at the start are large: from 1e-6, fifty steps would hardly move. ``DAdaptSGD``
measures the first gradient in float32, which is 5e-9 here. ``DAdaptAdaGrad`` has no counterpart:
its estimate is another one, of dual averaging.
"""

from functools import partial

import gradchain as gc
from tests.golden.case import Case, made_by

theirs = partial(made_by, "pytorch_optimizer")


def authors(name):
    def make(params):
        import dog  # the package dog-optimizer

        return getattr(dog, name)(params, reps_rel=0.01)

    return make


CASES = [
    Case(
        "dadapt_adamw",
        lambda: gc.dadapt_adamw(estim_lr0=0.01, weight_decay=0.1),
        theirs(
            "DAdaptAdam", d0=0.01, weight_decay=0.1, weight_decouple=True, bias_correction=True
        ),
        (
            "pytorch_optimizer 4.1.0, DAdaptAdam(d0=0.01, weight_decay=0.1, weight_decouple=True, "
            "bias_correction=True)"
        ),
    ),
    Case(
        "dadapt_adamw-plain",
        lambda: gc.dadapt_adamw(estim_lr0=1e-3, growth_rate=1.02, bias_correction=False),
        theirs("DAdaptAdam", d0=1e-3, growth_rate=1.02),
        "pytorch_optimizer 4.1.0, DAdaptAdam(d0=1e-3, growth_rate=1.02)",
    ),
    Case(
        "dadapt_sgd",
        lambda: gc.dadapt_sgd(estim_lr0=0.1),
        theirs("DAdaptSGD", d0=0.1),
        "pytorch_optimizer 4.1.0, DAdaptSGD(d0=0.1)",
    ),
    Case(
        "dadapt_sgd-growth_rate",
        lambda: gc.dadapt_sgd(0.5, 0.0, 0.1, growth_rate=1.02),
        theirs("DAdaptSGD", lr=0.5, momentum=0.0, d0=0.1, growth_rate=1.02),
        "pytorch_optimizer 4.1.0, DAdaptSGD(lr=0.5, momentum=0.0, d0=0.1, growth_rate=1.02)",
    ),
    Case(
        "prodigy",
        lambda: gc.prodigy(estim_lr0=0.01, weight_decay=0.1),
        theirs("Prodigy", d0=0.01, weight_decay=0.1, bias_correction=True),
        "pytorch_optimizer 4.1.0, Prodigy(d0=0.01, weight_decay=0.1, bias_correction=True)",
    ),
    Case(
        "prodigy-plain",
        lambda: gc.prodigy(
            0.5, (0.8, 0.95), 0.9, 1e-6, 1e-2, 20.0, safeguard_warmup=True, bias_correction=False
        ),
        theirs(
            "Prodigy",
            lr=0.5,
            betas=(0.8, 0.95),
            beta3=0.9,
            eps=1e-6,
            d0=1e-2,
            d_coef=20.0,
            safeguard_warmup=True,
        ),
        "pytorch_optimizer 4.1.0, Prodigy(lr=0.5, betas=(0.8, 0.95), beta3=0.9, eps=1e-6, "
        "d0=1e-2, d_coef=20.0,"
        " safeguard_warmup=True)",
    ),
    Case(
        "dog",
        lambda: gc.dog(init_step=("heuristic", 0.01)),
        authors("DoG"),
        "dog-optimizer 1.0.3, DoG(reps_rel=0.01)",
    ),
    Case(
        "dog-layer_wise",
        lambda: gc.dog(init_step=("heuristic", 0.01), layer_wise=True),
        authors("LDoG"),
        "dog-optimizer 1.0.3, LDoG(reps_rel=0.01)",
    ),
]
