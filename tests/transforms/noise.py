"""Twins from the papers, and rows, of ``gradchain.transforms.noise``."""

import zlib
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin

draw = jax.jit(lambda key, shape: jax.random.normal(key, shape, jnp.float32), static_argnums=1)


@dataclass
class Noise(Twin):
    """Neelakantan et al.: u = g + n with n normal of the variance eta / t^gamma; the numbers are
    JAX's own
    """

    eta: float = 0.01
    gamma: float = 0.55
    seed: int = 0
    t: int = 0

    def normal(self, name: str, like: np.ndarray) -> np.ndarray:
        key = jax.random.fold_in(jax.random.key(self.seed), self.t)
        key = jax.random.fold_in(key, zlib.crc32(name.encode()))
        if not np.iscomplexobj(like):
            return np.asarray(draw(key, like.shape), np.float64)
        re, im = np.asarray(draw(key, (2, *like.shape)), np.float64)
        return (re + 1j * im) / np.sqrt(2)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        return {
            k: g[k] + np.sqrt(self.eta / self.t**self.gamma) * self.normal(k, g[k]) for k in g
        }


SHARDS_DRAW = {
    "is_the_same_when_split_under_shard_map": "each shard draws numbers of its own",
    "is_each_replicas_own": "each replica draws numbers of its own",
}
# normal numbers are drawn in float32, and their last digit differs from one way to compile to
# another
DRAWN = 2e-7


ROWS = [
    Row(
        "add_noise",
        lambda: gc.add_noise(0.04, 0.7, 3),
        lambda: Noise(0.04, 0.7, 3),
        float64=DRAWN,
        reasons=SHARDS_DRAW,
    ),
]
