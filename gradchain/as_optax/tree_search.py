"""Search trees for values by name, and replace them."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax

from gradchain.core.types import Tree

Path: TypeAlias = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class NamedTupleKey:
    """The key of a named tuple's field, in paths."""

    tuple_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.tuple_name}.{self.name}"


def _children(node: Any) -> list[tuple[Any, Any, Any]]:
    """Name, key and value of each thing in a container.

    The name is that which one may ask for.
    """
    if hasattr(node, "_fields"):
        key = lambda name: NamedTupleKey(type(node).__name__, name)
        return [(name, key(name), getattr(node, name)) for name in node._fields]
    if isinstance(node, dict):
        return [(k, jax.tree_util.DictKey(k), v) for k, v in node.items()]
    if isinstance(node, list | tuple):
        return [(None, jax.tree_util.SequenceKey(i), v) for i, v in enumerate(node)]
    if node is None or jax.tree_util.all_leaves([node]):
        return []
    one_level = jax.tree_util.tree_leaves_with_path(node, is_leaf=lambda x: x is not node)
    return [(getattr(path[0], "name", None), path[0], value) for path, value in one_level]


def _has_name(node: Any, key: Any) -> bool:
    """Whether a node is a named tuple of that name."""
    return hasattr(node, "_fields") and type(node).__name__ == key


def _holds(node: Any, key: Any) -> bool:
    """Whether a name is in a container, or its own."""
    return _has_name(node, key) or any(name == key for name, _, _ in _children(node))


def _holders(path: Path, node: Any, key: Any) -> Iterator[tuple[Path, Any]]:
    """The outermost containers that hold a name."""
    if _holds(node, key):
        yield path, node
        return
    children = _children(node)
    if isinstance(node, dict):  # whose order is that of ``jax.tree``
        children = sorted(children, key=lambda child: child[0])
    for _, entry, value in children:
        yield from _holders((*path, entry), value, key)


def _found(path: Path, node: Any, key: Any) -> Iterator[tuple[Path, Any]]:
    """All values under a name; the outer ones are first."""
    holders = list(_holders(path, node, key))
    for outer, holder in holders:
        if _has_name(holder, key):
            yield outer, holder
        yield from (
            ((*outer, entry), value) for name, entry, value in _children(holder) if name == key
        )
    for outer, holder in holders:
        for _, entry, value in _children(holder):
            yield from _found((*outer, entry), value, key)


def tree_get_all_with_path(
    tree: Tree, key: Any, filtering: Callable[..., bool] | None = None
) -> list[Any]:
    """All values under a name, each with its path.

    The name is a dict's key, a named tuple's field or that of a named tuple. Outer values are
    before those inside of them, in the order of optax.
    """
    found = _found((), tree, key)
    return [pair for pair in found if filtering is None or filtering(*pair)]


def tree_get(
    tree: Tree,
    key: Any,
    default: Any = None,
    filtering: Callable[..., bool] | None = None,
) -> Any:
    """The one value under a name; see ``tree_get_all_with_path``.

    Raises:
        KeyError: if there are several.
    """
    found = tree_get_all_with_path(tree, key, filtering)
    if len(found) > 1:
        raise KeyError(f"Found multiple values for '{key}' in {tree}.")
    return found[0][1] if found else default


def tree_set(
    tree: Tree,
    filtering: Callable[..., bool] | None = None,
    /,
    **kwargs: Any,
) -> Tree:
    """Replace the values under some names.

    See ``tree_get_all_with_path``.

    Raises:
        KeyError: if there is no such name.
    """
    for key in kwargs:
        if not tree_get_all_with_path(tree, key, filtering):
            raise KeyError(f"Found no values matching '{key}' in {tree}")
    allowed = lambda path, value: filtering is None or filtering(path, value)

    def walk(path: tuple[Any, ...], node: Any) -> Any:
        if hasattr(node, "_fields") and type(node).__name__ in kwargs and allowed(path, node):
            return kwargs[type(node).__name__]
        new = []
        for name, entry, value in _children(node):
            chosen = name in kwargs and allowed((*path, entry), value)
            new.append(kwargs[name] if chosen else walk((*path, entry), value))
        if hasattr(node, "_fields"):
            return type(node)(*new)
        if isinstance(node, dict):
            return type(node)(zip(node, new, strict=True))
        if not new:
            return node
        return jax.tree.structure(node, is_leaf=lambda x: x is not node).unflatten(new)

    return walk((), tree)
