"""Updates and parameters as columns, flattened once for a chain."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gradchain.core import errors
from gradchain.core.restored import check_column
from gradchain.core.slots import Slot
from gradchain.core.types import Params, Tree, Updates
from gradchain.tree.kinds import are_arrays, are_trainable
from gradchain.tree.paths import Leaf, Structure, flatten, flatten_like, named_leaves


@dataclasses.dataclass(frozen=True)
class Columns:
    """The leaves of updates, and beside each its parameter.

    Attributes:
        treedef: the structure of the updates, in which holes are leaves.
        g: the leaves of the updates; ``None`` is a hole.
        p: those of the parameters; ``None`` for each if there are none.
        params: the tree of parameters, or ``None``.
        adds: whether the last member may add its updates to the parameters itself.
        is_sum: whether it did: ``g`` are the new parameters.
    """

    treedef: Structure
    g: list[Leaf]
    p: list[Leaf]
    params: Params
    adds: bool = False
    is_sum: bool = False

    @classmethod
    def of(cls, updates: Updates, params: Params, where: str = "update") -> Columns:
        """Columns of arrays.

        A parameter without an update is a hole if no gradient could move it, as with a function.
        ``where`` begins an error.

        Raises:
            TypeError: naming the path, if an update, or a parameter that has one, is no number.
            ValueError: naming the paths, if the trees differ.
        """
        return cls.of_flat(*flatten(updates), updates, params, where)

    @classmethod
    def of_flat(
        cls,
        g: list[Leaf],
        treedef: Structure,
        updates: Updates,
        params: Params,
        where: str = "update",
    ) -> Columns:
        """The same for updates that are flattened already."""
        if not are_arrays(g):
            updates = errors.as_arrays(updates, where)
            g = flatten_like(treedef, updates)
        p = errors.leaves_beside(updates, treedef, params)
        if not are_trainable(p):
            path_of = lambda i: named_leaves(updates)[i][0]
            params = errors.trainable_params(path_of, g, p, params, where)
            p = flatten_like(treedef, params)
        return cls(treedef, g, p, params)

    @property
    def updates(self) -> Updates:
        """The tree of updates."""
        return self.treedef.unflatten(self.g)

    def tree(self, column: list[Leaf]) -> Tree:
        """The tree of a column."""
        return self.treedef.unflatten(column)

    def column(self, tree: Tree) -> list[Leaf]:
        """The leaves of a tree of the same structure.

        They are holes if the tree is ``None``.
        """
        return flatten_like(self.treedef, tree)

    def slot(
        self,
        stage: str,
        name: str,
        tree: Tree,
        declared: Slot | None = None,
    ) -> list[Leaf]:
        """The leaves of a slot, as it is declared.

        They are matched by path where the containers differ: a serializer may have made a list of a
        tuple, or a dict of either.
        """
        try:
            column = self.column(tree)
        except (ValueError, TypeError, KeyError):
            column = errors.slot_leaves(stage, name, self.updates, tree)
        if declared is not None and (declared.integer or not _are_usual(column, self.g)):
            check_column(stage, name, declared, column, self.g, self.path)
        return column

    def path(self, i: int) -> str:
        """The path of leaf ``i``."""
        path, _ = named_leaves(self.updates)[i]
        return path

    def with_g(self, g: list[Leaf]) -> Columns:
        """The same with other updates."""
        return dataclasses.replace(self, g=g)

    def with_updates(self, updates: Updates) -> Columns:
        """The same with the updates of a tree.

        A foreign pair may have built the tree anew.
        """
        try:
            return self.with_g(self.column(updates))
        except (ValueError, TypeError, KeyError):
            return Columns.of(updates, self.params)

    def check(self, reduced: bool = True) -> None:
        """Raise an error unless each update fits its parameter.

        Args:
            reduced: whether updates have to be the same on all shards where parameters are.
        """
        if self.params is not None:
            errors.check_leaves(self.path, self.g, self.p, reduced)


def _are_usual(column: list[Leaf], g: list[Leaf]) -> bool:
    """Whether a slot is float32 and no update complex."""
    is_usual = lambda x: isinstance(x, jax.Array) and x.dtype == jnp.float32
    pairs = [
        (x, u)
        for x, u in zip(
            column,
            g,
            strict=True,
        )
        if x is not None and u is not None
    ]
    return all(is_usual(x) and u.dtype.kind != "c" for x, u in pairs)
