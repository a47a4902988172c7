"""The fifth lift: a rule around other transformations.

A wrapper looks at whole trees, like ``treewise``, and is given in addition the transformations that
it holds. Each is called like a function, ``update, new = inner(g, s["inner"], p)``, and its state
is a part of the wrapper's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core import errors
from gradchain.core.columns import Columns
from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Extra, Ran, Stage, run_inside, widest
from gradchain.core.transformation import GradientTransformation
from gradchain.core.trees import PerTree
from gradchain.core.types import Params, State, Updates
from gradchain.numerics.branches import cond
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import in_containers_of


def around(
    rule: Callable[..., Any],
    locality: str = "tree",
    inner: GradientTransformation | None = None,
    **parts: Any,
) -> Body:
    """Lift a rule on whole trees that calls other transformations.

    The rule names its arguments, as for ``treewise``, and the transformations by the names that
    they are given here: ``rule(g, s, p, inner)`` calls ``u, new = inner(g, s["inner"], p)``. Extra
    arguments of ``update`` reach them by themselves, and can be replaced: ``inner(g, state, p,
    value=...)``. It returns ``(update, new_slots)``; each transformation's new state stands among
    the new slots.

    Args:
        rule: see above.
        locality: how far the rule itself looks; that of the whole is the widest.
        inner: the transformation around which it is.
        parts: its slots, and further transformations.

    Example:
        >>> import gradchain as gc
        >>> @gc.transform
        ... def twice(inner: gc.GradientTransformation):
        ...     def rule(g, s, p, inner):
        ...         u, new = inner(g, s["inner"], p)
        ...         return gc.tree.map_leaves(lambda x: 2 * x, u), {"inner": new}
        ...
        ...     return around(rule, inner=inner)
        >>> tx = twice(gc.scale(3.0))
        >>> print(tx.update(jnp.ones(1), tx.init(jnp.ones(1)), jnp.ones(1))[0])
        [6.]
    """
    slots = {k: v for k, v in parts.items() if isinstance(v, Slot)}
    members = {} if inner is None else {"inner": inner}
    members |= {k: v for k, v in parts.items() if k not in slots}
    return Around(rule, locality, members, slots)


class Around(PerTree):
    """A rule on whole trees around other transformations."""

    def __init__(
        self,
        rule: Callable[..., Any],
        locality: str,
        members: dict[str, GradientTransformation],
        slots: dict[str, Slot],
    ):
        inner = list(members.values())
        super().__init__(
            widest([locality, *(m.locality for m in inner)]),
            rule,
            None,
            slots,
        )
        # Of the rule alone.
        self.needs_whole, self.by_matrix = locality == "matrix", locality == "element"
        self.members = members
        self.freezes = all(m.freezes for m in inner)
        self.required -= members.keys()
        own_extras = self.extras - members.keys()
        own_extras |= {"specs"} if self.needs_whole else set()
        self.extras = own_extras.union(*(m.extras for m in inner))
        self.slot_names = None  # the states of its members stand beside its slots

    def init(self, params: Params) -> State:
        """See ``Body``."""
        inner = {name: m.init(params) for name, m in self.members.items()}
        own = super().init(params)
        return own | {name: state for name, state in inner.items() if state}

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: Extra,
    ) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        own = {k: v for k, v in state.items() if k not in stage.body.members}
        errors.check_slots(stage.name, set(stage.body.slots), own)
        return super().run(stages, columns, states, extra)

    def call(
        self, stage: Stage, dtype: jnp.dtype, extra: dict[str, Any], **given: Any
    ) -> tuple[Any, dict[str, Any]]:
        """See ``Lift``."""
        runners = {name: runner_of(tx, extra) for name, tx in self.members.items()}
        return super().call(stage, dtype, extra, **given, **runners)


def runner_of(tx: GradientTransformation, extra: dict[str, Any]) -> Callable[..., Any]:
    """The function that a rule calls a transformation by."""

    def update(
        g: Updates, state: State, p: Params | None = None, **changes: Any
    ) -> tuple[Updates, State]:
        # For the transformation, the gradient is whatever it is given.
        own = {"grad": g} if "grad" in tx.extras else {}
        u, new = run_inside(tx, g, state, p, extra | own | changes)
        # A rule may have to choose between the old state and the new one.
        return u, in_containers_of(state, new)

    return update


def run_if(
    condition: jax.Array,
    run: Callable[[], tuple[Updates, State]],
    g: Updates,
    state: State,
) -> tuple[Updates, State]:
    """Call ``run`` if a traced condition holds.

    ``run()`` returns updates and a state. If the condition does not hold, the result is zeros, and
    ``state`` as it was. Only the branch that is taken is computed, but under ``vmap``, where both
    are.

    Args:
        condition: a traced bool.
        run: a function that calls a transformation.
        g: updates of the types that ``run`` returns.
        state: the state before.
    """
    wait = lambda: (map_leaves(jnp.zeros_like, g), state)
    return cond(condition, run, wait)
