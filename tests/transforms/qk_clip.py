"""Twins from the papers, and rows, of ``gradchain.transforms.qk_clip``."""

from dataclasses import dataclass

import jax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin


class Logits(dict):
    """The largest logits by glob; it can be hashed, as the laws ask of extra arguments."""

    def __hash__(self) -> int:
        return hash(tuple(self.items()))


jax.tree_util.register_pytree_node(
    Logits,
    lambda logits: (tuple(logits.values()), tuple(logits)),
    lambda globs, values: Logits(zip(globs, values, strict=True)),
)


@dataclass
class QKClip(Twin):
    """Kimi K2, Algorithm 1, of one head: W <- (tau / S)^alpha W where S > tau"""

    threshold: float = 100.0
    balance: float = 0.5

    def update(self, g: Tree, p: Tree, max_logits: dict) -> Tree:
        ((_, (largest,)),) = max_logits.items()
        gamma = min(1.0, self.threshold / largest)
        powers = {"dense/kernel": self.balance, "dense/bias": 1 - self.balance}
        u = dict(g)
        for k in g:
            name = "/".join(k.split("/")[-2:])
            if name in powers:
                f = gamma ** powers[name]
                u[k] = f * g[k] - (1 - f) * p[k]
        return u


ROWS = [
    Row(
        "qk_clip",
        lambda: gc.qk_clip(50.0, 0.4, "kernel", "bias"),
        lambda: QKClip(50.0, 0.4),
        needs_params=True,
        extra={"max_logits": Logits({"*dense": (80.0,)})},
        reasons=dict.fromkeys(
            ["takes_trees_of_every_kind", "can_be_differentiated"],
            "the modules of its logits have to be there",
        ),
    ),
]
