"""What keeps less than one second moment for each weight.

Left out, because the definitions differ:

- APOLLO scales the projected gradient and projects it back, where the paper scales the gradient
  itself; its projection is random.
- GaLore finds its basis in float32, and again at each multiple of the gap instead of one step
  later.
"""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp

import gradchain as gc
from tests.golden.case import Case


def adafactor(params):
    from pytorch_optimizer import AdaFactor

    return AdaFactor(params, lr=0.05, betas=(None, 0.9), relative_step=False)


def adafactor_momentum(params):
    import torch
    from pytorch_optimizer import AdaFactor

    return AdaFactor(
        params, lr=0.05, betas=(0.9, 0.999), relative_step=False, momentum_dtype=torch.float64
    )


def adafactor_torch(params):
    import torch

    return torch.optim.Adafactor(params, lr=0.2, weight_decay=0.1)


def torch_rate(step):
    return jnp.minimum(0.2, (step.astype(float) + 1.0) ** -0.5)


def came(params):
    from pytorch_optimizer import CAME

    return CAME(params, lr=0.01, weight_decay=0.1)


def sm3(params):
    from pytorch_optimizer import SM3

    return SM3(params, lr=0.1, momentum=0.9)


def amos(params):
    from pytorch_optimizer import Amos

    return Amos(params, lr=0.1, momentum=0.9)


def size_of_amos(shape):
    """Kernels of torch are (outputs, inputs)."""
    return 0.5 if len(shape) < 2 else (2 / shape[1]) ** 0.5


def adam_mini(params):
    from pytorch_optimizer import AdamMini

    model: Any = SimpleNamespace(
        named_parameters=lambda: [("bias", params[0]), ("kernel", params[1])]
    )
    return AdamMini(model, lr=0.01, weight_decay=0.1)


def sparse_adam(params):
    import torch

    return _Sparse(torch.optim.SparseAdam(params, lr=0.01, eps=1e-30))


class _Sparse:
    """Gradients of which some rows of the kernel are missing."""

    def __init__(self, optimizer):
        self.optimizer, self.t = optimizer, 0

    def step(self):
        import torch

        self.t += 1
        for p in self.optimizer.param_groups[0]["params"]:
            rows = torch.arange(len(p))
            rows = rows if p.ndim < 2 else rows[(rows + self.t) % 3 != 0]
            p.grad = torch.sparse_coo_tensor(rows[None], p.grad[rows], p.shape)
        self.optimizer.step()


@gc.transform
def without_some_rows():
    """The same for ours."""

    def rule(g, t):
        is_there = (jnp.arange(len(g), dtype=t.dtype) + t) % 3 != 0
        return g if g.ndim < 2 else jnp.where(is_there[:, None], g, jnp.zeros_like(g))

    return gc.leafwise(rule)


CASES = [
    Case(
        "adafactor",
        lambda: gc.adafactor(0.05, 1, max_decay=0.9),
        adafactor,
        "pytorch_optimizer 4.1.0, AdaFactor(lr=0.05, betas=(None, 0.9), relative_step=False)",
    ),
    Case(
        "adafactor-momentum",
        lambda: gc.adafactor(0.05, 1, momentum=0.9),
        adafactor_momentum,
        "pytorch_optimizer 4.1.0, AdaFactor(lr=0.05, relative_step=False, momentum_dtype=float64)",
    ),
    Case(
        "adafactor-torch",
        lambda: gc.adafactor(
            torch_rate, 1, weight_decay_rate=0.2 * 0.1, eps=2.0**-104, dims="last", add_eps=False
        ),
        adafactor_torch,
        "torch 2.13.0, Adafactor(lr=0.2, weight_decay=0.1)",
    ),
    Case(
        "came",
        lambda: gc.came(0.01, weight_decay=0.1),
        came,
        "pytorch_optimizer 4.1.0, CAME(lr=0.01, weight_decay=0.1)",
    ),
    Case(
        "scale_by_sm3",
        lambda: gc.chain(gc.scale_by_sm3(0.9, eps=1e-30), gc.scale_by_learning_rate(0.1)),
        sm3,
        "pytorch_optimizer 4.1.0, SM3(lr=0.1, momentum=0.9)",
    ),
    Case(
        "amos",
        lambda: gc.amos(0.1, momentum=0.9, expected_size=size_of_amos),
        amos,
        "pytorch_optimizer 4.1.0, Amos(lr=0.1, momentum=0.9)",
    ),
    Case(
        "adam_mini",
        lambda: gc.adam_mini(0.01, weight_decay=0.1, block="leaf"),
        adam_mini,
        "pytorch_optimizer 4.1.0, AdamMini(model, lr=0.01, weight_decay=0.1)",
        tolerance=1e-6,
        why="it computes in float32 whatever the parameters are",
    ),
    Case(
        "lazy_adam",
        lambda: gc.chain(without_some_rows(), gc.lazy_adam(0.01, eps=1e-30)),
        sparse_adam,
        (
            "torch 2.13.0, SparseAdam(lr=0.01, eps=1e-30), of which every third row of the kernel "
            "is missing in turn"
        ),
    ),
]
