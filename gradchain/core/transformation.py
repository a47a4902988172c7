"""Transformations: pure ``(init, update)`` pairs that are values.

When one runs, its schedules are evaluated at the present step and its factory is called with
numbers. It returns a ``Body``, which says how an array or a tree is updated.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, Self, overload

import jax

from gradchain.core import abstract, advice, compiled, errors
from gradchain.core.call import Call, is_call
from gradchain.core.call_leaves import as_number
from gradchain.core.factory import Factory, decorator
from gradchain.core.facts import Facts, facts_of
from gradchain.core.holes import frozen_by
from gradchain.core.right_calls import called_as
from gradchain.core.roles import roles_of
from gradchain.core.run import init_stages
from gradchain.core.stage import free_name, is_pair, stages_at_start
from gradchain.core.types import OptaxPair, Pair, Params, State, Tree, Updates
from gradchain.tree.kinds import trainable_part
from gradchain.tree.mapping import tree_map_live

P = ParamSpec("P")


class GradientTransformation(Call, OptaxPair):  # pyright: ignore[reportGeneralTypeIssues]
    """A pure pair, ``init`` and ``update``, that remembers its making.

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

    def __new__(
        cls, init: Callable[[Params], Any], update: Callable[..., tuple[Updates, Any]]
    ) -> Self:
        """The transformation that wraps a pair of functions."""
        return cls.of(_pair, {"init": init, "update": update})

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter((self.init, self.update))

    if not TYPE_CHECKING:  # a checker would take it for leave to ask for anything

        def __getattr__(self, name: str):
            text = advice.no_attribute(self.factory.name, name)
            raise AttributeError(text, name=name, obj=self)

    @classmethod
    def admit(cls, factory: Factory, name: str, value: Any) -> Any:
        """See ``Call``; foreign pairs are wrapped as transformations."""
        if not factory.mentions(name, "GradientTransformation"):
            return super().admit(factory, name, value)
        beside_others = factory.mentions(name, "Where")  # in a rule, which holds a selection too
        where = f"{factory.name}: argument {name!r}"

        def wrap(x: Any) -> Any:
            is_other = beside_others and not is_pair(x)
            return as_number(x) if is_other else as_transformation(x, where)

        if factory.is_spread(name):
            return tuple(map(wrap, value))
        if factory.mentions(name, "[") or (value is None and factory.mentions(name, "None")):
            return jax.tree.map(wrap, value, is_leaf=lambda x: is_call(x) or is_pair(x))
        return wrap(value)

    @property
    def is_pair(self) -> bool:
        """Whether it wraps a hand-written or foreign pair of functions."""
        return self.factory is _pair

    @property
    def native(self) -> GradientTransformation:
        """Itself; of a dialect's value, that of this library."""
        return self

    @property
    def inner(self) -> list[GradientTransformation]:
        """The transformations among its arguments."""
        leaves = lambda: jax.tree.leaves(self.arguments, is_leaf=is_call)
        is_one = lambda x: isinstance(x, GradientTransformation)
        return self.kept("inner", lambda: list(filter(is_one, leaves())))

    @property
    def members(self) -> dict[str, GradientTransformation]:
        """Members by name, in order; nested chains are opened."""
        return self.kept("members", self._named_members)

    def _named_members(self) -> dict[str, GradientTransformation]:
        named: dict[str, GradientTransformation] = {}
        is_open = self.factory.composite and not self.name
        opened = lambda: [x for m in self._made() for x in m.members.values()]
        for member in opened() if is_open else [self]:
            named[free_name(member.name or _member_name(member), named)] = member
        return named

    def _made(self) -> list[GradientTransformation]:
        made = self.factory.call(self.arguments)
        made = [made] if is_pair(made) or is_call(made) else made
        return [as_transformation(m, self.factory.name) for m in made]

    @property
    def roles(self) -> frozenset[str]:
        """The roles of its factory, or of a chain's members."""
        return self.kept("roles", self._all_roles)

    def _all_roles(self) -> frozenset[str]:
        made = self._made() if self.factory.composite else []
        return self.factory.roles.union(*(member.roles for member in made))

    def __getitem__(self, name: str) -> GradientTransformation:
        if name not in self.members:
            known = errors.quote(self.members)
            raise KeyError(f"no member named {name!r}; the members are {known}")
        return self.members[name]

    def named(self, name: str) -> GradientTransformation:
        """The same transformation under a name of its own.

        The name stands in the state of a chain. A chain or recipe that is given one keeps the
        states of its members together under it.
        """
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"named: a name is a non-empty string without '/', not {name!r}.")
        return self.of(self.factory, self.arguments, name)

    def replace(self, **changes: Any) -> GradientTransformation:
        """The same transformation with arguments or members changed by name.

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
        owners = [m for m in self.inner if name in m._all_arguments()]
        if len(owners) != 1:
            known = self._all_arguments() - {name}
            raise advice.not_in_one_member(name, value, len(owners), self.members, known)
        swap = lambda x: owners[0].replace(**{name: value}) if x is owners[0] else x
        arguments = self.arguments.items()  # in their order, which a map over the dict loses
        new = {k: jax.tree.map(swap, v, is_leaf=is_call) for k, v in arguments}
        return self.of(self.factory, new, self.name)

    def _all_arguments(self) -> set[str]:
        return set(self.arguments).union(*(m._all_arguments() for m in self.inner))

    def insert_before(
        self, name: str, tx: GradientTransformation | Pair
    ) -> GradientTransformation:
        """Insert ``tx`` before the member called ``name``."""
        members = list(self.members.values())
        place = members.index(self[name])
        return chain(*members[:place], tx, *members[place:])

    @property
    def unnamed(self) -> GradientTransformation:
        """The same transformation without the name of its own."""
        make = lambda: self if self.name is None else self.of(self.factory, self.arguments)
        return self.kept("unnamed", make)

    @property
    def locality(self) -> str:
        """How far an element looks: ``element``, ``leaf``, ``matrix`` or ``tree``."""
        return self.facts.locality

    @property
    def extras(self) -> frozenset[str]:
        """The extra arguments that ``update`` takes; ``"*"`` stands for any."""
        return self.facts.extras

    @property
    def freezes(self) -> bool:
        """Whether it may keep leaves from updates, like ``freeze``."""
        return self.facts.freezes

    @property
    def facts(self) -> Facts:
        """All that wrappers ask of it, found once."""
        return self.kept("facts", lambda: facts_of(self.members, self.roles))

    def with_facts_of(self, known: GradientTransformation) -> Self:
        """Itself, with the facts of another that differs in numbers."""
        self._cache["facts"] = known.facts
        for own, other in zip(self.inner, known.inner, strict=True):
            own.with_facts_of(other)
        return self

    def kept(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """A value that is made once, since wrappers ask often."""
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]

    def frozen(self, tree: Tree) -> Tree:
        """Which leaves of ``tree`` it keeps from any update."""
        leaves, treedef = jax.tree.flatten(tree)
        shapes = tuple((getattr(x, "shape", ()), getattr(x, "dtype", type(x))) for x in leaves)
        return self.kept(("frozen", treedef, shapes), lambda: self._frozen(tree))

    def _frozen(self, tree: Tree) -> Tree:
        mask = frozen_by(stages_at_start(self.members), tree)
        return tree_map_live(lambda _: False, tree) if mask is None else mask

    @called_as("Call state = tx.init(params).")
    def init(self, params: Params) -> State:
        """The state before the first update.

        Args:
            params: tree of arrays or of ``jax.ShapeDtypeStruct``; ``None`` leaves are holes, as is
                all that no gradient moves: functions, strings, integers, random keys.

        Raises:
            TypeError: naming a path, if no leaf is of a floating or complex dtype.
        """
        errors.check_params(params)
        params = trainable_part(params)
        if any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(params)):
            return abstract.init(self.init, params)
        return init_stages(self.members, errors.as_arrays(params))

    @called_as("Call updates, state = tx.update(grads, state, params).")
    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        """Turn gradients into updates, and a state into the next.

        Outside ``jit`` it compiles itself, with the hyperparameters as arguments.

        Args:
            updates: tree of gradients; ``None`` leaves are holes, whose state stays as it is.
            state: what ``init`` or the last ``update`` returned.
            params: tree of parameters; some members need them.
            extra: further arguments by keyword, for example ``value=``, for members that name them.
                Inside ``shard_map``, ``specs=``, a tree of ``PartitionSpec`` like the parameters:
                members that look along rows or at matrices then gather leaves that are split.

        Raises:
            ValueError: naming the path, if structures or shapes do not fit (nothing is broadcast),
                or ``specs`` is missing.
            TypeError: for an extra argument that no member takes.
        """
        return compiled.update(self, updates, state, params, extra)

    @called_as("Call params, state = tx.step(jax.grad(loss_fn)(params), state, params).")
    def step(
        self, grads: Updates, state: State, params: Params, **extra: Any
    ) -> tuple[Params, State]:
        """Update and apply: ``params, state = tx.step(grads, state, params)``."""
        return compiled.step(self, grads, state, params, extra)


# ---------------------------------------------------------------------------------- factories


@overload
def transform(function: Callable[P, Any]) -> Callable[P, GradientTransformation]: ...


@overload
def transform(
    function: None = None, *, roles: str = ""
) -> Callable[[Callable[P, Any]], Callable[P, GradientTransformation]]: ...


def transform(function: Callable[..., Any] | None = None, *, roles: str = "") -> Any:
    """Make a factory of transformations from a function.

    The function sees numbers: schedules are evaluated at the present step before it is called.
    Arguments annotated ``Hyper`` take a number or a function of the step; arguments annotated
    ``GradientTransformation`` take members. In the place of a lift it may return an ``(init,
    update)`` pair.

    Args:
        function: the function; the decorator stands with arguments or without.
        roles: words for ``check``, ``watch`` and whoever else asks, for example ``"adaptive
            momentum"``; ``gradchain.core.roles.ROLES`` says each. None: nothing is known of it.

    Raises:
        ValueError: if a word is no role.

    Example:
        >>> import gradchain as gc
        >>> @gc.transform(roles="adaptive")
        ... def signs():
        ...     return gc.elementwise(lambda g: g / abs(g))
        >>> sorted(gc.chain(signs(), gc.clip(1.0)).roles)
        ['adaptive', 'clip']
    """
    make = decorator(GradientTransformation, roles=roles_of(roles))
    return make if function is None else make(function)


def recipe(function: Callable[P, Any]) -> Callable[P, GradientTransformation]:
    """Make a factory from a function that composes other transformations.

    Its values print as its own call.
    """
    return decorator(GradientTransformation, composite=True)(function)


def as_transformation(x: Any, where: str) -> GradientTransformation:
    """A transformation, or a foreign pair wrapped as one."""
    if isinstance(x, GradientTransformation):
        return x.native
    if not is_pair(x):
        raise advice.no_transformation(where, x)
    return GradientTransformation(*(x if isinstance(x, tuple) else (x.init, x.update)))


def _member_name(member: GradientTransformation) -> str:
    if not member.is_pair:
        return member.factory.name
    return getattr(member.arguments["update"], "__qualname__", "pair").split(".")[0]


def _make_pair(init: Callable[..., Any], update: Callable[..., Any]) -> tuple:
    return init, update


_make_pair.__name__ = "GradientTransformation"  # it prints as the call that wraps a pair

_pair = Factory(_make_pair, GradientTransformation)


@recipe
def chain(*members: GradientTransformation | Pair) -> Any:
    """Apply transformations in order, each to the previous one's updates.

    The state is a dict with an entry for each member that has a state. Nested chains and recipes
    are seen through: paths do not depend on how the chain was written. ``chain()`` changes nothing.

    Args:
        members: transformations, or foreign ``(init, update)`` pairs such as optax's.

    Example:
        >>> import gradchain as gc
        >>> tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(1e-3))
        >>> list(tx.members)
        ['clip_by_global_norm', 'scale_by_adam', 'add_decayed_weights', 'scale_by_learning_rate']
    """
    return members
