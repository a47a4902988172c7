"""Twins of what gets several gradients, as a list of trees."""

from dataclasses import dataclass

import numpy as np

from tests.references.transforms import Tree, Twin, norm


@dataclass
class PrivateMean(Twin):
    """Abadi et al., Algorithm 1, without noise; or McMahan et al.'s per-layer clipping"""

    l2_norm_clip: float
    noise_multiplier: float = 0.0
    layerwise: bool = False

    def _clipped(self, g: Tree) -> Tree:
        if not self.layerwise:
            return {k: x / max(1.0, norm(g) / self.l2_norm_clip) for k, x in g.items()}
        limit = self.l2_norm_clip / np.sqrt(len(g))
        return {k: x / max(1.0, norm({k: x}) / limit) for k, x in g.items()}

    def update(self, g: list[Tree], p: Tree) -> Tree:
        clipped = [self._clipped(one) for one in g]
        return {k: sum(one[k] for one in clipped) / len(g) for k in p if k in g[0]}


@dataclass
class Surgery(Twin):
    """Yu et al., Algorithm 1, the losses in their order: for two it makes no difference"""

    def update(self, g: list[Tree], p: Tree) -> Tree:
        inner = lambda a, b: sum(np.sum(a[k].real * b[k].real + a[k].imag * b[k].imag) for k in a)
        total = {k: 0 * x for k, x in g[0].items()}
        for i, own in enumerate(g):
            h = dict(own)
            for j, other in enumerate(g):
                product = inner(h, other)
                if i != j and product < 0:
                    h = {k: h[k] - product / inner(other, other) * other[k] for k in h}
            total = {k: total[k] + h[k] for k in total}
        return total
