"""Gradient descent, its momenta and its step lengths."""

import gradchain as gc
from tests.golden.case import Case


def torch_sgd(**options):
    def make(params):
        import torch

        return torch.optim.SGD(params, lr=0.01, momentum=0.9, **options)

    return make


def asgd(params):
    import torch

    return torch.optim.ASGD(params, lr=0.1, lambd=0.01, alpha=0.75, t0=1e6)


def rprop(params):
    import torch

    return torch.optim.Rprop(params, lr=0.01, etas=(0.5, 1.2), step_sizes=(1e-3, 0.1))


def aggmo(params):
    from pytorch_optimizer import AggMo

    return AggMo(params, lr=0.01, betas=(0.0, 0.9, 0.99))


def qhm(params):
    from pytorch_optimizer import QHM

    return QHM(params, lr=0.1, momentum=0.999, nu=0.7)


CASES = [
    Case(
        "sgd", lambda: gc.sgd(0.01, 0.9), torch_sgd(), "torch 2.13.0, SGD(lr=0.01, momentum=0.9)"
    ),
    Case(
        "sgd-nesterov",
        lambda: gc.chain(gc.add_decayed_weights(0.1), gc.sgd(0.01, 0.9, nesterov=True)),
        torch_sgd(nesterov=True, weight_decay=0.1),
        "torch 2.13.0, SGD(lr=0.01, momentum=0.9, nesterov=True, weight_decay=0.1)",
    ),
    Case(
        "sgd-dampening",
        lambda: gc.sgd(0.01, 0.9, dampening=0.3),
        torch_sgd(dampening=0.3),
        "torch 2.13.0, SGD(lr=0.01, momentum=0.9, dampening=0.3)",
    ),
    Case(
        "asgd",
        lambda: gc.asgd(0.1, 0.01, 0.75, 1e6),
        asgd,
        "torch 2.13.0, ASGD(lr=0.1, lambd=0.01, alpha=0.75, t0=1e6)",
    ),
    Case(
        "rprop",
        lambda: gc.rprop(0.01, 0.5, 1.2, 1e-3, 0.1),
        rprop,
        "torch 2.13.0, Rprop(lr=0.01, etas=(0.5, 1.2), step_sizes=(1e-3, 0.1))",
    ),
    Case(
        "aggmo",
        lambda: gc.aggmo(0.01),
        aggmo,
        "pytorch_optimizer 4.1.0, AggMo(lr=0.01, betas=(0.0, 0.9, 0.99))",
    ),
    Case(
        "qhm",
        lambda: gc.qhm(0.1),
        qhm,
        "pytorch_optimizer 4.1.0, QHM(lr=0.1, momentum=0.999, nu=0.7)",
    ),
]
