"""Methods without a learning rate.

``DAdaptAdaGrad`` has no counterpart here: its estimate is another one, of dual averaging.
"""

import gradchain as gc
from tests.golden.case import Case

SINGLE = "it measures the first gradient in float32"


def theirs(name, **options):
    def make(params):
        import pytorch_optimizer

        return getattr(pytorch_optimizer, name)(params, **options)

    return make


def authors(name):
    def make(params):
        import dog  # the package dog-optimizer

        return getattr(dog, name)(params)

    return make


CASES = [
    Case(
        "dadapt_adamw",
        lambda: gc.dadapt_adamw(weight_decay=0.1),
        theirs("DAdaptAdam", weight_decay=0.1, weight_decouple=True, bias_correction=True),
        "pytorch_optimizer 4.1.0, DAdaptAdam(weight_decay=0.1, weight_decouple=True, bias_correction=True)",
    ),
    Case(
        "dadapt_adamw-plain",
        lambda: gc.dadapt_adamw(growth_rate=1.5, bias_correction=False),
        theirs("DAdaptAdam", growth_rate=1.5),
        "pytorch_optimizer 4.1.0, DAdaptAdam(growth_rate=1.5)",
    ),
    Case(
        "dadapt_sgd",
        lambda: gc.dadapt_sgd(),
        theirs("DAdaptSGD"),
        "pytorch_optimizer 4.1.0, DAdaptSGD()",
        tolerance=1e-7,
        why=SINGLE,
    ),
    Case(
        "dadapt_sgd-growth_rate",
        lambda: gc.dadapt_sgd(0.5, 0.0, 1e-3, growth_rate=1.2),
        theirs("DAdaptSGD", lr=0.5, momentum=0.0, d0=1e-3, growth_rate=1.2),
        "pytorch_optimizer 4.1.0, DAdaptSGD(lr=0.5, momentum=0.0, d0=1e-3, growth_rate=1.2)",
        tolerance=1e-7,
        why=SINGLE,
    ),
    Case(
        "prodigy",
        lambda: gc.prodigy(weight_decay=0.1),
        theirs("Prodigy", weight_decay=0.1, bias_correction=True),
        "pytorch_optimizer 4.1.0, Prodigy(weight_decay=0.1, bias_correction=True)",
    ),
    Case(
        "prodigy-plain",
        lambda: gc.prodigy(0.5, (0.8, 0.95), 0.9, 1e-6, 1e-2, 1.5, safeguard_warmup=True, bias_correction=False),
        theirs("Prodigy", lr=0.5, betas=(0.8, 0.95), beta3=0.9, eps=1e-6, d0=1e-2, d_coef=1.5, safeguard_warmup=True),
        "pytorch_optimizer 4.1.0, Prodigy(lr=0.5, betas=(0.8, 0.95), beta3=0.9, eps=1e-6, d0=1e-2, d_coef=1.5,"
        " safeguard_warmup=True)",
    ),
    Case("dog", lambda: gc.dog(), authors("DoG"), "dog-optimizer 1.0.3, DoG()"),
    Case("dog-layer_wise", lambda: gc.dog(layer_wise=True), authors("LDoG"), "dog-optimizer 1.0.3, LDoG()"),
]
