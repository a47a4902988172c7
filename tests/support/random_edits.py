"""Random chains and random edits of them, and what their states have to hold."""

import dataclasses
import re
from dataclasses import replace

import hypothesis.strategies as st

import gradchain as gc

SHAPES = {"w": (2, 3), "b": (3,), "e": (4, 2)}
RATE = gc.linear_schedule(0.1, 0.0, 10)


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of a random chain: ``ident`` stays, whatever its name."""

    kind: str
    ident: int
    label: str | None
    chain: tuple = ()  # of a wrapper
    groups: tuple = ()  # of groups: pairs of leaves and chain

    @property
    def name(self):
        return self.label or KINDS[self.kind][0]


KINDS = {  # name, what makes it, slots of a leaf, other slots
    "adam": ("scale_by_adam", lambda _: gc.scale_by_adam(), {"mu", "nu"}, {"count"}),
    "momentum": ("add_momentum", lambda _: gc.add_momentum(), {"momentum"}, set()),
    "average": ("average_updates", lambda _: gc.average_updates(), {"average"}, {"count"}),
    "lion": ("scale_by_lion", lambda _: gc.scale_by_lion(), {"mu"}, set()),
    "rms": ("scale_by_rms", lambda _: gc.scale_by_rms(), {"nu"}, set()),
    "rate": (
        "scale_by_learning_rate",
        lambda _: gc.scale_by_learning_rate(RATE),
        set(),
        {"count"},
    ),
    "scheduled": ("scale", lambda _: gc.scale(RATE), set(), {"count"}),
    "clip": ("clip", lambda _: gc.clip(1.0), set(), set()),
    "accumulate": (
        "accumulate",
        lambda inner: gc.accumulate(inner, every=2),
        {"gradient_sum"},
        {"count", "micro_step", "taken", "dropped", "value_sum"},
    ),
    "lookahead": ("lookahead", lambda inner: gc.lookahead(inner), {"slow_params"}, {"count"}),
    "average_weights": (
        "average_weights",
        lambda inner: gc.average_weights(inner, 0.9),
        {"average_params"},
        {"count", "weight"},
    ),
    "masked": (
        "masked",
        lambda inner: gc.masked(inner, re.compile("w|b"), gc.identity()),
        set(),
        set(),
    ),
    "groups": ("groups", None, set(), set()),
}
PLAIN = ["adam", "momentum", "average", "lion", "rms", "rate", "scheduled", "clip"]
AROUND = ["accumulate", "lookahead", "average_weights", "masked"]


def build(chain):
    made = []
    for m in chain:
        if m.kind == "groups":
            rules = [
                (re.compile(f"^({'|'.join(leaves)})$"), build(inner))
                for leaves, inner in m.groups
                if leaves
            ]
            tx = gc.groups(rules)
        else:
            tx = KINDS[m.kind][1](build(m.chain))
        made.append(tx.named(m.label) if m.label else tx)
    return gc.chain(*made)


def everyone(chain):
    for m in chain:
        yield m
        yield from everyone(m.chain)
        for _, inner in m.groups:
            yield from everyone(inner)


def slots(chain, leaves=tuple(SHAPES)):
    """By name and slot of each stage, the leaves that have it: what the state has to hold."""
    found = {}
    for m in chain:
        _, _, per_leaf, _ = KINDS[m.kind]
        for slot in per_leaf:
            found.setdefault((m.name, slot), []).extend(leaves)
        inner = [(leaf for leaf in leaves if m.kind != "masked" or leaf in "wb")]
        below = (
            [(tuple(g), c) for g, c in m.groups]
            if m.kind == "groups"
            else [(tuple(inner[0]), m.chain)]
        )
        for own, c in below:
            for key, held in slots(c, tuple(leaf for leaf in own if leaf in leaves)).items():
                found.setdefault(key, []).extend(held)
    return found


@st.composite
def chains_and_edits(draw):
    """A chain before and after some edits."""
    counter = iter(range(10_000))

    def fresh(kind, used):
        ident = next(counter)
        plain = KINDS[kind][0] not in used and draw(st.booleans())
        return Member(kind, ident, None if plain else f"m{ident}")

    def names(chain):
        return {m.name for m in everyone(chain)}

    def chain_of(used, depth, least=0):
        members = ()
        for _ in range(draw(st.integers(least, 3))):
            members += (member(used | names(members), depth),)
        return members

    def member(used, depth):
        kind = draw(st.sampled_from(PLAIN + (AROUND if depth else [])))
        m = fresh(kind, used)
        return replace(m, chain=chain_of(used | {m.name}, depth - 1)) if kind in AROUND else m

    def edit(chain):
        """One edit, in the chain or in one of its wrappers or groups."""
        holders = [i for i, m in enumerate(chain) if m.chain or m.groups]
        if holders and draw(st.booleans()):
            i = draw(st.sampled_from(holders))
            m = chain[i]
            if m.chain:
                m = replace(m, chain=edit_of(m.chain, names(whole[0]) - names(m.chain)))
            else:
                m = regroup(m)
            return (*chain[:i], m, *chain[i + 1 :])
        return edit_of(chain, names(whole[0]) - names(chain))

    def regroup(m):
        groups = list(m.groups)
        what = draw(st.sampled_from(["move", "split", "merge"]))
        if what == "move" and len(groups) > 1:
            leaf = draw(st.sampled_from(sorted(SHAPES)))
            to = draw(st.integers(0, len(groups) - 1))
            groups = [
                (tuple(x for x in leaves if x != leaf) + (leaf,) * (i == to), c)
                for i, (leaves, c) in enumerate(groups)
            ]
        elif what == "split" and len(groups[0][0]) > 1:
            leaves, inner = groups[0]
            groups = [(leaves[:1], inner), (leaves[1:], inner), *groups[1:]]
        elif what == "merge" and len(groups) > 1:
            groups = [
                (groups[0][0] + groups[1][0], groups[draw(st.integers(0, 1))][1]),
                *groups[2:],
            ]
        return replace(m, groups=tuple(groups))

    def edit_of(chain, elsewhere):
        used = elsewhere | names(chain)
        i = draw(st.integers(0, max(len(chain) - 1, 0)))
        what = draw(
            st.sampled_from(["insert", "remove", "reorder", "rename", "wrap", "unwrap", "group"])
        )
        if what == "insert" or not chain:
            return (*chain[:i], member(used, 1), *chain[i:])
        m, rest = chain[i], (chain[:i], chain[i + 1 :])
        if what == "remove":
            return (*rest[0], *rest[1])
        if what == "reorder":
            return tuple(draw(st.permutations(chain)))
        if what == "rename":
            return (*rest[0], replace(m, label=f"m{next(counter)}"), *rest[1])
        if what == "wrap":
            return (replace(fresh(draw(st.sampled_from(AROUND[:3])), used), chain=chain),)
        if what == "group" and not any(x.groups for x in whole[0]) and not m.chain:
            around = fresh("groups", used)
            cut = draw(st.integers(1, 2))
            leaves = tuple(sorted(SHAPES))
            return (replace(around, groups=((leaves[:cut], chain), (leaves[cut:], chain))),)
        if m.chain:
            return (*rest[0], *m.chain, *rest[1])
        if m.groups:
            return (*rest[0], *m.groups[0][1], *rest[1])
        return chain

    whole = [chain_of(set(), 2, least=1)]
    before = whole[0]
    for _ in range(draw(st.integers(1, 4))):
        whole[0] = edit(whole[0])
    return before, whole[0]


def may_have_been_renamed(before, after):
    """From the old to the new name of the members whose new name is recognised: alone in having
    just their slots.
    """

    def has_state(chain):
        return any(
            per_leaf or numbers
            for *_, per_leaf, numbers in (KINDS[m.kind] for m in everyone(chain))
        )

    def alone(chain, others):
        found = {}
        for m in everyone(chain):
            if m.name not in others:
                found.setdefault(frozenset(KINDS[m.kind][2]), set()).add(
                    (m.ident, m.name, has_state(m.chain))
                )
        return {slots: next(iter(ms)) for slots, ms in found.items() if len(ms) == 1}

    names = [{m.name for m in everyone(chain)} for chain in (before, after)]
    old, new = alone(before, names[1]), alone(after, names[0])
    both = [(old[k], new[k]) for k in old.keys() & new.keys() if k]
    return {a[1]: b[1] for a, b in both if a[0] == b[0] and a[2] == b[2]}
