"""What is compared: the same optimizer as gradchain, optax and torch spell it. A new optimizer is
one more entry.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import optax

import gradchain as gc

APPLY = {"gradchain": gc.apply_updates, "optax": optax.apply_updates}
ACCUMULATE = {"gradchain": gc.accumulate, "optax": optax.MultiSteps}
HAS_TORCH = importlib.util.find_spec("torch") is not None


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One optimizer; a library that lacks it is left out of the table.

    Attributes:
        gradchain: makes ours from a learning rate.
        optax: makes optax's.
        torch: the name of the class in ``torch.optim``, and its arguments beside the learning rate.
        torch_modes: the implementations of it to time, ``fused`` and ``foreach`` say.
    """

    gradchain: Callable[[float], Any]
    optax: Callable[[float], Any] | None = None
    torch: tuple[str, dict[str, Any]] | None = None
    torch_modes: tuple[str, ...] = ("fused", "foreach")

    def libraries(self) -> dict[str, Callable[[float], Any]]:
        """The JAX libraries that have it."""
        makers = {"gradchain": self.gradchain, "optax": self.optax}
        return {name: make for name, make in makers.items() if make is not None}


OPTIMIZERS = {
    "adamw": Optimizer(
        gradchain=lambda lr: gc.adamw(lr, weight_decay=0.01),
        optax=lambda lr: optax.adamw(lr, weight_decay=0.01),
        torch=("AdamW", dict(weight_decay=0.01)),
    ),
}


def step_function(library: str, tx: Any) -> Callable:
    """A new function ``(grads, state, params) -> (params, state)``: update and apply."""

    def step(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        updates, state = tx.update(grads, state, params)
        return APPLY[library](params, updates), state

    return step


def torch_step(
    optimizer: Optimizer, mode: str, lr: float, grads: Any, params: Any
) -> Callable[[], None]:
    """A function that makes one step of torch's optimizer, in place, with the gradients already
    set.
    """
    import torch

    assert optimizer.torch is not None
    name, arguments = optimizer.torch
    tensors = [torch.from_numpy(p.copy()).requires_grad_() for p in jax.tree.leaves(params)]
    for tensor, grad in zip(tensors, jax.tree.leaves(grads), strict=True):
        tensor.grad = torch.from_numpy(grad)
    return getattr(torch.optim, name)(tensors, lr=lr, **arguments, **{mode: True}).step
