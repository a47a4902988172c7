"""Twins of guards: the rules as they are said, with the whole history kept."""

from dataclasses import dataclass, field

import numpy as np

from tests.references.transforms import Tree, Twin, norm, zeros


def is_finite(tree: Tree) -> bool:
    return all(bool(np.isfinite(x).all()) for x in tree.values())


@dataclass
class SkipNonfinite(Twin):
    """a gradient that is not finite never reaches the inner one"""

    inner: Twin
    skipped: int = 0

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        if is_finite(g):
            return self.inner.update(g, p)
        self.skipped += 1
        return zeros(g)


@dataclass
class LossScale(Twin):
    """the scale is the first one times a factor for each event since, bounded each time"""

    inner: Twin
    initial_scale: float = 2.0**16
    growth_factor: float = 2.0
    backoff_factor: float = 0.5
    growth_interval: int = 2000
    min_scale: float = 1.0
    max_scale: float = 2.0**24
    scales: list[float] = field(default_factory=list)
    since: int = 0

    def init(self, params: Tree) -> None:
        self.scales = [self.initial_scale]
        self.inner.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        scale = self.scales[-1]
        if not is_finite(g):
            self.since = 0
            self.scales.append(max(scale * self.backoff_factor, self.min_scale))
            return zeros(g)
        self.since += 1
        if self.since == self.growth_interval:
            self.since = 0
            self.scales.append(min(scale * self.growth_factor, self.max_scale))
        else:
            self.scales.append(min(max(scale, self.min_scale), self.max_scale))
        return self.inner.update({k: x / scale for k, x in g.items()}, p)


@dataclass
class SkipSpikes(Twin):
    """mean and deviation of the logarithms of the norms that were taken, plain in the warm-up,
    moving after it
    """

    inner: Twin
    threshold: float = 6.0
    decay: float = 0.98
    warmup_steps: int = 50
    max_skips_in_a_row: int = 10
    min_deviation: float = 0.1
    levels: list[float] = field(default_factory=list)
    made: list[bool] = field(default_factory=list)

    def init(self, params: Tree) -> None:
        self.inner.init(params)

    def moments(self) -> tuple[float, float]:
        first = self.levels[: self.warmup_steps]
        mean, variance = float(np.mean(first)), float(np.var(first))
        for level in self.levels[self.warmup_steps :]:
            mean = self.decay * mean + (1 - self.decay) * level
            variance = self.decay * variance + (1 - self.decay) * (level - mean) ** 2
        return mean, variance

    def update(self, g: Tree, p: Tree) -> Tree:
        length = norm(g) if is_finite(g) else np.inf
        makes = np.isfinite(length)
        if makes and length > 0:
            level = float(np.log(length))
            if len(self.levels) >= self.warmup_steps:
                mean, variance = self.moments()
                if level - mean > self.threshold * max(variance**0.5, self.min_deviation):
                    k = self.max_skips_in_a_row
                    makes = len(self.made) >= k and not any(self.made[-k:])
                    self.levels = [] if makes else self.levels
            self.levels += [level] if makes else []
        self.made.append(bool(makes))
        return self.inner.update(g, p) if makes else zeros(g)
