"""What divides by the Hessian's diagonal.

To the gradient of a step, which does not depend on the parameters, comes that of a sum over all
parameters: its Hessian is diagonal, so that any vector of random signs gives its diagonal exactly,
and both implementations the same.
"""

import jax
import jax.numpy as jnp

import gradchain as gc
from tests.golden.case import Case


def bowl(params):
    return sum(jnp.sum(jnp.sqrt(1 + x**2)) for x in jax.tree.leaves(params))


@gc.transform
def on_a_bowl(inner: gc.GradientTransformation):
    """``inner`` with the gradients and the Hessian of the bowl beside what it is given."""

    def rule(g, s, p, inner):
        grads = gc.tree.map_leaves(jnp.add, g, jax.grad(bowl)(p))
        u, new = inner(grads, s["inner"], p, value_fn=bowl)
        return u, {"inner": new}

    return gc.around(rule, inner=inner)


class OnABowl:
    """The same for an optimizer that differentiates the gradient itself."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self):
        import torch

        params = self.optimizer.param_groups[0]["params"]
        given = [p.grad for p in params]
        loss = sum((1 + p**2).sqrt().sum() for p in params)
        slopes = torch.autograd.grad(loss, params, create_graph=True)
        for p, g, slope in zip(params, given, slopes, strict=True):
            p.grad = g + slope
        self.optimizer.step()


def sophia(params):
    from pytorch_optimizer import SophiaH

    own = {
        "betas": (0.96, 0.5),
        "p": 2.0,
        "weight_decay": 0.1,
        "hessian_distribution": "rademacher",
    }
    return OnABowl(SophiaH(params, lr=0.05, **own))


def adahessian(params):
    from pytorch_optimizer import AdaHessian

    return OnABowl(AdaHessian(params, lr=0.1, weight_decay=0.1, hessian_power=0.8, eps=1e-4))


CASES = [
    # it clips at p where ours clips at 1: the rate is lr * p, and eps and the decay are scaled with
    # it
    Case(
        "sophia",
        lambda: on_a_bowl(gc.sophia(0.1, b2=0.5, eps=2e-12, weight_decay=0.05, gamma=2.0)),
        sophia,
        "pytorch_optimizer 4.1.0, SophiaH(lr=0.05, betas=(0.96, 0.5), p=2.0, weight_decay=0.1,"
        " hessian_distribution='rademacher')",
    ),
    Case(
        "adahessian",
        lambda: on_a_bowl(gc.adahessian(0.1, weight_decay=0.1, hessian_power=0.8)),
        adahessian,
        (
            "pytorch_optimizer 4.1.0, AdaHessian(lr=0.1, weight_decay=0.1, hessian_power=0.8, "
            "eps=0.0001)"
        ),
    ),
]
