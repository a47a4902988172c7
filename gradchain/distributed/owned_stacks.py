"""Stacks of matrices, exchanged between devices."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradchain.core.folding import Fold
from gradchain.core.matrices import Stack
from gradchain.core.shards import Parts, gather, own_part
from gradchain.core.slots import like_param
from gradchain.distributed.dealing import Deal
from gradchain.tree.paths import Leaf


@dataclasses.dataclass
class OwnedStack:
    """The matrices of one shape, and how devices exchange them.

    Attributes:
        stack: the leaves of one shape, with their folds.
        axis: the axis of the mesh that its matrices are divided among; ``None``: this device has
            all.
        deal: which device has which.
        split: how each leaf is split.
    """

    stack: Stack
    axis: str | None
    deal: Deal
    split: list[Parts]

    @property
    def name(self) -> str:
        """Its shape, and its dtype if that is unusual."""
        (m, n), dtype, _ = self.stack.batch
        return f"{m}x{n}" + ("" if dtype == jnp.float32 else f"_{dtype}")

    @property
    def name_of_rest(self) -> str:
        """The name of those that only some devices have."""
        return f"{self.name}_rest"

    @property
    def numbers(self) -> dict[str, int]:
        """How many rows a device has, by name."""
        each, own = self.deal.each, self.deal.own
        rows = {
            self.name: each,
            self.name_of_rest: own - each,
        }
        return {name: number for name, number in rows.items() if number}

    @property
    def dim(self) -> int | None:
        """The dimension of all matrices that the axis splits.

        ``None`` if it splits another, or leaves differ.
        """
        dims = {_split_dim(fold, self.split[i], self.axis) for i, fold in self.stack.leaves}
        return dims.pop() if len(dims) == 1 else None

    def rows(self, column: list[Leaf]) -> dict[str, jax.Array]:
        """The matrices that this device owns, by name."""
        dtype, order = self.stack.batch.dtype, self.deal.order
        if self.axis is not None and self.dim is not None:
            x = _taken(jnp.concatenate(self._parts(column)), order.ravel())
            x = lax.all_to_all(
                x,
                self.axis,
                0,
                self.dim,
                tiled=True,
            )
            return self._named(x.astype(dtype))
        whole = list(column)
        for i, _ in self.stack.leaves:
            whole[i] = gather(column[i], self.split[i])
        x = self.stack.stack(whole, like_param).astype(dtype)
        if self.axis is None:
            return self.dealt(x)
        return self._named(x[jnp.asarray(order)[lax.axis_index(self.axis)]])

    def put_back(self, column: list[Leaf], made: dict[str, jax.Array]) -> None:
        """Replace the leaves of a column by what owners made."""
        wire, places = self._wire(column), self.deal.places
        x = self._joined(made)
        if self.axis is not None and self.dim is not None:
            x = lax.all_to_all(
                x.astype(wire),
                self.axis,
                self.dim,
                0,
                tiled=True,
            )
            parts = jnp.split(_taken(x, places), self.stack.cuts)
            for (i, _), part in zip(self.stack.leaves, parts, strict=True):
                column[i] = part.reshape(column[i].shape).astype(column[i].dtype)
            return
        if self.axis is not None:
            x = lax.all_gather(x.astype(wire), self.axis, tiled=True, to="invarying")
        whole = list(column)
        self.stack.put_back(whole, like_param, _taken(x, places))
        for i, _ in self.stack.leaves:
            column[i] = own_part(whole[i], self.split[i])

    def dealt(self, x: jax.Array) -> dict[str, jax.Array]:
        """From an array for each matrix to rows."""
        return self._named(_taken(x, self.deal.order.ravel()))

    def collected(self, made: dict[str, jax.Array]) -> jax.Array:
        """From rows to an array for each matrix."""
        return _taken(self._joined(made), self.deal.places)

    def _named(self, x: jax.Array) -> dict[str, jax.Array]:
        """The rows by the names of stacks."""
        each = self.deal.each
        x = x.reshape(-1, self.deal.own, *x.shape[1:])
        parts = {
            self.name: x[:, :each],
            self.name_of_rest: x[:, each:],
        }
        return {name: parts[name].reshape(-1, *x.shape[2:]) for name in self.numbers}

    def _joined(self, made: dict[str, jax.Array]) -> jax.Array:
        """The rows of both, device by device."""
        parts = []
        for name, number in self.numbers.items():
            x = made[name]
            parts.append(x.reshape(-1, number, *x.shape[1:]))
        x = jnp.concatenate(parts, 1)
        return x.reshape(-1, *x.shape[2:])

    def _parts(self, column: list[Leaf]) -> list[jax.Array]:
        """The parts of matrices, in the dtype that travels."""
        wire = self._wire(column)
        return [
            column[i].reshape(-1, *column[i].shape[-2:]).astype(wire)
            for i, _ in self.stack.leaves
        ]

    def _wire(self, column: list[Leaf]) -> Any:
        """The dtype of leaves, if they have one in common."""
        dtypes = {column[i].dtype for i, _ in self.stack.leaves}
        return dtypes.pop() if len(dtypes) == 1 else self.stack.batch.dtype


def _taken(x: jax.Array, rows: np.ndarray) -> jax.Array:
    """Some rows of an array."""
    return x if np.array_equal(rows, np.arange(len(x))) else x[rows]


def _split_dim(
    fold: Fold,
    parts: Parts,
    axis: str | None,
) -> int | None:
    """The dimension of the matrices ``(k, m, n)`` that only ``axis`` splits."""
    used = [d for d, axes in enumerate(parts) if axes]
    if axis is None or not fold.is_plain or len(used) != 1 or parts[used[0]] != (axis,):
        return None
    dim = used[0] - len(fold.lead) + 1
    return dim if dim > 0 else None
