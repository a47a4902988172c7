"""Twins from the papers, and rows, of ``gradchain.transforms.trust_ratio``."""

from dataclasses import dataclass

import numpy as np
import optax

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, norm, rms


@dataclass
class ByBlock(Twin):
    """u = g max(|p|, s), with the norm or the root mean square of the leaf"""

    min_scale: float = 1e-3
    is_rms: bool = True

    def update(self, g: Tree, p: Tree) -> Tree:
        size = lambda x: rms(x) if self.is_rms else rms(x) * np.sqrt(x.size)
        return {k: g[k] * max(size(p[k]), self.min_scale) for k in g}


@dataclass
class TrustRatio(Twin):
    """You et al., eq. 6, with the options of optax"""

    min_norm: float = 0.0
    trust_coefficient: float = 1.0
    eps: float = 0.0

    def update(self, g: Tree, p: Tree) -> Tree:
        u = {}
        for k in g:
            of_param, of_update = (
                max(norm({k: p[k]}), self.min_norm),
                max(norm({k: g[k]}), self.min_norm),
            )
            ratio = (
                self.trust_coefficient * of_param / (of_update + self.eps)
                if of_param and of_update
                else 1.0
            )
            u[k] = g[k] * ratio
        return u


@dataclass
class Floor(Twin):
    """u = g max(1, f |p| / |g|)"""

    floor: float = 0.35

    def update(self, g: Tree, p: Tree) -> Tree:
        least = {k: self.floor * norm({k: p[k]}) for k in g}
        size = {k: norm({k: g[k]}) for k in g}
        short = {k: 0 < size[k] < least[k] for k in g}
        return {k: g[k] * (least[k] / size[k] if short[k] else 1.0) for k in g}


ROWS = [
    Row("update_floor", lambda: gc.update_floor(0.6), lambda: Floor(0.6), needs_params=True),
    Row(
        "scale_by_param_block_rms",
        lambda: gc.scale_by_param_block_rms(0.9),
        lambda: ByBlock(0.9),
        lambda: optax.scale_by_param_block_rms(0.9),
        needs_params=True,
    ),
    Row(
        "scale_by_param_block_norm",
        lambda: gc.scale_by_param_block_norm(0.5),
        lambda: ByBlock(0.5, is_rms=False),
        needs_params=True,
    ),
    Row(
        "scale_by_trust_ratio",
        lambda: gc.scale_by_trust_ratio(0.1, 0.5, 1e-3),
        lambda: TrustRatio(0.1, 0.5, 1e-3),
        lambda: optax.scale_by_trust_ratio(0.1, 0.5, 1e-3),
        needs_params=True,
    ),
]
