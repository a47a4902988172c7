"""Texts of errors about trees that do not fit."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from gradchain.core.types import Tree
from gradchain.numerics.reductions import axes_in_type
from gradchain.tree.kinds import is_numeric
from gradchain.tree.paths import Leaf, differing_containers, named_leaves


def quote(names: Iterable[str]) -> str:
    """Names for a message: ``'a', 'b'``."""
    return ", ".join(repr(n) for n in names) or "none"


def shape_dtype(x: Leaf) -> str:
    """A leaf for a message: ``float32[3,2]``."""
    if not hasattr(x, "shape"):
        return type(x).__name__
    return f"{getattr(x.dtype, 'name', x.dtype)}[{','.join(map(str, x.shape))}]"


def place(path: str) -> str:
    """A path for a message; a bare array has none."""
    return repr(path) if path else "the whole tree"


def first_names(names: list[str], most: int = 5) -> str:
    """The first names for a message, five by default."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return quote(names[:most]) + more


#: The order of the arguments, for whoever may have swapped them.
ORDER = (
    "The order is update(grads, state, params), step(grads, state, params),"
    " apply_updates(params, updates)."
)
_STEPS = (
    "updates, state = tx.update(grads, state, params); params, state = tx.step(grads, state,"
    " params)."
)
#: The way out for a state that does not fit.
ADOPT = (
    "To keep what fits of it: state, report = gradchain.adopt_state(tx, state, params). To begin"
    " anew: state = tx.init(params)."
)
#: The way out for a state that shard_map has parted otherwise than its parameters.
SPECS = (
    "If it was made for these parameters, shard_map has parted it otherwise: in in_specs and"
    " out_specs of the state give gradchain.distributed.state_specs(tx, params, param_specs, mesh)."
)
#: The way out for a loss in the place of gradients.
LOSS = (
    "Is it the loss? Gradients have the tree of the parameters: grads = jax.grad(loss_fn)(params),"
    " or loss, grads = jax.value_and_grad(loss_fn)(params)."
)


def _why(a: Leaf, b: Leaf) -> str:
    """Why shapes may differ."""
    if jnp.shape(a)[1:] == jnp.shape(b):
        return (
            "gradients of single examples are averaged first,"
            " grads = jax.tree.map(lambda g: g.mean(0), grads)."
        )
    if jnp.shape(a) == jnp.shape(b)[1:]:
        return (
            "the parameter has one dimension more in front, as gradients of single examples have."
            " Are gradients and parameters swapped?"
        )
    return (
        "is this the gradient with respect to these parameters (argnums), and were params"
        " reshaped?"
    )


def leaf_message(path: str, a: Leaf, b: Leaf) -> str:
    """Why the update ``a`` does not fit its parameter ``b``."""
    if b is None:
        return (
            f"{place(path)} has an update {shape_dtype(a)} but its parameter is None: put"
            f" None there in the updates too, unless the two are swapped. {ORDER}"
        )
    if not is_numeric(b):
        kind = type(b).__name__
        if not path and jax.tree.leaves(b):
            return f"the updates are one array, {shape_dtype(a)}; params are a {kind}. {LOSS}"
        found = f"{place(path)} has an update {shape_dtype(a)}"
        return f"{found} where params hold a {kind}, not an array. {ORDER}"
    if jnp.shape(a) != jnp.shape(b):
        differ = f"the update is {shape_dtype(a)}, its parameter {shape_dtype(b)}"
        return f"{place(path)}: {differ}. Nothing is broadcast: {_why(a, b)} {ORDER}"
    if axes_in_type(a) != axes_in_type(b):
        over = sorted(axes_in_type(a) ^ axes_in_type(b))
        return (
            f"{place(path)}: update and parameter are split over different mesh axes"
            f" (differing in {quote(over)}). Reduce the gradient over them first, for"
            f" example with jax.lax.pmean(grads, {over[0]!r})."
        )
    dtype_a, dtype_b = jnp.result_type(a), jnp.result_type(b)
    return (
        f"{place(path)}: the update has dtype {dtype_a}, its parameter {dtype_b}: one real,"
        " one complex, or not a gradient at all. Are these the gradients of these"
        " parameters?"
    )


def _is_pair_with(x: Tree, like: Tree) -> bool:
    """Whether it is a pair with a tree like another."""
    structure = jax.tree.structure(like)
    return type(x) is tuple and len(x) == 2 and structure in map(jax.tree.structure, x)


def is_state_of(x: Tree, params: Tree) -> bool:
    """Whether it holds trees like ``params`` as a state does.

    There they stand under the names of a member and of a slot.
    """
    own = {path for path, leaf in named_leaves(params) if leaf is not None}
    inside = set()
    for path, _ in named_leaves(x):
        names = path.split("/")
        for i in range(2, len(names)):
            inside.add("/".join(names[i:]))
    return bool(own) and own <= inside


def refuse_swapped(call: str, state: Tree, params: Tree) -> None:
    """Refuse parameters that look like the state beside them.

    Args:
        call: the right call, ``eval_params(state, params)``.
        state: what stands in the place of the state.
        params: what stands in that of the parameters.
    """
    is_array = jax.tree_util.all_leaves([state]) and is_numeric(state)
    if is_array or is_state_of(params, state):
        name, _, _ = call.partition("(")
        raise TypeError(
            f"{name}: {'the state is one array' if is_array else 'params look like a state'}."
            f" Swapped? The order is {call}."
        )


def structure_message(name_a: str, a: Tree, name_b: str, b: Tree) -> str:
    """Why two trees do not fit each other."""
    if jax.tree_util.all_leaves([b]) and not is_numeric(b):
        return (
            f"{name_b} are a {type(b).__name__}, not a tree of arrays like {name_a}: give the"
            " arrays, of a Linen module for example model.init(key, x)['params']."
        )
    for pair, other, of, like in ((a, b, name_a, name_b), (b, a, name_b, name_a)):
        if _is_pair_with(pair, other):
            is_step = jax.tree.structure(pair[0]) == jax.tree.structure(other)
            text = "what update or step" if is_step else "what value_and_grad"
            way_out = _STEPS if is_step else "loss, grads = jax.value_and_grad(loss_fn)(params)."
            return (
                f"{of} are a pair, of which the {'first' if is_step else 'second'} is a tree like"
                f" {like}: is it {text} returns? Take it apart: {way_out}"
            )
    for x, of, like in ((a, name_a, b), (b, name_b, a)):
        if is_state_of(x, like):
            names = ", ".join(map(repr, x)) if isinstance(x, dict) else type(x).__name__
            return f"{of} look like a state, which has {names}. {ORDER}"
    paths_a, paths_b = dict(named_leaves(a)), dict(named_leaves(b))
    missing = [p for p in paths_b if p not in paths_a]
    extra = [p for p in paths_a if p not in paths_b]
    if not missing and not extra:
        path, kind_a, kind_b = differing_containers(a, b)
        return (
            f"{name_a} and {name_b} have the same paths, but of different containers: at"
            f" {place(path)} {name_a} have a {kind_a} and {name_b} a {kind_b}. A serializer"
            " may have made it: restore into a template, as flax.serialization.from_bytes(params,"
            " data) and flax.serialization.from_state_dict(params, restored) do."
        )
    parts = [f"{name_a} and {name_b} are different trees."]
    if missing:
        parts.append(f"Missing in {name_a}: {first_names(missing)}.")
    if extra:
        parts.append(f"Not in {name_b}: {first_names(extra)}.")
    parts.append(
        "Pass the gradients of these parameters; a parameter without one may have None"
        f" in its place. {ORDER}"
    )
    return " ".join(parts)
