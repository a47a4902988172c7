"""Facts that wrappers ask of their members, found once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Member, Stage, widest


class MemberFacts(NamedTuple):
    """All that wrappers ask of one member.

    Attributes:
        roles: its roles.
        copied: the slots that start as the parameters.
        counters: the integers that start at 0 or above, its clock among them.
        slots: the slots that it declares.
        is_opaque: whether it is a pair of functions, which declares none.
        stores: whether it says how the slots of what is in it are kept.
        inner: the facts of the chains that it holds, by the names of their states; ``""`` if all
            of its state is the chain's.
    """

    roles: frozenset[str]
    copied: frozenset[str]
    counters: frozenset[str]
    slots: dict[str, Slot]
    is_opaque: bool
    stores: bool
    inner: dict[str, Facts]


class Facts(NamedTuple):
    """All that wrappers ask of their members, found once.

    Attributes:
        locality: how far an element looks.
        extras: the extra arguments that are taken.
        freezes: whether leaves may be kept from updates.
        reduces_examples: whether the first member takes away a leading dimension.
        reduces_shards: whether the first member takes gradients that shards have not yet in common.
        meets_along: the mesh axes over which a member, however deep, sends: all replicas along
            them have to run it at the same steps.
        makes_steps: whether a member, however deep, makes steps downhill.
        rounds: whether the last member, or one in it, says how parameters are rounded.
        keeps_state: whether a member, however deep, declares a slot or has a clock.
        members: the facts of each member, by its entry in the state.
    """

    locality: str
    extras: frozenset[str]
    freezes: bool
    reduces_examples: bool
    reduces_shards: bool
    meets_along: frozenset[str]
    makes_steps: bool
    rounds: bool
    keeps_state: bool
    members: dict[str, MemberFacts]


def facts_of(members: Mapping[str, Member], roles: frozenset[str]) -> Facts:
    """The facts of a chain of members that has ``roles``."""
    zero = jax.device_put(np.int32(0))  # no program is compiled for it
    stages = [Stage(name, call, zero) for name, call in members.items()]
    bodies = [stage.body for stage in stages]
    below = {stage.name: _member_facts(stage) for stage in stages}
    steps = lambda of: "step" in of.roles or any(f.makes_steps for f in of.inner.values())
    return Facts(
        locality=widest(body.locality for body in bodies),
        extras=frozenset[str]().union(*(body.extras for body in bodies)),
        freezes=any(body.freezes for body in bodies),
        reduces_examples=any(body.reduces_examples for body in bodies[:1]),
        reduces_shards=any(body.reduces_shards for body in bodies[:1]),
        meets_along=frozenset[str]().union(*map(_meeting_axes, bodies)),
        makes_steps="step" in roles or any(map(steps, below.values())),
        rounds=any(
            map(
                _rounds,
                [*below.values()][-1:],
            )
        ),
        keeps_state=any(map(keeps_state, stages)),
        members=below,
    )


def _meeting_axes(body: Body) -> frozenset[str]:
    inner = (member.facts.meets_along for member in body.members.values())
    return body.meets_along.union(*inner)


def _rounds(member: MemberFacts) -> bool:
    return "rounds" in member.roles or any(f.rounds for f in member.inner.values())


def keeps_state(stage: Stage) -> bool:
    """Whether a member declares a slot or has a clock.

    One in it may do so too.
    """
    own = stage.has_clock or bool(getattr(stage.body, "slots", {}))
    return own or any(member.facts.keeps_state for member in stage.body.members.values())


def _member_facts(stage: Stage) -> MemberFacts:
    slots = getattr(stage.body, "slots", {})
    copied = frozenset(name for name, slot in slots.items() if slot.copy)
    counters = {name for name, slot in slots.items() if slot.integer and slot.fill >= 0}
    counters |= {"count"} if stage.has_clock else set()
    inner = {name: member.facts for name, member in stage.body.members.items()}
    return MemberFacts(
        roles=stage.call.factory.roles,
        copied=copied,
        counters=frozenset(counters),
        slots=slots,
        is_opaque=stage.body.is_opaque,
        stores=stage.body.stores,
        inner=inner,
    )


def slots_in(
    facts: Facts, above: tuple[str, ...] = (), *, in_stores: bool = True
) -> Iterator[tuple[tuple[str, ...], Slot | None]]:
    """All slots, however deep, by their paths in the state.

    Where a pair of functions has its state, which declares none, it is ``None``.

    Args:
        facts: those of a chain.
        above: the path of its state.
        in_stores: whether members with a storage policy of their own are entered.
    """
    for name, member in facts.members.items():
        path = (*above, name)
        yield from (((*path, slot), declared) for slot, declared in member.slots.items())
        if member.is_opaque:
            yield path, None
        if member.stores and not in_stores:
            continue
        for key, inner in member.inner.items():
            yield from slots_in(
                inner,
                (*path, key) if key else path,
                in_stores=in_stores,
            )


def slots_like_parameters(facts: Facts) -> Iterator[tuple[tuple[str, ...], Slot]]:
    """The slots that are like each parameter."""
    for path, slot in slots_in(facts):
        if slot is not None and slot.relation == "like_param" and slot.exists is None:
            yield path, slot
