"""Leaves that members do not see.

They are frozen, or those of other members.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.columns import Columns
from gradchain.core.stage import Stage
from gradchain.core.types import Params, Tree
from gradchain.numerics.arithmetic import compute_dtype
from gradchain.tree.kinds import put_back
from gradchain.tree.mapping import tree_map_live, upcast
from gradchain.tree.selecting import keep_leaves, merge

#: Extra arguments that are functions of the parameters.
FUNCTIONS = frozenset({"value_fn", "model_fn", "sampled_value_fn"})


def frozen_by(stages: list[Stage], tree: Tree) -> Tree | None:
    """Which leaves members freeze; ``None`` if none of them can."""
    masks = [s.body.frozen(tree) for s in stages if s.body.freezes]
    return (
        tree_map_live(
            lambda _, *flags: any(flags),
            tree,
            *masks,
        )
        if masks
        else None
    )


def drop_leaves(mask: Tree, tree: Tree) -> Tree:
    """``tree`` with holes where ``mask`` is true."""
    return None if tree is None else keep_leaves(tree_map_live(lambda flag: not flag, mask), tree)


def without_frozen(
    columns: Columns,
    frozen: Tree,
    extra: dict,
) -> tuple[Columns, dict]:
    """Columns and extra arguments with holes for frozen leaves."""
    updates, params = drop_leaves(frozen, columns.updates), drop_leaves(frozen, columns.params)
    seen = tree_map_live(lambda flag: not flag, frozen)
    own = Columns(
        columns.treedef,
        columns.column(updates),
        columns.column(params),
        params,
    )
    return own, restrict_extras(seen, columns.params, extra)


def with_zeros(
    columns: Columns,
    frozen: Tree,
    given: Columns,
    stacked: bool,
) -> Columns:
    """Make zeros the updates of frozen leaves that had gradients."""

    def update(is_frozen: Any, g: Any, u: Any, p: Any) -> jax.Array | None:
        if g is None or is_frozen is not True:
            return u
        shape = g.shape[1:] if stacked else g.shape  # of one example
        like = jnp.zeros_like(g, shape=shape) if p is None else p
        return jnp.zeros_like(like, compute_dtype(g.dtype))

    rows = zip(columns.column(frozen), given.g, columns.g, given.p, strict=True)
    return given.with_g([update(*row) for row in rows])


def restrict_extras(
    mask: Tree,
    params: Params,
    extra: dict[str, Any],
) -> dict[str, Any]:
    """Extra arguments for a member of the leaves in ``mask``.

    A function of the parameters is still given all of them.
    """
    own = dict(extra)
    if extra.get("grad") is not None:
        own["grad"] = keep_leaves(mask, extra["grad"])
    for name in FUNCTIONS & extra.keys():
        if callable(extra[name]) and params is not None:
            own[name] = lambda p, *rest, of=extra[name]: of(
                merge(
                    mask,
                    p,
                    upcast(params),
                ),
                *rest,
            )
    return own


def of_whole_params(extra: dict[str, Any], params: Params) -> dict[str, Any]:
    """Extra arguments whose functions are given all of a model.

    Its functions and integers, which are holes for a transformation, are put back.
    """
    functions = {k: f for k, f in extra.items() if k in FUNCTIONS and callable(f)}
    whole = lambda of: lambda p, *rest: of(put_back(p, params), *rest)
    return extra | {name: whole(of) for name, of in functions.items()}
