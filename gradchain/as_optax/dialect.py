"""Transformations whose states have the shapes of optax."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from gradchain.as_optax import pieces
from gradchain.as_optax.pieces import as_floats
from gradchain.as_optax.shown import view_of
from gradchain.as_optax.views import is_nothing
from gradchain.core.apply import apply_updates
from gradchain.core.call import Call
from gradchain.core.factory import FACTORIES
from gradchain.core.transformation import GradientTransformation as Native
from gradchain.core.types import Params, Updates


class _Function:
    """A method, or a hand-written pair's own function."""

    def __init__(self, method: Callable[..., Any]):
        self.method, self.__doc__ = method, method.__doc__

    def __get__(self, tx: Any, kind: Any = None) -> Any:
        if tx is not None and tx.is_pair:
            return tx.arguments[self.method.__name__]
        return self.method.__get__(tx, kind)


_function: Any = _Function  # to a checker it makes methods


class _AnyTransformation(type):
    """Transformations of this library are instances, whoever made them."""

    takes_extras: bool

    def __instancecheck__(cls, x: Any) -> bool:
        is_bare = cls.takes_extras and type(x) is GradientTransformation
        return isinstance(x, Native) and not is_bare


class GradientTransformation(Native, metaclass=_AnyTransformation):
    """A pair of functions, ``init`` and ``update``, as in optax.

    ``GradientTransformation(init, update)`` is a pair of one's own, whose functions are called as
    they are. All others run as transformations of this library, ``tx.native``.
    """

    __slots__ = ()
    _fields = ("init", "update")
    takes_extras = False

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter((self.init, self.update))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, name: Any) -> Any:
        return tuple(self)[name] if isinstance(name, int | slice) else super().__getitem__(name)

    def __reduce__(self) -> Any:
        return _remake, (type(self), self.factory.name, self.arguments, self.name)

    def _replace(self, **changes: Callable[..., Any]) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The pair with another function, as of a named tuple."""
        init, update = self
        return type(self)(changes.pop("init", init), changes.pop("update", update), **changes)

    @property
    def native(self) -> Native:
        """The same transformation, whose state is a dict by names."""
        return self.kept("native", lambda: Native.of(self.factory, self.arguments, self.name))

    @_function
    def init(self, params: Params) -> Any:
        """The state before the first update."""
        (params,) = as_floats(params)
        made = pieces.init(self.native, params) if self.has_pairs else self.native.init(params)
        return self.shown(made)

    @_function
    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        """Turn gradients into updates, and a state into the next.

        Extra arguments that no member takes are left out.
        """
        given = self._read(state)
        updates, params = as_floats(updates, params)
        run = pieces.update if self.has_pairs else pieces.fitting
        updates, new = run(self.native, updates, given, params, self._taken(extra))
        return updates, self.shown(new, state)

    def step(
        self, grads: Updates, state: Any, params: Params, **extra: Any
    ) -> tuple[Params, Any]:
        """Update and apply."""
        if self.has_pairs:
            updates, new = self.update(grads, state, params, **extra)
            return apply_updates(params, updates), new
        given = self._read(state)
        params, new = self.native.step(grads, given, params, **self._taken(extra))
        return params, self.shown(new, state)

    @property
    def has_pairs(self) -> bool:
        """Whether hand-written pairs are among its members."""
        return pieces.has_pairs(self.native)

    def _taken(self, extra: dict[str, Any]) -> dict[str, Any]:
        return pieces.taken(self.native, extra)

    def shown(self, state: dict[str, Any], old: Any = None) -> Any:
        """A state by names in the shapes of optax."""
        entries = [state.get(name, {}) for name in self.native.members]
        return view_of(self.native).show(entries, old)

    def _read(self, shown: Any) -> dict[str, Any]:
        entries = view_of(self.native).read(shown, "")
        names = self.native.members
        pairs = zip(names, entries, strict=True)
        return {name: x for name, x in pairs if not is_nothing(x)}


class GradientTransformationExtraArgs(GradientTransformation):
    """A transformation whose ``update`` takes any extra argument."""

    __slots__ = ()
    takes_extras = True


def in_dialect(tx: Native) -> GradientTransformationExtraArgs:
    """A transformation of this library, shown as optax would."""
    return GradientTransformationExtraArgs.of(tx.factory, tx.arguments, tx.name)


def _remake(kind: type[Call], factory: str, *rest: Any) -> Any:
    return kind.of(FACTORIES[factory], *rest)
