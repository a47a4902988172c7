"""Chains with hand-written pairs, which are called as they are.

The members between two pairs run together, as a chain of this library.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.errors import MissingArgument
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Params, State, Updates

Tx: TypeAlias = GradientTransformation
Extra: TypeAlias = dict[str, Any]
Made: TypeAlias = tuple[Updates, State]


class Piece(NamedTuple):
    """A pair, or members between pairs.

    Attributes:
        name: the pair's entry in the state; ``None`` for members, which have one each.
        tx: the pair, or the chain of the members.
    """

    name: str | None
    tx: Tx


def own_pair(init: Callable[..., Any], update: Callable[..., Any]) -> tuple[Any, Any]:
    """A pair of this library's making, which runs among members."""
    update.is_own = True  # pyright: ignore[reportFunctionMemberAccess]
    return init, update


def has_pairs(tx: Tx) -> bool:
    """Whether hand-written pairs are among the members."""
    return tx.kept("has pairs", lambda: any(map(_stands_alone, tx.members.values())))


def _stands_alone(member: Tx) -> bool:
    if member.is_pair:
        return not hasattr(member.arguments["update"], "is_own")
    is_named_chain = member.name is not None and member.factory.composite
    return is_named_chain and has_pairs(member.unnamed)


def pieces(tx: Tx) -> list[Piece]:
    """The pairs of a chain, and the members between them."""
    return tx.kept("pieces", lambda: list(_pieces(tx)))


def _pieces(tx: Tx) -> Iterator[Piece]:
    groups = itertools.groupby(tx.members.items(), lambda item: _stands_alone(item[1]))
    for stand_alone, members in groups:
        if stand_alone:
            yield from (Piece(name, member.unnamed) for name, member in members)
        else:
            yield Piece(None, chain(*(member.named(name) for name, member in members)))


def init(tx: Tx, params: Params) -> State:
    """The state of a chain with pairs, by names."""
    state: State = {}
    for name, part in pieces(tx):
        if name is None:
            state |= part.init(params)
        else:
            start = part.arguments["init"] if part.is_pair else lambda p, part=part: init(part, p)
            state[name] = start(params)
    return state


def update(
    tx: Tx,
    updates: Updates,
    state: State,
    params: Params,
    extra: Extra,
) -> Made:
    """Updates of a chain with pairs, and its state."""
    new: State = {}
    whole = {"grad": updates} | extra  # for members that ask for the gradient
    for name, part in pieces(tx):
        if name is None:
            own = {name: state[name] for name in part.members if name in state}
            updates, made = fitting(part, updates, own, params, taken(part, whole))
            new |= made
        elif part.is_pair:
            call = part.kept("as it is", lambda part=part: taking_any(part.arguments["update"]))
            updates, new[name] = call(updates, state.get(name, {}), params, **extra)
        else:
            updates, new[name] = update(part, updates, state[name], params, extra)
    return updates, new


def fitting(
    tx: Tx,
    updates: Updates,
    state: State,
    params: Params,
    extra: Extra,
) -> Made:
    """An update, perhaps of single examples.

    Those pass members that do not look at parameters.
    """
    try:
        return tx.update(updates, state, params, **extra)
    except MissingArgument:
        raise
    except ValueError as error:
        if not _are_examples(updates, params):
            raise
        try:
            return tx.update(updates, state, None, **extra)
        except (ValueError, TypeError):
            raise error from None


def _are_examples(updates: Updates, params: Params) -> bool:
    """Whether updates have a dimension before those of parameters."""
    if params is None or jax.tree.structure(updates) != jax.tree.structure(params):
        return False
    pairs = zip(jax.tree.leaves(updates), jax.tree.leaves(params), strict=True)
    return all(jnp.ndim(u) and jnp.shape(u)[1:] == jnp.shape(p) for u, p in pairs)


def taken(tx: Tx, extra: Extra) -> Extra:
    """The extra arguments that a transformation takes."""
    return {k: v for k, v in extra.items() if k in tx.extras or "*" in tx.extras}


def taking_any(call: Callable[..., Any]) -> Callable[..., Any]:
    """``update``, given the arguments that it has."""
    parameters = inspect.signature(call).parameters.values()
    kinds = {p.kind for p in parameters}
    known = {p.name for p in parameters}
    is_placed = lambda p: p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    has_params = len(list(filter(is_placed, parameters))) > 2
    takes_params = has_params or inspect.Parameter.VAR_POSITIONAL in kinds
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds

    @functools.wraps(call)
    def wrapped(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        own = {name: x for name, x in extra.items() if takes_all or name in known}
        return call(updates, state, *([params] if takes_params else []), **own)

    del wrapped.__wrapped__  # whose signature it is not
    return wrapped


def as_floats(*trees: Any) -> tuple[Any, ...]:
    """Trees of whole numbers alone as trees of floats.

    Others stay as they are: there what no gradient moves is no parameter.
    """
    leaves = jax.tree.leaves(trees)
    is_whole = lambda x: (
        isinstance(x, bool | int)
        or (isinstance(x, jax.Array | jnp.ndarray) and x.dtype.kind in "iub")
    )
    if not leaves or not all(map(is_whole, leaves)):
        return trees
    return tuple(jax.tree.map(lambda x: jnp.asarray(x, float), tree) for tree in trees)
