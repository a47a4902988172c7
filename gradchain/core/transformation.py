"""Transformations: pure ``(init, update)`` pairs that are values, and how a chain of them runs.

When a transformation runs, its schedules are evaluated at the present step and its factory is
called with numbers. What the factory returns, a ``Body``, says how one array, or one tree, is
updated (``gradchain.lift``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

import jax

from gradchain.core import errors
from gradchain.core.apply import add_updates
from gradchain.core.call import Call, Factory, as_number, decorator, is_call
from gradchain.core.run import frozen_by, init_stages, run_stages
from gradchain.core.schedule import Schedule
from gradchain.core.stage import free_name, is_pair, stages_at_start, widest
from gradchain.numerics.arithmetic import cast
from gradchain.tree.mapping import is_traced, tree_map_live

P = ParamSpec("P")


class GradientTransformation(Call):
    """A pure pair of functions, ``init`` and ``update``, that remembers how it was made.

    ``GradientTransformation(init, update)`` wraps a hand-written pair; ``init, update = tx``
    unpacks one.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.adam(1e-3)
        >>> tx == gc.adam(1e-3), tx.replace(b1=0.8)["scale_by_adam"].arguments["b1"]
        (True, 0.8)
    """

    tag = "@transform"
    __slots__ = ()

    def __new__(cls, init: Callable, update: Callable) -> GradientTransformation:
        """The transformation that wraps a pair of functions."""
        return cls.of(_pair, {"init": init, "update": update})

    def __iter__(self) -> Iterator[Callable]:
        return iter((self.init, self.update))

    @classmethod
    def admit(cls, factory: Factory, name: str, value: Any) -> Any:
        """See ``Call``; where a transformation is expected, a foreign pair is wrapped."""
        if not factory.mentions(name, "GradientTransformation"):
            return super().admit(factory, name, value)
        beside_others = factory.mentions(name, "Where")  # in a rule, which holds a selection too
        where = f"{factory.name}: argument {name!r}"
        wrap = lambda x: (
            as_number(x) if beside_others and not is_pair(x) else as_transformation(x, where)
        )
        if factory.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            return tuple(map(wrap, value))
        if factory.mentions(name, "[") or (value is None and factory.mentions(name, "None")):
            return jax.tree.map(wrap, value, is_leaf=lambda x: is_call(x) or is_pair(x))
        return wrap(value)

    # What it is made of

    @property
    def is_pair(self) -> bool:
        """Whether it wraps a hand-written or foreign pair of functions."""
        return self.factory is _pair

    @property
    def inner(self) -> list[GradientTransformation]:
        """The transformations among its arguments."""
        return [
            x
            for x in jax.tree.leaves(self.arguments, is_leaf=is_call)
            if isinstance(x, GradientTransformation)
        ]

    @property
    def members(self) -> dict[str, GradientTransformation]:
        """The members by name, in order; nested chains and recipes are seen through."""
        if "members" not in self._cache:
            named: dict[str, GradientTransformation] = {}
            for member in self._expanded() if self.factory.composite and not self.name else [self]:
                named[free_name(member.name or _member_name(member), named)] = member
            self._cache["members"] = named
        return self._cache["members"]

    def _expanded(self) -> list[GradientTransformation]:
        made = self.factory.call(self.arguments)
        members = [made] if is_pair(made) or is_call(made) else made
        return [
            x for m in members for x in as_transformation(m, self.factory.name).members.values()
        ]

    def __getitem__(self, name: str) -> GradientTransformation:
        if name not in self.members:
            raise KeyError(
                f"no member named {name!r}; the members are {errors.quote(self.members)}"
            )
        return self.members[name]

    def named(self, name: str) -> GradientTransformation:
        """The same transformation under a name of its own in the state of a chain.

        A chain or recipe that is given a name keeps the states of its members together under it.
        """
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"named: a name is a non-empty string without '/', not {name!r}.")
        return self.of(self.factory, self.arguments, name)

    def replace(self, **changes: Any) -> GradientTransformation:
        """The same transformation with arguments, or whole members, changed by name.

        An argument that the call itself lacks is looked for in its members, and must belong to just
        one of them; a name of a member takes the transformation to put in its place.

        Example:
            >>> import gradchain as gc
            >>> gc.chain(gc.clip(1.0), gc.scale(0.1)).replace(step_size=0.2)
            chain(clip(max_delta=1.0), scale(step_size=0.2))
        """
        result = self
        for name, value in changes.items():
            if name in result.arguments:
                result = super(GradientTransformation, result).replace(**{name: value})
            elif name in result.members and len(result.members) > 1:
                result = chain(*(value if k == name else m for k, m in result.members.items()))
            else:
                result = result._replace_below(name, value)
        return result

    def _replace_below(self, name: str, value: Any) -> GradientTransformation:
        owners = [m for m in self.inner if m._has_argument(name)]
        if len(owners) != 1:
            found = f"{len(owners)} members have" if owners else "no member has"
            raise TypeError(
                f"replace: {found} an argument {name!r}. The members are {errors.quote(self.members)}; change one with"
                f" tx.replace(member=tx['member'].replace({name}=...))."
            )
        swap = lambda x: owners[0].replace(**{name: value}) if x is owners[0] else x
        new = {
            k: jax.tree.map(swap, v, is_leaf=is_call) for k, v in self.arguments.items()
        }  # in their order
        return self.of(self.factory, new, self.name)

    def _has_argument(self, name: str) -> bool:
        return name in self.arguments or any(m._has_argument(name) for m in self.inner)

    def insert_before(self, name: str, tx: Any) -> GradientTransformation:
        """The chain in which ``tx`` comes before the member called ``name``."""
        before = self[name]
        return chain(
            *(x for m in self.members.values() for x in ((tx, m) if m is before else (m,)))
        )

    @property
    def locality(self) -> str:
        """How far an output element looks, ``element``, ``leaf``, ``matrix`` or ``tree``; the
        widest of the members.
        """
        return widest(s.body.locality for s in stages_at_start(self.members))

    @property
    def extras(self) -> frozenset[str]:
        """The names of the extra arguments that ``update`` takes; ``"*"`` stands for any."""
        return frozenset().union(*(s.body.extras for s in stages_at_start(self.members)))

    @property
    def freezes(self) -> bool:
        """Whether it may keep leaves from any update, as ``freeze`` does."""
        if "freezes" not in self._cache:
            self._cache["freezes"] = any(s.body.freezes for s in stages_at_start(self.members))
        return self._cache["freezes"]

    def frozen(self, tree: Any) -> Any:
        """The tree of bools that says which leaves of ``tree`` it keeps from any update."""
        mask = frozen_by(stages_at_start(self.members), tree)
        return tree_map_live(lambda _: False, tree) if mask is None else mask

    # What it does

    def init(self, params: Any) -> dict[str, Any]:
        """The state before the first update: a dict of dicts of arrays, keyed by names.

        Args:
            params: tree of arrays or of ``jax.ShapeDtypeStruct``; ``None`` leaves are holes.

        Raises:
            TypeError: naming the path, if a parameter is not of a floating or complex dtype.
        """
        errors.check_params(params)
        if any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params)):
            return jax.eval_shape(self.init, params)
        return init_stages(self.members, errors.as_arrays(params))

    def update(
        self, updates: Any, state: dict[str, Any], params: Any = None, **extra: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Turn gradients into updates, and the state into the next one.

        Outside ``jit`` it compiles itself, with the hyperparameters as arguments.

        Args:
            updates: tree of gradients; ``None`` leaves are holes, whose state stays as it is.
            state: what ``init`` or the last ``update`` returned.
            params: tree of parameters; some members need them.
            extra: further arguments by keyword (``value=``, ``key=`` ...), used by whoever names
                them.

        Returns:
            The updates, each of its gradient's dtype, and the new state.

        Raises:
            ValueError: naming the path, if structures or shapes do not fit; nothing is broadcast.
            TypeError: for an extra argument that no member takes.
        """
        run = _compiled_update if _is_concrete(updates, extra) else _update
        return run(self, updates, state, params, extra)

    def step(
        self, grads: Any, state: dict[str, Any], params: Any, **extra: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Update and apply in one compiled call: ``params, state = tx.step(grads, state, params)``."""
        run = _compiled_step if _is_concrete(grads, extra) else _step
        return run(self, grads, state, params, extra)


def _is_concrete(updates: Any, extra: dict) -> bool:
    """Whether to compile: a tracer that only the state or the parameters hold would do no harm
    there.
    """
    return not (
        is_traced(jax.tree.leaves(updates))
        or any(isinstance(x, str) or callable(x) for x in extra.values())
    )


def _update(
    tx: GradientTransformation, updates: Any, state: Any, params: Any, extra: dict
) -> tuple[Any, dict]:
    updates = errors.as_arrays(updates)
    new_updates, new_state = run_stages(tx.members, updates, state, errors.as_arrays(params), extra)
    return tree_map_live(lambda g, u: cast(u, g.dtype), updates, new_updates), new_state


def _step(
    tx: GradientTransformation, grads: Any, state: Any, params: Any, extra: dict
) -> tuple[Any, dict]:
    updates, state = run_stages(
        tx.members, errors.as_arrays(grads), state, errors.as_arrays(params), extra
    )
    return add_updates(params, updates), state


_compiled_update = jax.jit(_update)

_compiled_step = jax.jit(_step)

# ---------------------------------------------------------------------------------------- factories


def transform(function: Callable[P, Any]) -> Callable[P, GradientTransformation]:
    """Make a factory of transformations from a function that returns a lift, or an ``(init,
    update)`` pair.

    The function sees numbers: schedules are evaluated at the present step before it is called.
    Arguments annotated ``Hyper`` take a number or a function of the step; arguments annotated
    ``GradientTransformation`` take members.
    """
    return decorator(GradientTransformation)(function)


def recipe(function: Callable[P, Any]) -> Callable[P, GradientTransformation]:
    """Make a factory from a function that puts other transformations together; its values print as
    itself.
    """
    return decorator(GradientTransformation, composite=True)(function)


def as_transformation(x: Any, where: str) -> GradientTransformation:
    """``x`` itself, or a foreign ``(init, update)`` pair wrapped; ``where`` begins the message of
    the error.
    """
    if isinstance(x, GradientTransformation):
        return x
    if not is_pair(x):
        hint = " Wrap a schedule in scale_by_schedule." if isinstance(x, Schedule) else ""
        raise TypeError(
            f"{where} must be a transformation or an (init, update) pair, not {x!r}.{hint}"
        )
    return GradientTransformation(*(x if isinstance(x, tuple) else (x.init, x.update)))


def _member_name(member: GradientTransformation) -> str:
    update = member.arguments["update"] if member.is_pair else None
    return (
        member.factory.name
        if update is None
        else getattr(update, "__qualname__", "pair").split(".")[0]
    )


def _make_pair(init: Callable, update: Callable) -> tuple[Callable, Callable]:
    return init, update


_make_pair.__name__ = "GradientTransformation"  # it prints as the call that wraps a pair

_pair = Factory(_make_pair, GradientTransformation)


@recipe
def chain(*members: GradientTransformation) -> Any:
    """Apply transformations in order, each to the updates of the one before.

    The state is a dict with one entry for each member that has a state, under its name; nested
    chains and recipes are seen through, so that paths do not depend on how the chain was written.
    ``chain()`` changes nothing.

    Args:
        members: transformations, or foreign ``(init, update)`` pairs such as optax's.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(1e-3))
        >>> list(tx.members)
        ['clip_by_global_norm', 'scale_by_adam', 'add_decayed_weights', 'scale_by_learning_rate']
    """
    return members
