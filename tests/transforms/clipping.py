"""Twins from the papers, and rows, of ``gradchain.transforms.clipping``."""

from dataclasses import dataclass

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, norm, square


@dataclass
class Clip(Twin):
    """u = min(max(g, -d), d), real and imaginary parts apart"""

    max_delta: float

    def update(self, g: Tree, p: Tree) -> Tree:
        bound = lambda x: np.minimum(np.maximum(x, -self.max_delta), self.max_delta)
        return {
            k: bound(x.real) + 1j * bound(x.imag) if np.iscomplexobj(x) else bound(x)
            for k, x in g.items()
        }


@dataclass
class ClipNorm(Twin):
    """if |g| + eps > m: u = g m / (|g| + eps); else u = g"""

    max_norm: float
    eps: float = 0.0

    def update(self, g: Tree, p: Tree) -> Tree:
        length = norm(g) + self.eps
        return (
            {k: x * (self.max_norm / length) for k, x in g.items()}
            if length > self.max_norm
            else dict(g)
        )


@dataclass
class ClipLeaf(Twin):
    """each leaf: if |g| > m: u = g m / |g|; else u = g"""

    max_norm: float

    def update(self, g: Tree, p: Tree) -> Tree:
        return {k: x * min(1.0, self.max_norm / max(norm({k: x}), 1e-300)) for k, x in g.items()}


@dataclass
class ClipRms(Twin):
    """Shazeer & Stern, section 6: u = g / max(1, rms(g) / d)"""

    threshold: float

    def update(self, g: Tree, p: Tree) -> Tree:
        rms = lambda x: np.sqrt(np.mean(square(x))) if x.size else 0.0
        return {k: x / max(1.0, rms(x) / self.threshold) for k, x in g.items()}


@dataclass
class AdaptiveClip(Twin):
    """Brock et al., eq. 3, a unit being what is at one index of the last dimension, or what
    ``axis`` spans
    """

    clipping: float
    eps: float = 1e-3
    axis: int | None = None

    def _units(self, x: np.ndarray) -> list[tuple]:
        """The indices of each unit."""
        if self.axis is not None:
            axes = {self.axis % x.ndim}
        elif x.ndim < 2 or np.squeeze(x).ndim < 2:
            return [(slice(None),) * x.ndim]
        else:
            axes = {0} if x.ndim < 4 else set(range(x.ndim - 1))
        over = [range(1) if d in axes else range(n) for d, n in enumerate(x.shape)]
        grid = np.array(np.meshgrid(*over, indexing="ij")).reshape(x.ndim, -1).T
        return [
            tuple(slice(None) if d in axes else i for d, i in enumerate(place)) for place in grid
        ]

    def update(self, g: Tree, p: Tree) -> Tree:
        u = {k: np.array(x) for k, x in g.items()}
        for k in g:
            for unit in self._units(g[k]):
                length = np.sqrt(np.sum(square(g[k][unit])))
                most = self.clipping * max(np.sqrt(np.sum(square(p[k][unit]))), self.eps)
                if length > most:
                    u[k][unit] = g[k][unit] * (most / length)
        return u


ROWS = [
    Row("clip", lambda: gc.clip(0.5), lambda: Clip(0.5)),
    Row(
        "clip_by_global_norm",
        lambda: gc.clip_by_global_norm(2.0),
        lambda: ClipNorm(2.0),
        lambda: optax.clip_by_global_norm(2.0),
    ),
    Row("clip_by_norm", lambda: gc.clip_by_norm(0.7), lambda: ClipLeaf(0.7)),
    Row(
        "clip_by_block_rms",
        lambda: gc.clip_by_block_rms(0.5),
        lambda: ClipRms(0.5),
        lambda: optax.clip_by_block_rms(0.5),
    ),
    Row(
        "adaptive_grad_clip",
        lambda: gc.adaptive_grad_clip(0.3, 1.5),
        lambda: AdaptiveClip(0.3, 1.5),
        lambda: optax.adaptive_grad_clip(0.3, 1.5),
        needs_params=True,
    ),
]
