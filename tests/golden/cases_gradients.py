"""What is done to gradients, and decay that stands alone, before plain descent or after Lion."""

import gradchain as gc
from tests.golden.case import Case


def before_sgd(change):
    """Torch's SGD, which calls ``change(params)`` before each step."""

    def make(params):
        import torch

        optimizer = torch.optim.SGD(params, lr=0.1)
        optimizer.register_step_pre_hook(lambda *_: change(params))
        return optimizer

    return make


def clip(params):
    import torch

    torch.nn.utils.clip_grad_norm_(params, 3.0)


def centralize(params):
    from pytorch_optimizer.optimizer.gradient_centralization import centralize_gradient

    for p in params:
        centralize_gradient(p.grad)


def agc(params):
    from pytorch_optimizer.optimizer.agc import agc

    for p in params:
        p.grad = agc(p.detach(), p.grad, agc_clip_val=0.3)


def orthograd(params):
    import torch
    from pytorch_optimizer import OrthoGrad

    return OrthoGrad(torch.optim.SGD(params, lr=0.1))


def fixed_decay(params):
    from pytorch_optimizer import Lion

    return Lion(params, lr=0.01, weight_decay=0.02, weight_decouple=True, fixed_decay=True)


CASES = [
    Case(
        "clip_by_global_norm",
        lambda: gc.chain(gc.clip_by_global_norm(3.0, 1e-6), gc.sgd(0.1)),
        before_sgd(clip),
        "torch 2.13.0, clip_grad_norm_(3.0) before SGD(lr=0.1)",
    ),
    Case(
        "centralize",
        lambda: gc.chain(gc.centralize(), gc.sgd(0.1)),
        before_sgd(centralize),
        "pytorch_optimizer 4.1.0, centralize_gradient before torch's SGD(lr=0.1)",
    ),
    Case(  # a unit there is a row: torch's layers have their outputs first
        "adaptive_grad_clip",
        lambda: gc.chain(gc.adaptive_grad_clip(0.3, axis=-1), gc.sgd(0.1)),
        before_sgd(agc),
        "pytorch_optimizer 4.1.0, agc(agc_clip_val=0.3) before torch's SGD(lr=0.1)",
    ),
    Case(
        "orthogonal_to_weights",
        lambda: gc.chain(gc.orthogonal_to_weights(), gc.sgd(0.1)),
        orthograd,
        "pytorch_optimizer 4.1.0, OrthoGrad(torch's SGD(lr=0.1))",
    ),
    Case(
        "add_independent_weight_decay",
        lambda: gc.chain(gc.lion(0.01, weight_decay=0.0), gc.add_independent_weight_decay(0.02)),
        fixed_decay,
        (
            "pytorch_optimizer 4.1.0, Lion(lr=0.01, weight_decay=0.02, weight_decouple=True, "
            "fixed_decay=True)"
        ),
    ),
]
