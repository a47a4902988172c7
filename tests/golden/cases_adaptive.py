"""What has a rate for each parameter."""

import gradchain as gc
from tests.golden.case import Case


def adagrad(params):
    import torch

    return torch.optim.Adagrad(params, lr=0.1, initial_accumulator_value=0.1, eps=1e-3)


def adadelta(params):
    import torch

    return torch.optim.Adadelta(params, lr=0.5, rho=0.9, eps=1e-4, weight_decay=0.1)


def torch_rmsprop(**options):
    def make(params):
        import torch

        return torch.optim.RMSprop(params, lr=0.01, alpha=0.95, eps=1e-3, **options)

    return make


def qhadam(params):
    from pytorch_optimizer import QHAdam

    return QHAdam(params, lr=0.01, betas=(0.995, 0.999), nus=(0.7, 0.9), eps=1e-8)


def ftrl(params):
    from pytorch_optimizer import FTRL

    return FTRL(params, lr=0.5, lr_power=-0.5, beta=1.0, lambda_1=0.5, lambda_2=0.1)


CASES = [
    Case(
        "adagrad",
        lambda: gc.adagrad(0.1, 0.1, 1e-3, eps_in_sqrt=False),
        adagrad,
        "torch 2.13.0, Adagrad(lr=0.1, initial_accumulator_value=0.1, eps=1e-3)",
    ),
    Case(
        "adadelta",
        lambda: gc.adadelta(0.5, 0.9, 1e-4, 0.1),
        adadelta,
        "torch 2.13.0, Adadelta(lr=0.5, rho=0.9, eps=1e-4, weight_decay=0.1)",
    ),
    Case(
        "rmsprop",
        lambda: gc.rmsprop(0.01, 0.95, 1e-3, eps_in_sqrt=False),
        torch_rmsprop(),
        "torch 2.13.0, RMSprop(lr=0.01, alpha=0.95, eps=1e-3)",
    ),
    Case(
        "rmsprop-momentum",
        lambda: gc.rmsprop(0.01, 0.95, 1e-3, eps_in_sqrt=False, momentum=0.9),
        torch_rmsprop(momentum=0.9),
        "torch 2.13.0, RMSprop(lr=0.01, alpha=0.95, eps=1e-3, momentum=0.9)",
    ),
    Case(
        "rmsprop-centered",
        lambda: gc.rmsprop(0.01, 0.95, 1e-3, eps_in_sqrt=False, centered=True, momentum=0.9),
        torch_rmsprop(centered=True, momentum=0.9),
        "torch 2.13.0, RMSprop(lr=0.01, alpha=0.95, eps=1e-3, centered=True, momentum=0.9)",
    ),
    Case(
        "qhadam",
        lambda: gc.qhadam(0.01, 0.995, 0.999, 0.7, 0.9),
        qhadam,
        "pytorch_optimizer 4.1.0, QHAdam(lr=0.01, betas=(0.995, 0.999), nus=(0.7, 0.9), eps=1e-8)",
        tolerance=1e-7,
        why="theirs keeps the weights of its averages in float32",
    ),
    Case(
        "ftrl",
        lambda: gc.ftrl(0.5, -0.5, 0.0, 0.5, 0.1, 1.0),
        ftrl,
        (
            "pytorch_optimizer 4.1.0, FTRL(lr=0.5, lr_power=-0.5, beta=1.0, lambda_1=0.5, "
            "lambda_2=0.1)"
        ),
    ),
]
