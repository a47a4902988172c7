"""How a factory of gradchain is called in optax's way: other places of arguments, masks, dtypes,
any extra argument.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.core.lift import elementwise
from gradchain.core.transformation import (
    GradientTransformation,
    as_transformation,
    chain,
    transform,
)
from gradchain.tree.selecting import OfTree


@transform
def any_extra_args() -> Any:
    """Change nothing, and let ``update`` be given any extra argument, used or not."""
    body = elementwise(lambda g: g)
    body.extras |= {"*"}
    return body


def accept_any_extra(tx: GradientTransformation) -> GradientTransformation:
    """The transformation whose ``update`` may be given any extra argument."""
    return (
        tx
        if any(m.factory.name == "any_extra_args" for m in tx.members.values())
        else chain(tx, any_extra_args())
    )


def with_extra_args_support(tx: Any) -> GradientTransformation:
    """``tx``, or the pair ``tx``, as a transformation whose ``update`` may be given any extra
    argument.
    """
    return accept_any_extra(as_transformation(tx, "with_extra_args_support"))


@transform
def stored_as(inner: GradientTransformation, slots: tuple[str, ...], dtype: str) -> Any:
    """Keep the slots of these names in another dtype; they are still computed with in float32 at
    least.

    Args:
        inner: the transformation.
        slots: the names of the slots.
        dtype: the dtype's name.

    Raises:
        ValueError: if no member has such a slot.
    """

    def init(params: Any) -> Any:
        state = inner.init(params)
        found = [
            name
            for entry in state.values()
            for name in slots
            if isinstance(entry, dict) and name in entry
        ]
        if not found:
            raise ValueError(
                f"{inner!r} keeps nothing called {' or '.join(slots)} whose dtype could be {dtype}."
            )
        cast = lambda name, tree: (
            jax.tree.map(lambda x: x.astype(dtype), tree) if name in slots else tree
        )
        return {
            k: {name: cast(name, tree) for name, tree in entry.items()}
            for k, entry in state.items()
        }

    return init, inner.update


def where_of(mask: MaskOrFn) -> Any:
    """A mask as a selection: a function of the tree says so; a module that is callable and a tree
    is a tree.
    """
    if not callable(mask):
        return mask
    return OfTree(mask if jax.tree_util.all_leaves([mask]) else lambda tree: mask)


def adapt_signature(
    factory: Callable[..., GradientTransformation],
    signature: str,
    *,
    masks: dict[str, str] | None = None,
    dtypes: dict[str, str] | None = None,
    name: str | None = None,
    **defaults: Any,
) -> Callable[..., GradientTransformation]:
    """``factory`` called with optax's arguments, and by keyword with those that optax does not
    have.

    Args:
        factory: the factory; arguments of the same name are the same.
        signature: the names of optax's arguments in order, with ``*`` before those by keyword only.
        masks: from the name of an argument that is a mask to the factory's that is a selection.
        dtypes: from the name of an argument that is a dtype to the slot that is stored in it.
        name: what it is called; by default as the factory.
        defaults: where they differ from the factory's.
    """
    masks, dtypes = masks or {}, dtypes or {}
    own = inspect.signature(factory).parameters
    kind, parameters = inspect.Parameter.POSITIONAL_OR_KEYWORD, []
    for argument in signature.split():
        if argument == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
            continue
        default = own[argument].default if argument in own else None
        is_hyper = argument in own and "Hyper" in str(own[argument].annotation)
        annotation = ScalarOrSchedule if is_hyper else inspect.Parameter.empty
        parameters.append(
            inspect.Parameter(
                argument, kind, default=defaults.get(argument, default), annotation=annotation
            )
        )
    known = {p.name for p in parameters} | set(masks.values())
    further = [p for p in own.values() if p.name not in known and p.kind is not p.VAR_POSITIONAL]
    spoken = inspect.Signature([*parameters, *(p.replace(kind=p.KEYWORD_ONLY) for p in further)])

    def make(*args: Any, **kwargs: Any) -> GradientTransformation:
        bound = spoken.bind(*args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        stored = {slot: given.pop(name) for name, slot in dtypes.items()}
        given |= {where: where_of(given.pop(name)) for name, where in masks.items()}
        tx = factory(**given)
        for slot, dtype in stored.items():
            if dtype is not None:
                tx = stored_as(tx, (slot,), jnp.dtype(dtype).name)
        return accept_any_extra(tx)

    make.__name__ = make.__qualname__ = name or getattr(factory, "__name__", "make")
    make.__doc__ = factory.__doc__
    make.__signature__ = spoken  # pyright: ignore[reportFunctionMemberAccess]
    return make


def accepting_any_extra(
    factory: Callable[..., GradientTransformation],
) -> Callable[..., GradientTransformation]:
    """``factory`` with its own arguments, whose transformations take any extra argument."""
    names, keyword_only = [], False
    for name, parameter in inspect.signature(factory).parameters.items():
        names += ["*"] * (parameter.kind is parameter.KEYWORD_ONLY and not keyword_only) + [name]
        keyword_only = parameter.kind is parameter.KEYWORD_ONLY
    return adapt_signature(factory, " ".join(names))


def as_seed(key: Any, seed: Any = None, otherwise: int = 0) -> int:
    """The seed that an integer key, or one by its old name, stands for.

    Raises:
        TypeError: for a random key, which would have to be in the state; give one to each
            ``update`` instead.
    """
    if seed is not None and key is not None:
        raise ValueError("Only one of seed or key can be specified.")
    number = seed if key is None else key
    if number is None:
        return otherwise
    if not jnp.issubdtype(jnp.result_type(number), jnp.integer) or jnp.ndim(number):
        raise TypeError(
            "key must be an integer, the seed; or give a key to each update, update(..., key=key)."
        )
    return int(number)
