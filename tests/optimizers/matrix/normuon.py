"""Twins from the paper, and rows, of ``gradchain.optimizers.matrix.normuon``."""

from dataclasses import dataclass, field

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, square
from tests.optimizers.matrix.muon import Muon, beside_adamw
from tests.optimizers.matrix.twins import is_matrix
from tests.transforms.orthogonalize import GROWS


@dataclass
class Neurons(Twin):
    """v_j <- b v_j + (1 - b) mean_i g_ij^2, h_ij = g_ij / sqrt(v_j), u = |g| h / |h|"""

    decay: float = 0.95
    eps: float = 1e-10
    v: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.v = {
            k: np.zeros(x.shape[:-2] + x.shape[-1:]) for k, x in params.items() if is_matrix(x)
        }

    def update(self, g: Tree, p: Tree) -> Tree:
        done = dict(g)
        for k in self.v:
            mean = square(g[k]).sum(-2) / max(g[k].shape[-2], 1)
            self.v[k] = self.decay * self.v[k] + (1 - self.decay) * mean
            h = g[k] / (np.sqrt(self.v[k]) + self.eps)[..., None, :]
            length = lambda x: np.sqrt(square(x).sum((-2, -1), keepdims=True))
            done[k] = h * length(g[k]) / np.where(length(h) > 0, length(h), 1)
        return done


@dataclass
class NorMuon(Twin):
    """Muon, then its neurons"""

    b1: float = 0.95
    b2: float = 0.95
    muon: Muon = field(default_factory=Muon)
    neurons: Neurons = field(default_factory=Neurons)

    def init(self, params: Tree) -> None:
        self.muon.init(params)
        self.neurons.init(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.muon.b1, self.neurons.decay = self.b1, self.b2
        return self.neurons.update(self.muon.update(g, p), p)


ROWS = [
    Row("normalize_neurons", lambda: gc.normalize_neurons(), Neurons, tolerance=10.0),
    Row(
        "scale_by_normuon", lambda: gc.scale_by_normuon(), NorMuon, tolerance=GROWS, float64=1e-9
    ),
    Row(
        "normuon",
        lambda: gc.normuon(0.1, weight_decay=0.1),
        lambda: beside_adamw(NorMuon(), 0.1, 0.1),
        needs_params=True,
        tolerance=GROWS,
        float64=1e-9,
    ),
]
