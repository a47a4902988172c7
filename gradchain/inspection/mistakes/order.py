"""Rules on signs, learning rates, and what stands before what."""

from __future__ import annotations

import math

from gradchain.core.by_label import ByLabel
from gradchain.inspection.mistakes.case import (
    ADAPTIVE,
    ALTERNATIVES,
    CLIPS,
    FINAL_STEPS,
    FINAL_WRAPPERS,
    GLOBAL_CLIPS,
    HARMLESS,
    Case,
    Found,
    argument,
    first_value,
    flips,
    has_momentum,
    has_rate,
    is_negative_rate,
    is_unknown,
    pairs,
    rates,
    values,
)
from gradchain.wrappers.groups import Frozen


def no_learning_rate(case: Case) -> Found:
    """Nothing turns a direction into a step downhill."""
    movers = [p for p in case.parts if flips(p) or has_rate(p) or is_unknown(p)]
    leaves = [p for p in case.parts if not p.body.members and not isinstance(p.body, Frozen)]
    if leaves and not movers:
        first = case.parts[0]
        is_whole = (
            len(case.tx.members) > 1
            or first.call.factory.composite
            or first.factory in FINAL_WRAPPERS
        )
        severity = (
            "mistake" if is_whole else "note"
        )  # one member alone may be a part that is looked at by itself
        yield (
            severity,
            "",
            "the updates are a direction uphill, not a step. End with scale_by_learning_rate(...).",
        )
    if not movers:
        return
    for part in case.parts:
        divides = isinstance(part.body, ByLabel) or part.factory in ALTERNATIVES
        for label, member in part.body.members.items() if divides else ():
            branch = (*part.position, label)
            if not member.freezes and not any(
                _in_one_chain(mover.position, branch) for mover in movers
            ):
                text = f"{label!r} has no learning rate: its updates are a direction uphill, not a step."
                yield (
                    "mistake",
                    part.name,
                    f"{text} End it with scale_by_learning_rate(...), or freeze() it.",
                )


def _in_one_chain(a: tuple, b: tuple) -> bool:
    """Whether two positions part in a chain, and not at the branches of a member."""
    depth = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
    return depth % 2 == 0


def two_learning_rates(case: Case) -> Found:
    """The rates multiply."""
    for a, b in pairs(case, has_rate, has_rate):
        text = f"{a.name} is a learning rate already: the two multiply, and each turns the sign."
        yield (
            "mistake",
            b.name,
            f"{text} Leave one; a further factor is scale(...) or scale_by_schedule(...).",
        )


def sign_twice(case: Case) -> Found:
    """The sign is turned and turned back."""
    for a, b in pairs(case, flips, flips):
        turns = 1 + sum(p.precedes(b) or b.precedes(p) for p in case.parts if flips(p))
        if turns % 2 == 0 and not (has_rate(a) and has_rate(b)):
            text = f"{a.name} turns the sign and this turns it back, so that updates point uphill."
            yield "mistake", b.name, f"{text} Leave one: scale_by_learning_rate turns it by itself."


def negative_learning_rate(case: Case) -> Found:
    """The step goes uphill."""
    for part in filter(is_negative_rate, case.parts):
        if not any(flips(p) and (p.precedes(part) or part.precedes(p)) for p in case.parts):
            yield (
                "mistake",
                part.name,
                "the learning rate is negative, but it is the size of a step downhill.",
            )


def infinite_learning_rate(case: Case) -> Found:
    """A step of no finite length."""
    for part in case.parts:
        for name, rate in rates(part):
            found = (
                values(rate, (0, 1, 100, case.steps or 10_000))
                if callable(rate)
                else [first_value(rate) or 0.0]
            )
            strange = [value for value in found if not math.isfinite(value)]
            if strange:
                yield "mistake", part.name, f"{name} is {strange[0]}: parameters are lost at once."


def zero_learning_rate(case: Case) -> Found:
    """Nothing moves."""
    for part in case.parts:
        for name, rate in rates(part):
            if not callable(rate) and first_value(rate) == 0:
                yield (
                    "mistake",
                    part.name,
                    f"{name} is 0: nothing moves. To keep leaves as they are: freeze().",
                )


def clip_after_scaling(case: Case) -> Found:
    """The update is clipped, not the gradient."""
    is_clip = lambda p: p.factory in CLIPS
    for a, b in pairs(case, has_rate, is_clip):
        text = f"it stands after {a.name} and clips the step, not the gradient, against a threshold in other units."
        yield "mistake", b.name, f"{text} Put it first."
    # A bound on the root mean square of a direction is in use, with Adafactor say.
    scaled = lambda p: any(has_rate(q) and q.precedes(p) for q in case.parts)
    bounds = lambda p: is_clip(p) and p.factory != "clip_by_block_rms" and not scaled(p)
    for a, b in pairs(case, lambda p: p.factory in ADAPTIVE, bounds):
        text = f"it stands after {a.name} and clips the direction, not the gradient, which is remembered whole."
        yield "warning", b.name, f"{text} Put it first."


def decay_before_adaptive(case: Case) -> Found:
    """The decay is L2 regularisation, not decoupled."""
    decays = lambda p: (
        p.factory in ("add_decayed_weights", "add_l1")
        and argument(p, "weight_decay", "strength") != 0
    )
    for a, b in pairs(case, decays, lambda p: p.factory in ADAPTIVE):
        text = f"{a.name} stands before it and is scaled as a gradient is: L2, not the decoupled decay of AdamW."
        yield (
            "warning",
            b.name,
            f"{text} Put the decay between the direction and the learning rate.",
        )


def decay_uphill(case: Case) -> Found:
    """The decay makes weights grow."""
    added = {
        "add_decayed_weights",
        "add_cautious_weight_decay",
        "add_corrected_weight_decay",
        "add_l1",
    }
    added |= {"decay_towards_initial"}
    for a, b in pairs(case, has_rate, lambda p: p.factory in added):
        text = f"it stands after {a.name}, which turned the sign: weights grow. Put it before the learning rate"
        yield "mistake", b.name, f"{text}, or use add_independent_weight_decay here."
    for a, b in pairs(case, lambda p: p.factory == "add_independent_weight_decay", has_rate):
        text = f"it stands before {b.name}, which turns the sign: weights grow. Put it after the learning rate"
        yield "mistake", a.name, f"{text}, or use add_decayed_weights here."


def not_the_last(case: Case) -> Found:
    """A member that has to know where the parameters will be is not the last."""
    final, changes = FINAL_WRAPPERS | FINAL_STEPS, lambda p: p.factory not in HARMLESS
    for a in (p for p in case.parts if p.factory in final):
        allowed = FINAL_STEPS if a.factory in FINAL_STEPS else set()
        ours = lambda p, a=a: a.recipe is not None and a.recipe == p.recipe
        later = [
            p
            for p in case.parts
            if a.precedes(p) and changes(p) and p.factory not in allowed and not ours(p)
        ]
        if later:
            text = f"it takes its updates for those that are added to the parameters, but {later[0].name} changes them."
            yield (
                "mistake",
                a.name,
                f"{text} Put it {'around' if a.factory in FINAL_WRAPPERS else 'after'} everything.",
            )


def momentum_twice(case: Case) -> Found:
    """Past gradients are remembered by two members."""
    for a, b in pairs(case, has_momentum, has_momentum):
        text = f"{a.name} remembers past gradients already: the two momenta multiply the delay."
        yield (
            "warning",
            b.name,
            f"{text} Leave one (b1=0.0 takes that of an adaptive direction away).",
        )


def clip_in_groups(case: Case) -> Found:
    """The global norm is that of one group."""
    for part in case.parts:
        groups = [
            p for p in case.parts if p.factory in ("groups", "partition") and part.is_inside(p)
        ]
        if part.factory in GLOBAL_CLIPS and groups:
            text = "inside a group the norm is that of the group alone."
            yield (
                "warning",
                part.name,
                f"{text} To clip by the norm of all, put it before {groups[0].name}.",
            )
