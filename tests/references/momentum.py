"""Twins of gradient descent, its momenta and its step lengths."""

import zlib
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from tests.references.transforms import Tree, Twin, square, zeros


class Downhill(Twin):
    """p <- p - eta u, with u of another twin; that one's numbers are set through this."""

    def __init__(self, twin: Twin, learning_rate: float):
        self.__dict__.update(twin=twin, learning_rate=learning_rate)

    def __setattr__(self, name: str, value: float) -> None:
        owner = self if name in self.__dict__ else self.twin
        assert name in owner.__dict__, name
        owner.__dict__[name] = value

    def init(self, params: Tree) -> None:
        self.twin.init(params)

    def update(self, g: Tree, p: Tree, **extra: float) -> Tree:
        return {k: -self.learning_rate * u for k, u in self.twin.update(g, p, **extra).items()}


@dataclass
class Dampened(Twin):
    """m_1 = g_1, m <- mu m + (1 - tau) g later; u = m, or with a look-ahead mu m + the same
    multiple of g
    """

    momentum: float = 0.9
    dampening: float = 0.0
    nesterov: bool = False
    learning_rate: float = -1.0
    m: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        new = {k: (1 - self.dampening) * g[k] for k in g} if self.m else g
        self.m = {k: self.momentum * self.m[k] + new[k] for k in g} if self.m else dict(g)
        u = {k: self.momentum * self.m[k] + new[k] for k in g} if self.nesterov else self.m
        return {k: -self.learning_rate * u[k] for k in g}

    @property
    def decay(self) -> float:
        return self.momentum

    @decay.setter
    def decay(self, value: float) -> None:
        self.momentum = value


@dataclass
class Average(Twin):
    """a <- beta a + (1 - beta) g,  u = a / (1 - beta^t)"""

    decay: float = 0.9
    debias: bool = True
    t: int = 0
    a: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.a = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.t += 1
        self.a = {k: self.decay * self.a[k] + (1 - self.decay) * g[k] for k in g}
        return {k: self.a[k] / (1 - self.decay**self.t) for k in g} if self.debias else dict(self.a)


@dataclass
class AggMo(Twin):
    """Lucas et al., equation 3: v_i <- beta_i v_i + g,  u = the mean of all v_i"""

    decays: tuple = (0.0, 0.9, 0.99)
    past: list = field(default_factory=list)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.past.append(g)
        weights = [np.mean([decay**age for decay in self.decays]) for age in range(len(self.past))]
        return {
            k: sum(w * old[k] for w, old in zip(weights, self.past[::-1], strict=True)) for k in g
        }


@dataclass
class Qhm(Twin):
    """Ma & Yarats, equations 3 and 4: m <- beta m + (1 - beta) g,  u = (1 - nu) g + nu m"""

    momentum: float = 0.999
    nu: float = 0.7
    m: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.m = zeros(params)

    def update(self, g: Tree, p: Tree) -> Tree:
        self.m = {k: self.momentum * self.m[k] + (1 - self.momentum) * g[k] for k in g}
        return {k: (1 - self.nu) * g[k] + self.nu * self.m[k] for k in g}


@dataclass
class Asgd(Twin):
    """Bottou: p <- p - eta_t (g + lambda p) with eta_t = eta / (1 + lambda eta (t - 1))^alpha"""

    learning_rate: float
    lambd: float = 1e-4
    alpha: float = 0.75
    t0: float = 1e6  # the average changes no update
    sign: float = 1.0
    t: int = 0

    def update(self, g: Tree, p: Tree) -> Tree:
        rate = self.learning_rate / (1 + self.lambd * self.learning_rate * self.t) ** self.alpha
        self.t += 1
        return {k: self.sign * rate * (g[k] + self.lambd * p[k]) for k in g}


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
        return {k: g[k] + np.sqrt(self.eta / self.t**self.gamma) * self.normal(k, g[k]) for k in g}


@dataclass
class Optimistic(Twin):
    """Mokhtari et al.: u = (alpha + beta) g - beta g', with the gradient g' before; at first g' = g"""

    alpha: float = 1.0
    beta: float = 1.0
    last: Tree = field(default_factory=dict)

    def update(self, g: Tree, p: Tree) -> Tree:
        last, self.last = self.last or g, g
        return {k: (self.alpha + self.beta) * g[k] - self.beta * last[k] for k in g}


@dataclass
class Polyak(Twin):
    """Loizou et al., equation 3 (SPS max, c = 1): u = min((f - f*) / (|g|^2 + eps), gamma) g"""

    f_min: float = 0.0
    max_learning_rate: float = 1.0
    eps: float = 0.0
    variant: str = "sps"

    def update(self, g: Tree, p: Tree, value: float) -> Tree:
        gap = value - self.f_min
        if self.variant == "sps+" and gap < 0:
            gap = 0.0
        squared = sum(np.sum(square(x)) for x in g.values()) + self.eps
        length = min(gap / squared if squared > 0 else 0.0, self.max_learning_rate)
        return {k: length * g[k] for k in g}


@dataclass
class Rprop(Twin):
    """Igel & Huesken, iRprop-, one element after another"""

    learning_rate: float
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    min_step_size: float = 1e-6
    max_step_size: float = 50.0
    sign: float = 1.0
    size: Tree = field(default_factory=dict)
    last: Tree = field(default_factory=dict)

    def init(self, params: Tree) -> None:
        self.size = {k: np.full(x.size, self.learning_rate) for k, x in params.items()}
        self.last = {k: np.zeros(x.size, x.dtype) for k, x in params.items()}

    def update(self, g: Tree, p: Tree) -> Tree:
        return {
            k: self.sign
            * np.reshape([self.one(k, i, x) for i, x in enumerate(g[k].flat)], g[k].shape)
            for k in g
        }

    def one(self, k: str, i: int, g: complex) -> complex:
        angle = (np.conj(self.last[k][i]) * g).real
        size = self.size[k][i] * (
            self.eta_plus if angle > 0 else self.eta_minus if angle < 0 else 1.0
        )
        self.size[k][i] = min(max(size, self.min_step_size), self.max_step_size)
        self.last[k][i] = 0.0 if angle < 0 or g == 0 else g / abs(g)
        return self.size[k][i] * self.last[k][i]


@dataclass
class PolyakSgd(Polyak):
    """p <- p - s u"""

    scaling: float = 1.0

    def update(self, g: Tree, p: Tree, value: float) -> Tree:
        return {k: -self.scaling * u for k, u in super().update(g, p, value).items()}
