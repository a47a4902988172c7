"""Transformations as a user would define them, one per lift and two wrappers, with twins and
functions for the rows.
"""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

import gradchain as gc
from tests.laws.row import NO_NUMBERS, NO_OWN_NUMBERS, Row
from tests.laws.twins import Chain, Tree, Twin, norm, square, zeros
from tests.optimizers.adam import Adam
from tests.optimizers.sgd import Sgd
from tests.transforms.pcgrad import Surgery
from tests.transforms.per_example import PrivateMean


@gc.transform(roles="momentum")
def average_recent(weight: gc.Hyper, pull: gc.Hyper):
    """The mean of the last three updates, and a pull towards the parameters at the start."""

    def rule(g, s, p):
        recent = jnp.concatenate([g[None], s["past"]])
        return weight * jnp.mean(recent, axis=0) + pull * (p - s["start"]), {
            "past": recent[:2],
            "start": s["start"],
        }

    return gc.elementwise(rule, past=gc.slots.prepend(2), start=gc.slots.like_param(copy=True))


@gc.transform(roles="adaptive")
def normalize_leaf(keep: gc.Hyper, eps: gc.Hyper = 1e-6):
    """Each leaf over its norm, or over what is left of the longest norm that it had."""

    def rule(g, s):
        longest = jnp.maximum(gc.numerics.norm(g), keep * s["longest"])
        return g / (longest + eps), {"longest": longest}

    return gc.leafwise(rule, longest=gc.slots.scalar)


@gc.transform
def normalize_rows(decay: gc.Hyper, eps: gc.Hyper = 1e-6):
    """Each row of a matrix over the root of the moving average of its square."""

    def rule(g, s):
        rows = gc.numerics.ema(jnp.sum(gc.numerics.abs2(g), axis=-1), s["rows"], decay)
        return g / (gc.numerics.root(rows)[..., None] + eps), {"rows": rows}

    return gc.matrixwise(rule, where=gc.ndim_at_least(2), rows=gc.slots.drop(-1)(real=True))


@gc.transform(roles="adaptive momentum")
def divide_by_mean_norm(decay: gc.Hyper):
    """This update and the last, over a moving average of the norm of all."""

    def rule(g, s, t):
        length = gc.numerics.ema(gc.global_norm(g), s["length"], decay)
        updates = jax.tree.map(
            lambda x, last: (x + last[0]) / gc.numerics.debias(length, decay, t), g, s["last"]
        )
        return updates, {"length": length, "last": jax.tree.map(lambda x: x[None], g)}

    return gc.treewise(rule, length=gc.slots.scalar(fill=1.0), last=gc.slots.per_replica)


@gc.transform
def momentum_of_update(inner: gc.GradientTransformation, decay: gc.Hyper):
    """A moving sum of what another transformation makes."""

    def rule(g, s, p, inner):
        u, state = inner(g, s["inner"], p)
        momentum = gc.tree.map_leaves(lambda m, x: decay * m + x, s["momentum"], u)
        return momentum, {"momentum": momentum, "inner": state}

    return gc.around(rule, inner=inner, momentum=gc.slots.like_param)


@gc.transform
def every_other(inner: gc.GradientTransformation):
    """Let the inner transformation run at even steps only; no updates between."""

    def rule(g, s, p, t, inner):
        run = lambda: inner(g, s["inner"], p)
        skip = lambda: (gc.tree.scale_tree(g, 0.0), s["inner"])
        u, state = jax.lax.cond(t % 2 == 0, run, skip)
        return u, {"inner": state}

    return gc.around(rule, inner=inner)


@gc.precision.codec(takes_complex=True)
def turned():
    """Keep arrays exactly, but turned in sign: a rule that looked at what is kept would be seen."""

    def encode(x, key):
        return {"codes": -x, "scales": jnp.zeros((), jnp.float32)}

    return encode, lambda parts, like: -parts["codes"]


@dataclass
class MomentumOfUpdate(Twin):
    inner: Twin
    decay: float
    m: dict = field(default_factory=dict)

    def init(self, params):
        self.inner.init(params)
        self.m = zeros(params)

    def update(self, g, p):
        u = self.inner.update(g, p)
        self.m = {k: self.decay * self.m[k] + u[k] for k in u}
        return dict(self.m)


@gc.transform
def with_examples(inner: gc.GradientTransformation):
    """Make two gradients of one, for what wants a leading dimension of examples."""

    def rule(g, s, p, inner):
        updates, new = inner(
            gc.tree.map_leaves(lambda g, p: jnp.stack([g, g * p]), g, p), s.get("inner", {}), p
        )
        return updates, {"inner": new}

    return gc.around(rule, inner=inner)


@dataclass
class AverageRecent(Twin):
    weight: float
    pull: float
    past: list = field(default_factory=list)
    start: Tree = field(default_factory=dict)

    def init(self, params):
        self.past, self.start = [zeros(params), zeros(params)], dict(params)

    def update(self, g, p):
        recent = [g, *self.past]
        self.past = recent[:2]
        mean = {k: sum(tree[k] for tree in recent) / 3 for k in g}
        return {k: self.weight * mean[k] + self.pull * (p[k] - self.start[k]) for k in g}


@dataclass
class WithExamples(Twin):
    """The twin of ``with_examples``; the inner one gets a list of trees"""

    inner: Twin

    def init(self, params):
        self.inner.init(params)

    def update(self, g, p):
        return self.inner.update([g, {k: g[k] * p[k] for k in g}], p)


@dataclass
class NormalizeLeaf(Twin):
    keep: float
    eps: float = 1e-6
    longest: dict = field(default_factory=dict)

    def update(self, g, p):
        self.longest = {k: max(norm({k: g[k]}), self.keep * self.longest.get(k, 0.0)) for k in g}
        return {k: g[k] / (self.longest[k] + self.eps) for k in g}


@dataclass
class NormalizeRows(Twin):
    decay: float
    eps: float = 1e-6
    rows: dict = field(default_factory=dict)

    def update(self, g, p):
        updates = dict(g)
        for k in g:
            if g[k].ndim >= 2:
                squares = square(g[k]).sum(axis=-1, keepdims=True)
                self.rows[k] = self.decay * self.rows.get(k, 0.0) + (1 - self.decay) * squares
                updates[k] = g[k] / (self.rows[k] ** 0.5 + self.eps)
        return updates


@dataclass
class DivideByMeanNorm(Twin):
    decay: float
    t: int = 0
    length: float = 1.0
    last: Tree = field(default_factory=dict)

    def init(self, params):
        self.last = zeros(params)

    def update(self, g, p):
        self.t += 1
        self.length = self.decay * self.length + (1 - self.decay) * norm(g)
        mean = self.length / (1 - self.decay**self.t)
        last, self.last = self.last, g
        return {k: (g[k] + last[k]) / mean for k in g}


# Functions on whole trees, and a pair by hand


def halve_and_pull(updates, params):
    return jax.tree.map(lambda g, p: 0.5 * g + 0.25 * p, updates, params)


def group_of(path, leaf):
    return "matrices" if leaf.ndim > 1 else "rest"


def init_sum(params):
    return {"sum": jax.tree.map(jnp.zeros_like, params)}


def add_to_sum(updates, state):
    is_hole = lambda x: x is None
    add = lambda g, s: s if g is None else 0.5 * s + g
    total = jax.tree.map(add, updates, state["sum"], is_leaf=is_hole)
    return jax.tree.map(lambda g, s: None if g is None else s, updates, total, is_leaf=is_hole), {
        "sum": total
    }


ROWS = [
    Row(
        "average_recent",
        lambda: average_recent(0.5, 0.1),
        lambda: AverageRecent(0.5, 0.1),
        needs_params=True,
    ),
    Row("normalize_leaf", lambda: normalize_leaf(0.5), lambda: NormalizeLeaf(0.5)),
    Row("normalize_rows", lambda: normalize_rows(0.9), lambda: NormalizeRows(0.9)),
    Row(
        "divide_by_mean_norm",
        lambda: divide_by_mean_norm(0.9),
        lambda: DivideByMeanNorm(0.9),
    ),
    Row(
        "momentum_of_update",
        lambda: momentum_of_update(gc.scale_by_adam(), 0.5),
        lambda: MomentumOfUpdate(Adam(), 0.5),
        needs_params=True,
    ),
    Row(
        "with_examples",
        lambda: with_examples(gc.dpsgd(0.1, 1.5, 0.0, momentum=0.9)),
        lambda: WithExamples(Chain(PrivateMean(1.5), Sgd(0.1, 0.9))),
        needs_params=True,
        tolerance=4,  # the two gradients cancel in part
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "with_examples-layerwise",
        lambda: with_examples(gc.differentially_private_aggregate(1.5, 0.0, layerwise=True)),
        lambda: WithExamples(PrivateMean(1.5, layerwise=True)),
        needs_params=True,
        tolerance=4,  # the two gradients cancel in part
        reasons=NO_OWN_NUMBERS
        | {
            "has_the_numbers_of_its_twin": (
                "of two clipped gradients of a single number only rounding is left"
            )
        },
    ),
    Row(
        "with_examples-pcgrad",
        lambda: with_examples(gc.pcgrad()),
        lambda: WithExamples(Surgery()),
        needs_params=True,
        tolerance=4,  # the two gradients cancel in part
        reasons=NO_NUMBERS
        | {
            "has_the_numbers_of_its_twin": (
                "products of gradients whose squares are the smallest numbers underflow"
            )
        },
    ),
]
