"""Layers: leaves that are measured together, and how each of them fares."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.by_label import ByLabel
from gradchain.core.transformation import GradientTransformation
from gradchain.core.walk import walk
from gradchain.numerics.arithmetic import abs2, safe_divide
from gradchain.numerics.reductions import size, varying_axes
from gradchain.tree.mapping import map_leaves, upcast
from gradchain.tree.paths import flatten, flatten_like, named_leaves
from gradchain.tree.selecting import value_per_leaf

TOTALS = ("gradient_norm", "update_norm", "parameter_norm", "update_ratio")


class Layers:
    """The layers of a tree of parameters, for the arguments of ``watch``.

    Attributes:
        members: the places of the leaves of each layer among those of the tree, by its name.
        names: the names of all that is measured.
    """

    def __init__(
        self, inner: GradientTransformation, by: Any, healthy: Any, relative: bool, params: Any
    ):
        self.by, self.healthy, self.relative = by, healthy, relative
        leaves, self.treedef = flatten(params)
        self.everything = [i for i, x in enumerate(leaves) if x is not None]
        self.members: dict[str, list[int]] = {}
        for i, name in enumerate(flatten_like(self.treedef, _names(inner, by, params))):
            if leaves[i] is not None:
                self.members.setdefault(name, []).append(i)
        shown = self.members if by is not None else ()
        of_each = [f"{name}/{layer}" for name in (*TOTALS, "health") for layer in shown]
        self.names = [*TOTALS, "vanishing", "exploding", *of_each]

    def measure(self, gradients: Any, updates: Any, params: Any) -> dict[str, Any]:
        """Norms of all leaves together and of each layer, and how layers fare."""
        trees = {"gradient_norm": gradients, "update_norm": updates, "parameter_norm": params}
        squares = {name: self.squares(tree) for name, tree in trees.items()}
        found: dict[str, Any] = {}
        groups = {"": self.everything} | {
            f"/{layer}": indices for layer, indices in self.members.items()
        }
        for suffix, indices in groups.items():
            norms = {
                k: jnp.sqrt(_sum([column[i] for i in indices])) for k, column in squares.items()
            }
            norms["update_ratio"] = safe_divide(norms["update_norm"], norms["parameter_norm"])
            found |= {f"{k}{suffix}": norm for k, norm in norms.items()}
        found |= self.health(squares["gradient_norm"], flatten_like(self.treedef, gradients))
        return {name: found[name] for name in self.names}

    def squares(self, tree: Any) -> list:
        """The squared norm of each leaf, over all its shards inside ``shard_map``; 0 where there is
        none.
        """
        wide = lambda x: jnp.sum(abs2(upcast(x)))
        column = flatten_like(self.treedef, map_leaves(wide, tree))
        buckets: dict[tuple, list[int]] = {}
        for i, x in enumerate(column):
            if x is not None:
                buckets.setdefault((x.dtype, *sorted(varying_axes(x))), []).append(i)
        for (_, *axes), indices in buckets.items():
            if axes:  # one reduction for all that are split alike
                sums = lax.psum(jnp.stack([column[i] for i in indices]), tuple(axes))
                for i, x in zip(indices, sums, strict=True):
                    column[i] = x
        return [jnp.zeros(()) if x is None else x for x in column]

    def health(self, squares: list, gradients: list) -> dict[str, Any]:
        """-1 for a layer that vanishes, 1 for one that explodes, else 0; and how many there are of
        both.
        """
        found: dict[str, Any] = dict.fromkeys(
            (f"health/{layer}" for layer in self.members), jnp.zeros(())
        )
        rms = {}
        for layer, indices in self.members.items():
            live = [i for i in indices if gradients[i] is not None and gradients[i].size]
            if live:
                rms[layer] = jnp.sqrt(
                    _sum([squares[i] for i in live]) / sum(size(gradients[i]) for i in live)
                )
        if not rms:
            return found | {"vanishing": jnp.zeros(()), "exploding": jnp.zeros(())}
        sizes = jnp.stack(list(rms.values()))
        low, high = (jnp.asarray(x, sizes.dtype) for x in self.healthy)
        finite = jnp.isfinite(sizes)
        unit = (
            _upper_quartile(jnp.where(finite & (sizes > 0), sizes, jnp.nan))
            if self.relative
            else 1.0
        )
        vanishing, exploding = (sizes == 0) | (sizes < low * unit), ~finite | (sizes > high * unit)
        state = exploding.astype(sizes.dtype) - (vanishing & finite).astype(sizes.dtype)
        found |= {f"health/{layer}": x for layer, x in zip(rms, state, strict=True)}
        return found | {"vanishing": jnp.sum(state < 0), "exploding": jnp.sum(state > 0)}


def _sum(scalars: list) -> jax.Array:
    wide = jnp.result_type(*scalars) if scalars else jnp.float32
    return jnp.sum(jnp.stack([x.astype(wide) for x in scalars])) if scalars else jnp.zeros(())


def _upper_quartile(x: jax.Array) -> jax.Array:
    """The number that a quarter of those that are not NaN exceed.

    Where a gradient fades by the same factor at each layer, half of the layers are below the median
    however far it has faded; and the largest may be one that explodes alone.
    """
    return jnp.nanquantile(x, 0.75, method="lower")


def _names(inner: GradientTransformation, by: Any, params: Any) -> Any:
    """The tree of the names of layers."""
    if by is None or (isinstance(by, str) and by == "path"):
        return flatten(params)[1].unflatten([path for path, _ in named_leaves(params)])
    if isinstance(by, str):
        bodies = [part.stage.body for part in walk(inner) if isinstance(part.stage.body, ByLabel)]
        if not bodies:
            raise ValueError(
                "watch: by='group' needs groups, and the transformation has none; say by='path'."
            )
        return bodies[0].labels_of(params)
    names = value_per_leaf(by, params, "watch: the tree of names, by,")
    leaves, treedef = flatten(params)
    for (path, _), x, name in zip(
        named_leaves(params), leaves, flatten_like(treedef, names), strict=True
    ):
        if x is not None and not isinstance(name, str):
            raise TypeError(
                f"watch: by gives the name of a layer, a string, but for {path!r} it gave {name!r}."
            )
    return names
