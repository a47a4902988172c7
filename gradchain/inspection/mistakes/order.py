"""Mistakes in signs, learning rates and the order of members."""

from __future__ import annotations

import math

from gradchain.core.by_label import ByLabel
from gradchain.core.walk import Place, PlacedMember
from gradchain.inspection.mistakes.case import (
    Case,
    Found,
    argument,
    first_value,
    flips,
    has_momentum,
    has_rate,
    has_role,
    is_adaptive,
    is_added_decay,
    is_clip,
    is_negative_rate,
    is_unknown,
    pairs,
    rates,
    values,
)


def no_learning_rate(case: Case) -> Found:
    """Nothing turns a direction into a step downhill."""
    movers = [p for p in case.parts if flips(p) or has_rate(p) or is_unknown(p)]
    leaves = [p for p in case.parts if not p.body.members and not p.body.freezes]
    if leaves and not movers:
        way_out = "End with scale_by_learning_rate(...)."
        text = f"the updates are a direction uphill, not a step. {way_out}"
        yield "mistake" if _is_whole(case) else "note", "", text
    for part in case.parts if movers else ():
        divides = isinstance(part.body, ByLabel) or "alternatives" in part.roles
        for label, member in part.body.members.items() if divides else ():
            branch = (*part.position, label)
            moves = any(_in_one_chain(mover.position, branch) for mover in movers)
            if not member.freezes and not moves:
                text = (
                    f"{label!r} has no learning rate: its updates are a direction uphill, not a"
                    " step. End it with scale_by_learning_rate(...), or freeze() it."
                )
                yield "mistake", part.name, text


def _is_whole(case: Case) -> bool:
    """Whether it is meant as an optimizer.

    One member alone may be a part that is looked at by itself.
    """
    first = case.parts[0]
    is_final_wrapper = "final" in first.roles and bool(first.body.members)
    return len(case.tx.members) > 1 or first.call.factory.composite or is_final_wrapper


def _in_one_chain(a: Place, b: Place) -> bool:
    """Whether two positions part in a chain, not at branches."""
    depth = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
    return depth % 2 == 0


def two_learning_rates(case: Case) -> Found:
    """The rates multiply."""
    for a, b in pairs(case, has_rate, has_rate):
        text = (
            f"{a.name} is a learning rate already: the two multiply, and each turns the sign."
            " Leave one; a further factor is scale(...) or scale_by_schedule(...)."
        )
        yield "mistake", b.name, text


def sign_twice(case: Case) -> Found:
    """The sign is turned and turned back."""
    for a, b in pairs(case, flips, flips):
        turns = 1 + sum(p.precedes(b) or b.precedes(p) for p in case.parts if flips(p))
        if turns % 2 == 0 and not (has_rate(a) and has_rate(b)):
            text = (
                f"{a.name} turns the sign and this turns it back, so that updates point uphill."
                " Leave one: scale_by_learning_rate turns it by itself."
            )
            yield "mistake", b.name, text


def negative_learning_rate(case: Case) -> Found:
    """The step goes uphill."""
    text = "the learning rate is negative, but it is the size of a step downhill."
    for part in filter(is_negative_rate, case.parts):
        if not any(flips(p) and (p.precedes(part) or part.precedes(p)) for p in case.parts):
            yield "mistake", part.name, text


def infinite_learning_rate(case: Case) -> Found:
    """A step of no finite length."""
    steps = (0, 1, 100, case.steps or 10_000)
    for part in case.parts:
        for name, rate in rates(part):
            found = values(rate, steps) if callable(rate) else [first_value(rate) or 0.0]
            strange = [value for value in found if not math.isfinite(value)]
            if strange:
                yield (
                    "mistake",
                    part.name,
                    f"{name} is {strange[0]}: parameters are lost at once.",
                )


def zero_learning_rate(case: Case) -> Found:
    """Nothing moves."""
    for part in case.parts:
        for name, rate in rates(part):
            if not callable(rate) and first_value(rate) == 0:
                text = f"{name} is 0: nothing moves. To keep leaves as they are: freeze()."
                yield "mistake", part.name, text


def clip_after_scaling(case: Case) -> Found:
    """The update is clipped, not the gradient."""
    for a, b in pairs(case, has_rate, is_clip):
        text = (
            f"it stands after {a.name} and clips the step, not the gradient, against a threshold"
            " in other units. Put it first."
        )
        yield "mistake", b.name, text

    # A bound on the root mean square of a direction is in use, for example with Adafactor.
    def bounds_gradients(p: PlacedMember) -> bool:
        is_scaled = any(has_rate(q) and q.precedes(p) for q in case.parts)
        return is_clip(p) and "rms_clip" not in p.roles and not is_scaled

    for a, b in pairs(case, is_adaptive, bounds_gradients):
        text = (
            f"it stands after {a.name} and clips the direction, not the gradient, which is"
            " remembered whole. Put it first."
        )
        yield "warning", b.name, text


def decay_before_adaptive(case: Case) -> Found:
    """The decay is L2 regularisation, not decoupled."""
    decays = lambda p: (
        is_added_decay(p)
        and argument(
            p,
            "weight_decay",
            "strength",
        )
        != 0
    )
    for a, b in pairs(case, decays, is_adaptive):
        text = (
            f"{a.name} stands before it and is scaled as a gradient is: L2, not the decoupled"
            " decay of AdamW. Put the decay between the direction and the learning rate."
        )
        yield "warning", b.name, text


def decay_uphill(case: Case) -> Found:
    """The decay makes weights grow."""
    for a, b in pairs(case, has_rate, is_added_decay):
        text = (
            f"it stands after {a.name}, which turned the sign: weights grow. Put it before the"
            " learning rate, or use add_independent_weight_decay here."
        )
        yield "mistake", b.name, text
    for a, b in pairs(case, lambda p: {"decay", "final"} <= p.roles, has_rate):
        text = (
            f"it stands before {b.name}, which turns the sign: weights grow. Put it after the"
            " learning rate, or use add_decayed_weights here."
        )
        yield "mistake", a.name, text


def not_the_last(case: Case) -> Found:
    """A member that foresees the next parameters is not last."""
    # Of a final decay it is only asked that no learning rate comes after it: see ``decay_uphill``.
    is_final = lambda p: "final" in p.roles and "decay" not in p.roles
    for a in filter(is_final, case.parts):
        is_wrapper = bool(a.body.members)
        later = [
            p for p in case.parts if a.precedes(p) and not p.roles & {"harmless", "observer"}
        ]
        if not is_wrapper:  # one may come after another
            later = [p for p in later if not is_final(p) or p.body.members]
        later = [p for p in later if a.recipe is None or a.recipe != p.recipe]
        if later:
            text = (
                "it works out the parameters after this step, but"
                f" {later[0].name} changes the updates behind it. Put it"
                f" {'around' if is_wrapper else 'after'} everything."
            )
            yield "mistake", a.name, text


def momentum_twice(case: Case) -> Found:
    """Past gradients are remembered by two members."""
    for a, b in pairs(case, has_momentum, has_momentum):
        text = (
            f"{a.name} remembers past gradients already: the two momenta multiply the delay."
            " Leave one (b1=0.0 takes that of an adaptive direction away)."
        )
        yield "warning", b.name, text


def clip_in_groups(case: Case) -> Found:
    """The global norm is that of one group."""
    is_groups = lambda p: isinstance(p.body, ByLabel) and "alternatives" in p.roles
    for part in filter(has_role("global_clip"), case.parts):
        groups = [p for p in case.parts if is_groups(p) and part.is_inside(p)]
        if groups:
            text = (
                "inside a group the norm is that of the group alone. To clip by the norm of all,"
                f" put it before {groups[0].name}."
            )
            yield "warning", part.name, text


def outside_accumulate(case: Case) -> Found:
    """A member sees micro-batches, but is meant for updates."""
    accumulates = lambda p: p.body.micro_steps != 1
    for clip, outer in pairs(case, is_clip, accumulates):
        text = (
            f"it stands before {outer.name} and clips the gradient of each micro-batch, not their"
            " mean. Put it inside."
        )
        yield "warning", clip.name, text
    for part in case.parts:
        inner = [p for p in case.parts if accumulates(p) and p.is_inside(part)]
        if "final" in part.roles and inner:
            text = (
                f"it is around {inner[0].name} and counts its calls, most of which change no"
                " parameter, as steps. Put it inside."
            )
            yield "warning", part.name, text
