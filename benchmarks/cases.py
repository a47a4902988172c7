"""The trees of parameters that optimizers are measured on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """A tree: its name, what it stands for, and a function that makes its shapes."""

    name: str
    title: str
    shapes: Callable[[], Any]  # a tree of tuples

    def structs(self) -> Any:
        """The tree as ``jax.ShapeDtypeStruct``."""
        make = lambda shape: jax.ShapeDtypeStruct(shape, np.float32)
        return jax.tree.map(make, self.shapes(), is_leaf=lambda x: isinstance(x, tuple))

    def arrays(self, seed: int) -> Any:
        """The tree as NumPy arrays of small normal numbers."""
        rng = np.random.default_rng(seed)
        return jax.tree.map(
            lambda x: 0.02 * rng.standard_normal(x.shape, np.float32), self.structs()
        )


def one_leaf(size: int) -> dict:
    """A single vector."""
    return {"w": (size,)}


def gpt2(width: int, blocks: int, vocabulary: int, context: int) -> dict:
    """The parameters of a GPT-2: twelve leaves a block, and four beside them."""
    dense = lambda m, n: {"kernel": (m, n), "bias": (n,)}
    norm = lambda: {"scale": (width,), "bias": (width,)}
    block = lambda: {
        "ln_1": norm(),
        "attn": {"qkv": dense(width, 3 * width), "out": dense(width, width)},
        "ln_2": norm(),
        "mlp": {"up": dense(width, 4 * width), "down": dense(4 * width, width)},
    }
    embeddings = {"wte": (vocabulary, width), "wpe": (context, width)}
    return embeddings | {f"h_{i}": block() for i in range(blocks)} | {"ln_f": norm()}


def small_leaves(layers: int) -> dict:
    """Two leaves a layer, so small that bookkeeping is all there is."""
    return {f"layer_{i}": {"kernel": (8, 8), "bias": (8,)} for i in range(layers)}


CASES = {
    case.name: case
    for case in (
        Case("one_leaf", "1 leaf, 33.6M parameters", partial(one_leaf, 2**25)),
        Case(
            "gpt2", "a GPT-2 of 100 leaves, 30.0M parameters", partial(gpt2, 352, 8, 50257, 1024)
        ),
        Case("small_leaves", "2,000 leaves, 72k parameters", partial(small_leaves, 1000)),
    )
}

QUICK_CASES = {  # the same trees, cut down, to see that all runs
    case.name: case
    for case in (
        Case("one_leaf", "1 leaf, 1.0M parameters", partial(one_leaf, 2**20)),
        Case("gpt2", "a GPT-2 of 28 leaves, 0.5M parameters", partial(gpt2, 64, 2, 5000, 128)),
        Case("small_leaves", "200 leaves, 7k parameters", partial(small_leaves, 100)),
    )
}

TRANSFORMER = Case(
    "transformer", "a GPT-2 of 100 leaves, 18.9M parameters", partial(gpt2, 384, 8, 11_736, 512)
)
COUNTED = Case(
    "few_leaves", "6 leaves: counts are the same on any tree", partial(small_leaves, 3)
)
