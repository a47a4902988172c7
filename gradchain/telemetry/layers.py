"""Layers, that is, leaves that are measured together."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradchain.core.by_label import ByLabel
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Numeric, Params, Tree, Updates, Where
from gradchain.core.walk import walk
from gradchain.numerics.arithmetic import abs2, cast, compute_dtype, real_dtype, safe_divide
from gradchain.numerics.lengths import in_range, scaled
from gradchain.numerics.reductions import size, split_axes
from gradchain.numerics.roots import root
from gradchain.tree.mapping import map_leaves, upcast
from gradchain.tree.paths import distinct_leaves, flatten, flatten_like, named_leaves
from gradchain.tree.selecting import value_per_leaf

TOTALS = ("gradient_norm", "update_norm", "parameter_norm", "update_ratio")

Metrics: TypeAlias = dict[str, jax.Array]


class Layers:
    """The layers of a tree of parameters.

    Arguments are those of ``watch``.

    Attributes:
        members: the places of the leaves of each layer among those of the tree, by its name.
        names: the names of all that is measured.
    """

    def __init__(
        self,
        inner: GradientTransformation,
        by: Where | None,
        healthy: Sequence[Numeric],
        relative: bool,
        params: Params,
    ):
        self.by = by
        self.healthy = healthy
        self.relative = relative
        leaves, self.treedef = flatten(params)
        self.everything = [i for i, x in enumerate(leaves) if x is not None]
        self.members: dict[str, list[int]] = {}
        for i, name in enumerate(
            flatten_like(
                self.treedef,
                _names(
                    inner,
                    by,
                    params,
                ),
            )
        ):
            if leaves[i] is not None:
                self.members.setdefault(name, []).append(i)
        shown = self.members if by is not None else ()
        of_each = [f"{name}/{layer}" for name in (*TOTALS, "health") for layer in shown]
        self.names = [*TOTALS, "vanishing", "exploding", *of_each]

    def measure(
        self,
        gradients: Updates,
        updates: Updates,
        params: Params,
    ) -> Metrics:
        """Norms of all leaves and of layers, and their health."""
        trees = {"gradient_norm": gradients, "update_norm": updates, "parameter_norm": params}
        squares = {name: self.squares(tree) for name, tree in trees.items()}
        found: Metrics = {}
        layers = {f"/{layer}": indices for layer, indices in self.members.items()}
        for suffix, indices in ({"": self.everything} | layers).items():
            norms = {k: of_leaves.root(indices) for k, of_leaves in squares.items()}
            norms["update_ratio"] = safe_divide(norms["update_norm"], norms["parameter_norm"])
            found |= {f"{k}{suffix}": norm for k, norm in norms.items()}
        found |= self.health(squares["gradient_norm"])
        return {name: found[name] for name in self.names}

    def squares(self, tree: Tree) -> Squares:
        """The squared norm of each leaf that has elements.

        Inside ``shard_map`` it is over all shards.
        """
        column = flatten_like(self.treedef, map_leaves(upcast, tree))
        live = {i: x for i, x in enumerate(column) if x is not None and x.size}
        values, by = in_range(functools.partial(_squares, list(live.values())))
        return Squares(values, 1 / by, {i: place for place, i in enumerate(live)}, live)

    def health(self, squares: Squares) -> Metrics:
        """The health of layers, and how many vanish or explode.

        It is -1 for a layer that vanishes, 1 for one that explodes, else 0.
        """
        names = [f"health/{layer}" for layer in self.members]
        found: Metrics = dict.fromkeys(names, jnp.zeros(()))
        rms: Metrics = {}
        for layer, indices in self.members.items():
            live = [squares.leaves[i] for i in indices if i in squares.leaves]
            if live:
                rms[layer] = squares.root(indices, sum(map(size, live)))
        if not rms:
            return found | {"vanishing": jnp.zeros(()), "exploding": jnp.zeros(())}
        sizes = jnp.stack(list(rms.values()))
        low, high = (jnp.asarray(x, sizes.dtype) for x in self.healthy)
        finite = jnp.isfinite(sizes)
        unit: float | jax.Array = 1.0
        is_known: bool | jax.Array = True
        if self.relative:
            moving = finite & (sizes > 0)
            unit = _upper_quartile(jnp.where(moving, sizes, jnp.nan))
            is_known = jnp.sum(moving) > 2  # of two that differ, either may be the sick one
        vanishing = (sizes == 0) | (is_known & (sizes < low * unit))
        exploding = ~finite | (is_known & (sizes > high * unit))
        state = exploding.astype(sizes.dtype) - (vanishing & finite).astype(sizes.dtype)
        found |= {f"health/{layer}": x for layer, x in zip(rms, state, strict=True)}
        return found | {"vanishing": jnp.sum(state < 0), "exploding": jnp.sum(state > 0)}


class Squares(NamedTuple):
    """Squared norms, each in a unit of its own.

    The unit is 1 wherever the square is in range. What is infinite or NaN, or far larger, spoils
    none of the others.

    Attributes:
        values: the squared norms, divided by the squares of the units.
        units: powers of two.
        places: where a leaf stands in them, by its place in the tree.
        leaves: the leaves, by their places in the tree.
    """

    values: jax.Array
    units: jax.Array
    places: dict[int, int]
    leaves: dict[int, jax.Array]

    def root(self, indices: Sequence[int], count: int = 1) -> jax.Array:
        """The root of a sum over leaves, divided by ``count``."""
        places = np.array([self.places[i] for i in indices if i in self.places], np.int32)
        if not places.size:
            return jnp.zeros((), self.values.dtype)
        values, units = self.values[places], self.units[places]
        unit = jnp.max(units)
        ratios = units / unit
        return root(jnp.sum(values * ratios * ratios) / count) * unit


def _squares(leaves: Sequence[jax.Array], by: jax.Array | None) -> jax.Array:
    """The squared norms of leaves, each multiplied by its number."""
    if not leaves:
        return jnp.zeros(0)
    dtype = real_dtype(compute_dtype(*(x.dtype for x in leaves)))
    column, buckets = [], {}
    for i, x in enumerate(leaves):
        wide = cast(x, compute_dtype(x.dtype, dtype))
        column.append(jnp.sum(abs2(wide if by is None else scaled(wide, by[i]))))
        buckets.setdefault(tuple(sorted(split_axes(x))), []).append(i)
    for axes, indices in buckets.items():
        if axes:  # one reduction for all that are split alike
            sums = lax.psum(jnp.stack([column[i] for i in indices]), axes)
            for i, x in zip(indices, sums, strict=True):
                column[i] = x
    return jnp.stack(column)


def _upper_quartile(x: jax.Array) -> jax.Array:
    """The upper quartile of the numbers that are not NaN.

    Where a gradient fades by the same factor at each layer, half of the layers are below the median
    however far it has faded; and the largest may be one that explodes alone.
    """
    return jnp.nanquantile(x, 0.75, method="lower")


def _names(inner: GradientTransformation, by: Where | None, params: Params) -> Tree:
    """The tree of the names of layers."""
    leaves, treedef = flatten(params)
    if by is None:  # names that nobody sees
        return treedef.unflatten([str(i) for i in range(len(leaves))])
    if isinstance(by, str) and by == "path":
        return treedef.unflatten([path for path, _ in distinct_leaves(params)])
    if isinstance(by, str):
        bodies = [part.stage.body for part in walk(inner)]
        bodies = [body for body in bodies if isinstance(body, ByLabel)]
        if not bodies:
            raise ValueError(
                "watch: by='group' needs groups, and the transformation has none; say by='path'."
            )
        return bodies[0].labels_of(params)
    names = value_per_leaf(by, params, "watch: the tree of names, by,")
    in_order = flatten_like(treedef, names)
    for (path, x), name in zip(named_leaves(params), in_order, strict=True):
        if x is not None and not isinstance(name, str):
            raise TypeError(
                f"watch: by gives the name of a layer, a string, but for {path!r} it gave {name!r}."
            )
    return names
