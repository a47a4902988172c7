"""Twins of what bounds the size of updates."""

from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, norm, square


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


@dataclass
class ClipQuantile(Twin):
    """Seetharaman et al., Algorithm 1, with the last norms in the place of all"""

    quantile: float
    window: int
    norms: list = field(default_factory=list)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.norms.append(norm(g))
        limit = np.quantile(self.norms[-self.window :], self.quantile)
        return (
            {k: x * limit / self.norms[-1] for k, x in g.items()}
            if self.norms[-1] > limit
            else dict(g)
        )


@dataclass
class ClipScore(Twin):
    """Kumar et al., Algorithm 1: the statistics of a warm-up, then moving averages of what is left"""

    threshold: float
    decay: float
    warmup_steps: int
    warm: list = field(default_factory=list)
    mean: float = 0.0
    variance: float = 0.0

    def update(self, g: Tree, p: Tree) -> Tree:
        length = norm(g)
        if len(self.warm) < self.warmup_steps:
            self.warm.append(length)
            self.mean, self.variance = float(np.mean(self.warm)), float(np.var(self.warm))
            return dict(g)
        left = length
        deviation = np.sqrt(self.variance)
        if length > self.mean + self.threshold * deviation:
            score = (length - self.mean) / deviation if deviation else np.inf
            left = self.mean + self.threshold**2 / score * deviation
        self.mean = self.decay * self.mean + (1 - self.decay) * left
        self.variance = self.decay * self.variance + (1 - self.decay) * (left - self.mean) ** 2
        return {k: x * (left / length if length else 1.0) for k, x in g.items()}
