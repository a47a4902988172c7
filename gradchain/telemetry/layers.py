"""Layers, that is, leaves that are measured together."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.by_label import ByLabel
from gradchain.core.transformation import GradientTransformation
from gradchain.core.types import Numeric, Params, Tree, Updates, Where
from gradchain.core.walk import walk
from gradchain.numerics.arithmetic import abs2, cast, safe_divide
from gradchain.numerics.lengths import in_range, scaled
from gradchain.numerics.reductions import size, varying_axes
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
        squares, units = {}, {}
        for name, tree in trees.items():
            squares[name], by = in_range(functools.partial(self.squares, tree), _sum)
            units[name] = 1 / by  # usually 1: all squares of a tree are in its square
        found: Metrics = {}
        layers = {f"/{layer}": indices for layer, indices in self.members.items()}
        for suffix, indices in ({"": self.everything} | layers).items():
            norms = {k: _norm(column, indices) * units[k] for k, column in squares.items()}
            norms["update_ratio"] = safe_divide(norms["update_norm"], norms["parameter_norm"])
            found |= {f"{k}{suffix}": norm for k, norm in norms.items()}
        in_order = flatten_like(self.treedef, gradients)
        found |= self.health(
            squares["gradient_norm"],
            units["gradient_norm"],
            in_order,
        )
        return {name: found[name] for name in self.names}

    def squares(self, tree: Tree, by: jax.Array | None) -> list[jax.Array]:
        """The squared norm of each scaled leaf.

        Inside ``shard_map`` it is over all shards.
        """
        times = lambda x: x if by is None else scaled(x, cast(by, x.real.dtype))
        square = lambda x: jnp.sum(abs2(times(upcast(x))))
        column = flatten_like(self.treedef, map_leaves(square, tree))
        buckets: dict[tuple[Any, ...], list[int]] = {}
        for i, x in enumerate(column):
            if x is not None:
                buckets.setdefault((x.dtype, *sorted(varying_axes(x))), []).append(i)
        for (_, *axes), indices in buckets.items():
            if axes:  # one reduction for all that are split alike
                sums = lax.psum(jnp.stack([column[i] for i in indices]), tuple(axes))
                for i, x in zip(indices, sums, strict=True):
                    column[i] = x
        return [jnp.zeros(()) if x is None else x for x in column]

    def health(
        self,
        squares: list[jax.Array],
        unit_of_squares: jax.Array,
        gradients: list[jax.Array | None],
    ) -> Metrics:
        """The health of layers, and how many vanish or explode.

        It is -1 for a layer that vanishes, 1 for one that explodes, else 0.
        """
        names = [f"health/{layer}" for layer in self.members]
        found: Metrics = dict.fromkeys(names, jnp.zeros(()))
        rms: Metrics = {}
        for layer, indices in self.members.items():
            pairs = [(squares[i], gradients[i]) for i in indices]
            live = [(square, g) for square, g in pairs if g is not None and g.size]
            if live:
                total = _sum([square for square, _ in live])
                rms[layer] = root(total / sum(size(g) for _, g in live)) * unit_of_squares
        if not rms:
            return found | {"vanishing": jnp.zeros(()), "exploding": jnp.zeros(())}
        sizes = jnp.stack(list(rms.values()))
        low, high = (jnp.asarray(x, sizes.dtype) for x in self.healthy)
        finite = jnp.isfinite(sizes)
        unit: float | jax.Array = 1.0
        if self.relative:
            unit = _upper_quartile(jnp.where(finite & (sizes > 0), sizes, jnp.nan))
        vanishing = (sizes == 0) | (sizes < low * unit)
        exploding = ~finite | (sizes > high * unit)
        state = exploding.astype(sizes.dtype) - (vanishing & finite).astype(sizes.dtype)
        found |= {f"health/{layer}": x for layer, x in zip(rms, state, strict=True)}
        return found | {"vanishing": jnp.sum(state < 0), "exploding": jnp.sum(state > 0)}


def _norm(squares: list[jax.Array], indices: list[int]) -> jax.Array:
    return root(_sum([squares[i] for i in indices]))


def _sum(scalars: list[jax.Array]) -> jax.Array:
    if not scalars:
        return jnp.zeros(())
    wide = jnp.result_type(*scalars)
    return jnp.sum(jnp.stack([x.astype(wide) for x in scalars]))


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
