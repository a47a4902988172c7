"""Match the arrays of an old and a new state."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any, TypeAlias

import jax
import numpy as np

from gradchain.checkpoints.foreign import Leaf, join, read
from gradchain.checkpoints.names import (
    above,
    base,
    last,
    leaf_path,
    names_below,
    neighbours,
    up_to,
)
from gradchain.checkpoints.values import as_like, fits
from gradchain.core.errors import quote
from gradchain.core.factory import FACTORIES
from gradchain.core.stage import PairBody
from gradchain.core.transformation import GradientTransformation
from gradchain.core.trees import PerTree
from gradchain.core.types import Params, State
from gradchain.core.walk import PlacedMember, walk
from gradchain.tree.kinds import is_numeric
from gradchain.tree.paths import distinct_leaves

#: From new entries to the old ones of their slots, counted.
Origins: TypeAlias = dict[str, collections.Counter[str]]


@dataclasses.dataclass
class Target:
    """One array of the new state, and its source.

    Attributes:
        path: where it stands.
        entry: the name of the entry that it belongs to.
        rest: slot and path of the leaf; of a number that the stage has once, the slot.
        like: the array that ``init`` made.
        per_leaf: whether it belongs to a parameter.
        factory: the name of the factory of its stage.
        source: the array of the old state that it is taken from.
        note: for the report.
    """

    path: str
    entry: str
    rest: str
    like: jax.Array | jax.ShapeDtypeStruct
    per_leaf: bool
    factory: str
    source: Leaf | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """Where it stands, in the words of this library."""
        return join(self.entry, self.rest)

    @property
    def key(self) -> str:
        """Stage, slot and path of the leaf, without wrappers around."""
        return join(last(self.entry), self.rest)

    @property
    def slot(self) -> str:
        """The name of its slot."""
        return self.rest.partition("/")[0]

    @property
    def source_entry(self) -> str:
        """The name of the entry from which it comes."""
        assert self.source is not None
        return up_to(self.source.name, self.rest)

    @property
    def value(self) -> Any:
        """The source's value, in the form of the new one."""
        assert self.source is not None
        return as_like(self.source.value, self.like)

    @property
    def fits(self) -> bool:
        """Whether the source can be kept."""
        return fits(self.value, self.like)


def targets_of(tx: GradientTransformation, template: State, params: Params) -> list[Target]:
    """All arrays of a new state, with their entries."""
    leaves = {path: x for path, x in distinct_leaves(params) if x is not None}
    parts = {part.name: part for part in walk(tx, template)}
    return [_target(leaf, parts, leaves) for leaf in read(template, translate=False)]


def _target(leaf: Leaf, parts: dict[str, PlacedMember], params: dict[str, Any]) -> Target:
    names = leaf.name.split("/")
    around = [join(*names[:i]) for i in range(len(names), 0, -1)]
    part = next((parts[name] for name in around if name in parts), None)
    if part is None or leaf.entry or isinstance(part.body, PairBody):
        return _pair_target(leaf, params)
    slot, _, below = leaf.name[len(part.name) + 1 :].partition("/")
    declared = getattr(part.body, "slots", {}).get(slot)
    is_scalar = declared is not None and declared.relation == "scalar"
    is_of_stage = is_scalar and isinstance(part.body, PerTree)
    per_leaf = bool(below) or not (is_of_stage or slot == "count")
    rest = join(slot, below)
    return Target(leaf.path, part.name, rest, leaf.value, per_leaf, part.factory)


def _pair_target(leaf: Leaf, params: dict[str, Any]) -> Target:
    """A target in the state of a pair of functions.

    A slot is a part that holds a tree of parameters, or the last name.
    """
    entry = leaf.entry
    if not entry:
        slot = up_to(leaf.name, leaf_path(leaf.name, params))
        entry, _, _ = slot.rpartition("/")
    rest = leaf.name[len(entry) + 1 :]
    is_bare = "" in params and np.shape(leaf.value) == np.shape(params[""])
    per_leaf = "/" in rest or (is_bare and rest != "count")
    return Target(leaf.path, entry, rest, leaf.value, per_leaf, base(entry))


# ------------------------------------------------------------------------------------- the matching


class Matching:
    """The sources of targets; each step finds some more."""

    def __init__(self, targets: list[Target], old: list[Leaf]):
        self.targets, self.old = targets, old
        # The names of old arrays that belong to a leaf and have found their target.
        self.taken: set[str] = set()
        self.by_end: dict[str, list[Leaf]] = collections.defaultdict(list)
        for leaf in old:
            parts = leaf.name.split("/")
            for i in range(len(parts)):
                end = "/".join(parts[i:])
                self.by_end[end].append(leaf)
        self.by_name: dict[str, list[Leaf]] = collections.defaultdict(list)
        for leaf in old:
            self.by_name[leaf.name].append(leaf)
        self.old_slots = names_below(leaf.name for leaf in old)
        self.new_slots = names_below(target.name for target in targets)
        self.old_pairs = neighbours(leaf.name for leaf in old)
        self.new_pairs = neighbours(target.name for target in targets)
        self.slots_per_leaf: dict[str, set[str]] = collections.defaultdict(set)
        for target in targets:
            if target.per_leaf:
                self.slots_per_leaf[target.entry].add(target.slot)

    def run(self) -> None:
        """All steps in order."""
        self.same_path()
        self.same_name()
        self.renamed()
        self.numbers()

    # Slots

    def same_path(self) -> None:
        """Arrays of a leaf that have the same path."""
        for target in self.targets:
            if target.per_leaf and target.name in self.by_name:
                leaves = self.by_name[target.name]
                if len(leaves) > 1:
                    _refuse(target.path, [leaf.path for leaf in leaves])
                self._take(target, leaves[0])

    def same_name(self) -> None:
        """Arrays of a leaf with the same stage and slot.

        The nearest are first.
        """
        for key, targets in self._open("key"):
            old = self._free(key)
            while targets and old:
                for i, j in _nearest(targets, old):
                    self._take(targets[i], old[j])
                targets = [p for p in targets if p.source is None]
                old = self._free(key)

    def renamed(self) -> None:
        """Arrays of a leaf that just one target fits.

        Their entries have the same slots.
        """
        for rest, targets in self._open("rest"):
            places = itertools.product(targets, self._free(rest))
            fits = [(p, o) for p, o in places if self._may_be(p, o)]
            for target, leaf in fits:
                sources = [o.path for p, o in fits if p is target]
                rivals = [p.path for p, o in fits if o is leaf]
                if len(sources) == len(rivals) == 1:
                    self._take(target, leaf)
                elif len({*sources}) > 1:
                    target.note = f"renamed? {quote(sources[:2])} fit alike"

    def _open(self, attribute: str) -> list[tuple[str, list[Target]]]:
        groups: dict[str, list[Target]] = {}
        for target in self.targets:
            if target.per_leaf and target.source is None:
                groups.setdefault(getattr(target, attribute), []).append(target)
        return list(groups.items())

    def _free(self, end: str) -> list[Leaf]:
        return [leaf for leaf in self.by_end[end] if leaf.name not in self.taken]

    def _take(self, target: Target, leaf: Leaf) -> None:
        target.source = leaf
        self.taken.add(leaf.name)

    def _may_be(self, target: Target, leaf: Leaf) -> bool:
        """Whether the old array may be of a renamed member."""
        entry = up_to(leaf.name, target.rest)
        if not entry or (last(target.entry), target.slot) in self.old_pairs:
            return False  # the name was there before
        if not leaf.entry:  # in another library one name stands for several members of ours
            is_still_there = (last(entry), target.slot) in self.new_pairs
            is_another = base(entry) in FACTORIES and base(entry) != target.factory
            if is_still_there or is_another:
                return False
        old = self.old_slots[entry] - {"count"}
        new = self.new_slots[target.entry] - {"count"}
        # The largest moments of torch's amsgrad: its Adam may go on without them.
        extra = {"nu_max"} if last(entry) == "torch" else set()
        return new <= old <= new | extra and np.shape(leaf.value) == target.like.shape

    # Numbers that a stage has once

    def numbers(self) -> None:
        """Numbers that a stage has once, such as its clock."""
        came_from: Origins = collections.defaultdict(collections.Counter)
        for target in self.targets:
            if target.per_leaf and target.source is not None and target.fits:
                came_from[target.entry][target.source_entry] += 1
        used = set(self.taken)
        alone = []
        for target in [t for t in self.targets if not t.per_leaf]:
            origins = came_from[target.entry]
            if origins:  # with the slots of its stage
                names = [join(entry, target.rest) for entry in origins]
                found = [leaf for name in names for leaf in self.by_name.get(name, [])]
            else:
                found = self._near_numbers(target, came_from)
            if not found:
                alone.append(target)
                continue
            _check_equal(target, found)
            target.source = found[0]
            used.update(leaf.name for leaf in found)
        without_slots = [p for p in alone if not self.slots_per_leaf[p.entry]]
        self._renamed_numbers(without_slots, used)
        self.taken = used

    def _near_numbers(self, target: Target, came_from: Origins) -> list[Leaf]:
        """The old numbers of the same stage and slot.

        Best is the number of the chain from which the slots of this chain come.
        """
        own_slots = self.slots_per_leaf[target.entry]
        new_slots = self.new_slots[target.entry]
        entry_of = lambda leaf: up_to(leaf.name, target.rest)
        slots_of = lambda leaf: self.old_slots[entry_of(leaf)]
        # Slots that start new, or went elsewhere, do not have the clock of the old ones.
        same_name = self.by_end[target.key]
        found = [leaf for leaf in same_name if not own_slots & slots_of(leaf)]
        # An entry that only has the name of the stage, as its metrics have, is less like it.
        alike = [len(new_slots & slots_of(leaf)) for leaf in found]
        found = [leaf for leaf, n in zip(found, alike, strict=True) if n == max(alike)]
        votes_for = _old_chains(above(target.entry), came_from)
        votes = [votes_for[above(entry_of(leaf))] for leaf in found]
        most = max(votes, default=0)
        if most > 0 and votes.count(most) == 1:
            return [found[votes.index(most)]]
        return [leaf for leaf in found if leaf.name == target.name] or found

    def _renamed_numbers(self, targets: list[Target], used: set[str]) -> None:
        for target in targets:
            same_name = self.by_end[target.rest]
            free = [leaf for leaf in same_name if leaf.name not in used]
            old = [leaf for leaf in free if self._may_be(target, leaf)]
            if len(old) != 1:
                continue
            (leaf,) = old
            alike = [p for p in targets if p.rest == target.rest]
            rivals = [p for p in alike if self._may_be(p, leaf)]
            if len(rivals) == 1:
                target.source = leaf
                used.add(leaf.name)


def _nearest(targets: list[Target], old: list[Leaf]) -> list[tuple[int, int]]:
    """The nearest pairs, as places in both lists.

    Two of the same target or leaf are an error.
    """
    places = itertools.product(range(len(targets)), range(len(old)))
    near = {(i, j): _nearness(targets[i], old[j]) for i, j in places}
    top = max(near.values())
    best = [pair for pair, score in near.items() if score == top]
    row = _first_double(i for i, _ in best)
    if row is not None:
        sources = [old[j].path for i, j in best if i == row]
        _refuse(targets[row].path, sources)
    column = _first_double(j for _, j in best)
    if column is not None:
        goals = [targets[i].path for i, j in best if j == column]
        _refuse_targets(old[column].path, goals)
    return best


def _first_double(places: Iterable[int]) -> int | None:
    """The first number that stands there more than once."""
    counts = collections.Counter(places)
    return next((i for i, n in counts.items() if n > 1), None)


def _old_chains(chain: str, came_from: Origins) -> collections.Counter[str]:
    """The old chains of the slots of a chain, counted."""
    found: collections.Counter[str] = collections.Counter()
    for entry, sources in came_from.items():
        if not entry.startswith(chain):
            continue
        below = entry[len(chain) :].removeprefix("/")
        for source, n in sources.items():
            old_chain = up_to(source, below) if "/" in below else above(source)
            found[old_chain] += n
    return found


def _nearness(target: Target, leaf: Leaf) -> tuple[int, int]:
    """How many names around agree, and how few differ."""
    around = lambda name: up_to(name, target.key).split("/")
    new = collections.Counter(around(target.name))
    old = collections.Counter(around(leaf.name))
    common = new & old
    different = (new | old) - common
    return common.total(), -different.total()


def _check_equal(target: Target, found: list[Leaf]) -> None:
    is_known = lambda x: is_numeric(x) and not isinstance(x, jax.ShapeDtypeStruct)
    values = [np.asarray(leaf.value) for leaf in found if is_known(leaf.value)]
    if all(np.array_equal(x, values[0]) for x in values[1:]):
        return
    sources = [f"{leaf.path} = {leaf.value}" for leaf in found]
    _refuse(target.path, sources)


def _refuse(path: str, sources: list[str]) -> None:
    raise ValueError(
        f"adopt_state: {path!r} could come from {quote(sources)} alike. Take out of the"
        " old state what it should not come from, or make them equal."
    )


def _refuse_targets(source: str, paths: list[str]) -> None:
    raise ValueError(
        f"adopt_state: {source!r} of the old state could go to {quote(paths)} alike."
        " Give the members names as in the old chain, with named(...), or rename the"
        " entry of the old state, which is a dict, to where it belongs."
    )
