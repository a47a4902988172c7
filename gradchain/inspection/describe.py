"""Describe the members and the state of a transformation."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.by_label import ByLabel
from gradchain.core.call import is_call
from gradchain.core.errors import check_params
from gradchain.core.lift import Lift
from gradchain.core.slots import Slot
from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Pair, Params, Tree
from gradchain.core.walk import PlacedMember, walk
from gradchain.inspection.folds import Folded, folds_in
from gradchain.inspection.text import counted, examples, short, size_text, table
from gradchain.precision.opened import opened_state
from gradchain.tree.kinds import trainable_part
from gradchain.tree.mapping import laid_shapes_of, shapes_of
from gradchain.tree.paths import distinct_leaves, named_leaves
from gradchain.tree.selecting import keep_leaves, select


@dataclasses.dataclass(frozen=True)
class SlotUse:
    """A named part of the state of one member.

    Attributes:
        name: its key in the state.
        relation: how it relates to a parameter, as declared: ``like_param``, ``counter`` ...
        dtypes: the dtypes of its arrays.
        bytes: the size of all its arrays.
    """

    name: str
    relation: str
    dtypes: tuple[str, ...]
    bytes: int

    def cells(self) -> tuple[str, str, str, str]:
        """Its row in a table."""
        return self.name, self.relation, " ".join(self.dtypes), size_text(self.bytes)


@dataclasses.dataclass(frozen=True)
class MemberUse:
    """A member of a chain, wrapper or group.

    Attributes:
        name: its path in the state: ``accumulate/inner/scale_by_adam``.
        depth: in how many wrappers and groups it stands.
        hyperparameters: its arguments that are not transformations, as text.
        locality: how far an output element looks: ``element``, ``leaf``, ``matrix`` or ``tree``.
        needs: the arguments that ``update`` must be given for it.
        takes: further arguments of ``update`` that it uses where given; ``"*"`` for any.
        slots: the parts of its own state, those of its members aside.
    """

    name: str
    depth: int
    hyperparameters: dict[str, str]
    locality: str
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    slots: tuple[SlotUse, ...]

    @property
    def bytes(self) -> int:
        """The size of its own state."""
        return sum(slot.bytes for slot in self.slots)


@dataclasses.dataclass(frozen=True)
class Choice:
    """A group of leaves, or those that a member updates.

    Attributes:
        member: the member that chooses.
        name: the name of the group; ``frozen`` or ``chosen`` where there is none.
        rule: the selection or transformation of the group, as text.
        leaves: the paths of all of them.
        parameters: how many numbers they hold.
    """

    member: str
    name: str
    rule: str
    leaves: tuple[str, ...]
    parameters: int


@dataclasses.dataclass(frozen=True)
class Description:
    """The result of ``describe``, which prints as tables.

    Attributes:
        leaves: how many parameter arrays there are.
        parameters: how many numbers they hold.
        parameter_bytes: the size of them.
        bytes_without_storage: the size of the state if ``storage`` kept every slot as it is.
        members: every member in order, a wrapper before its members: its ``name``, ``depth``,
            ``hyperparameters``, ``locality``, ``needs``, ``takes``, ``bytes`` and ``slots``, each
            with ``name``, ``relation``, ``dtypes`` and ``bytes``.
        choices: the groups, and the selections of ``where``: ``member``, ``name``, ``rule``,
            ``leaves`` and ``parameters``.
        groups: from the path of each leaf to the name of its group: ``frozen`` where it is, ``all``
            without groups; ``outer/inner`` in nested groups, ``a, b`` of group members in a row.
        folds: how matrix methods see the leaves: ``shape``, ``count`` of matrices, ``matrix`` with
            rows and columns, and the ``leaves`` for which that is so.
    """

    leaves: int
    parameters: int
    parameter_bytes: int
    bytes_without_storage: int
    members: tuple[MemberUse, ...]
    choices: tuple[Choice, ...]
    groups: dict[str, str]
    folds: tuple[Folded, ...] = ()

    @property
    def bytes(self) -> dict[str, int]:
        """The size of each member's own state, by name."""
        return {member.name: member.bytes for member in self.members}

    @property
    def total_bytes(self) -> int:
        """The size of the whole state."""
        return sum(self.bytes.values())

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the arguments that ``update`` must be given."""
        return tuple(sorted({name for member in self.members for name in member.needs}))

    @property
    def takes(self) -> tuple[str, ...]:
        """Further arguments that ``update`` uses where given; ``"*"``: any."""
        takes = {name for member in self.members for name in member.takes}
        return tuple(sorted(takes - set(self.needs)))

    def __str__(self) -> str:
        leaves = counted(self.leaves, "leaf", "leaves")
        parameters = counted(self.parameters, "parameter", "parameters")
        size = f"{leaves}, {parameters}: {size_text(self.parameter_bytes)}"
        state = f"state: {size_text(self.total_bytes)}"
        if self.parameter_bytes:
            state += f", {self.total_bytes / self.parameter_bytes:.2f} times the parameters"
        if self.bytes_without_storage != self.total_bytes:
            state += f"; without storage {size_text(self.bytes_without_storage)}"
        parts = [f"{size}\n{state}", self._member_table()]
        parts += [self._choice_table()] if self.choices else []
        parts += [self._fold_table()] if self.folds else []
        return "\n\n".join([*parts, self._arguments()])

    __repr__ = __str__

    def _member_table(self) -> str:
        rows: list[tuple[str, ...] | str] = []
        for member, above in zip(self.members, _above(self.members), strict=True):
            indent = "  " * member.depth
            name = indent + member.name.removeprefix(above)
            slots = [slot.cells() for slot in member.slots]
            first, *rest = slots or [("-", "", "", "")]
            rows.append((name, member.locality, *first))
            rows += [("", "", *cells) for cells in rest]
            text = ", ".join(f"{k}={v}" for k, v in member.hyperparameters.items())
            rows += textwrap.wrap(
                text, 96, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    "
            )
        rows.append(("total", "", "", "", "", size_text(self.total_bytes)))
        header = ("member", "locality", "slot", "relation", "dtype", "size")
        return table(header, rows, right=(5,))

    def _choice_table(self) -> str:
        rows = []
        for c in self.choices:
            numbers = (f"{len(c.leaves):,}", f"{c.parameters:,}")
            rows.append((c.member, c.name, c.rule, *numbers, examples(c.leaves)))
        header = ("member", "group", "rule", "leaves", "parameters", "for example")
        return table(header, rows, right=(3, 4))

    def _fold_table(self) -> str:
        header = ("shape", "seen as", "leaves", "for example")
        return table(header, [fold.cells() for fold in self.folds], right=(2,))

    def _arguments(self) -> str:
        spelled = lambda name: "params" if name == "params" else f"{name}=..."
        needs = ", ".join(map(spelled, self.needs)) or "nothing beside gradients and state"
        takes = ", ".join(f"{name}=..." for name in self.takes if name != "*")
        lines = [f"update needs: {needs}"]
        lines += [f"update also uses: {takes}"] if takes else []
        lines += ["a member passes any extra argument on"] if "*" in self.takes else []
        return "\n".join(lines)


def describe(tx: GradientTransformation | Pair, params: Params) -> Description:
    """Describe the members of a transformation, and their state.

    Everything comes from shapes: no array of the size of a parameter is made.

    Args:
        tx: the transformation, or a foreign pair.
        params: the parameters, or a tree of ``jax.ShapeDtypeStruct``.

    Returns:
        The members with their hyperparameters and slots, sizes in bytes, and which leaf is in which
        group.

    Raises:
        TypeError: naming the path, if a parameter is not of a floating or complex dtype.
        ValueError: naming the path, if a leaf belongs to no group.

    Example:
        >>> import gradchain as gc
        >>> print(describe(gc.adam(1e-3), {"w": jax.ShapeDtypeStruct((1024, 1024), jnp.float32)}))
        1 leaf, 1,048,576 parameters: 4.0 MiB
        state: 8.0 MiB, 2.00 times the parameters
        <BLANKLINE>
        member                  locality  slot   relation          dtype       size
        scale_by_adam           element   count  counter           int32        4 B
                                          mu     like_param        float32  4.0 MiB
                                          nu     like_param, real  float32  4.0 MiB
            b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0
        scale_by_learning_rate  element   count  counter           int32        4 B
            learning_rate=0.001
        total                                                               8.0 MiB
        <BLANKLINE>
        update needs: nothing beside gradients and state
    """
    tx = as_transformation(tx, "describe: tx")
    check_params(params)
    shapes = shapes_of(trainable_part(params))
    # Where parameters lie, a member may have to know.
    state = shapes_of(tx.init(laid_shapes_of(trainable_part(params))))
    found = list(walk(tx, state, shapes))
    opened = jax.eval_shape(lambda state: opened_state(tx, state, shapes), state)
    frozen = {path for path, flag in named_leaves(tx.frozen(shapes)) if flag}
    choices = [choice for part in found for choice in _choices(part, frozen)]
    return Description(
        leaves=len(jax.tree.leaves(shapes)),
        parameters=_parameters(shapes),
        parameter_bytes=_size(shapes),
        bytes_without_storage=_size(opened),
        members=tuple(map(_member_use, found)),
        choices=tuple(choices),
        groups=_groups(found, shapes, frozen),
        folds=folds_in(found),
    )


def _member_use(part: PlacedMember) -> MemberUse:
    entry, members = part.entry, set(part.body.members)
    if isinstance(entry, dict):
        own = {k: v for k, v in entry.items() if k not in members and "" not in members}
    else:
        own = {"state": entry}  # of a foreign pair, which may be anything
    return MemberUse(
        name=part.name,
        depth=len(part.position) // 2,
        hyperparameters=_hyperparameters(part.call),
        locality=part.body.locality,
        needs=tuple(sorted(part.needs)),
        takes=tuple(sorted(part.takes)),
        slots=tuple(_slot_use(part, k, v) for k, v in own.items() if jax.tree.leaves(v)),
    )


def _slot_use(part: PlacedMember, name: str, tree: Tree) -> SlotUse:
    declared = part.body.slots.get(name) if isinstance(part.body, Lift) else None
    is_clock = name == "count" and declared is None and part.stage.has_clock
    relation = _relation(declared, tree) if declared else "counter" if is_clock else ""
    names = [jnp.dtype(x.dtype).name for x in jax.tree.leaves(tree)]
    return SlotUse(name, relation, tuple(dict.fromkeys(names)), _size(tree))


def _relation(slot: Slot, tree: Tree) -> str:
    """How a slot relates to a parameter, in words."""
    if slot.integer:
        return "counter"
    relation = slot.relation
    if relation == "shaped" and jax.tree.leaves(tree):
        first, *others = dict.fromkeys(x.shape for x in jax.tree.leaves(tree))
        relation += f" {list(first)}" + (" ..." if others else "")
    if isinstance(slot.size, int) and (slot.size or slot.relation in ("drop", "keep")):
        relation += f"({slot.size})"
    notes = {"packed": slot.packed, "real": slot.real, "a copy": slot.copy}
    return ", ".join([relation, *filter(notes.get, notes)])


def _hyperparameters(call: GradientTransformation) -> dict[str, str]:
    """The arguments that hold no transformation, as text."""
    if call.is_pair:
        return {}
    is_member = lambda x: isinstance(x, GradientTransformation)
    leaves = lambda v: jax.tree.leaves(v, is_leaf=is_call)
    holds_member = lambda v: any(map(is_member, leaves(v)))
    return {k: short(v) for k, v in call.arguments.items() if not holds_member(v)}


# ---------------------------------------------------------------------------- which leaf goes where


def _choices(part: PlacedMember, frozen: set[str]) -> list[Choice]:
    body = part.body
    if isinstance(body, ByLabel):
        rule = lambda label: short(body.rules[label], 30) if label in body.rules else body.rest
        masks = body.masks(part.params).items()
        made = [(label, rule(label), mask) for label, mask in masks]
    elif isinstance(body, Lift) and body.where is not None:
        made = [("", short(body.where, 30), select(body.where, part.params))]
    else:
        return []
    chosen = lambda mask: keep_leaves(mask, part.params)
    return [_choice(part, name, rule, chosen(mask), frozen) for name, rule, mask in made]


def _choice(part: PlacedMember, label: str, rule: str, tree: Tree, frozen: set[str]) -> Choice:
    """The leaves of a label, or of a whole member."""
    paths = tuple(path for path, x in named_leaves(tree) if x is not None)
    freezes = part.body.members[label].freezes if label else part.body.freezes
    is_frozen = freezes and frozen.issuperset(paths)  # and not at some steps only
    name = label + " (frozen)" * is_frozen if label else "frozen" if is_frozen else "chosen"
    return Choice(part.name, name, rule, paths, _parameters(tree))


def _groups(found: list[PlacedMember], shapes: Tree, frozen: set[str]) -> dict[str, str]:
    """The name of the group of each leaf."""
    names: dict[str, dict[tuple[Any, ...], str]]
    names = {path: {} for path, x in distinct_leaves(shapes) if x is not None}
    for part in found:
        masks = part.body.masks(part.params) if isinstance(part.body, ByLabel) else {}
        for label, mask in masks.items():
            for path in (path for path, flag in named_leaves(mask) if flag):
                _extend(names[path], part.position, label)
    text = lambda path: ", ".join(names[path].values()) or "all"
    return {path: text(path) for path in names} | dict.fromkeys(frozen, "frozen")


def _extend(found: dict[tuple[Any, ...], str], position: tuple[Any, ...], label: str) -> None:
    """Add a label, after that of the group around it."""
    for outer in list(found):
        if position[: len(outer)] == outer:
            found[position] = f"{found.pop(outer)}/{label}"
            return
    found[position] = label


def _above(members: Iterable[MemberUse]) -> Iterator[str]:
    """The path of the wrapper of each member."""
    held: list[str] = []
    for member in members:
        del held[member.depth :]
        yield f"{held[-1]}/" if held else ""
        held.append(member.name)


def _parameters(tree: Tree) -> int:
    return sum(math.prod(x.shape) for x in jax.tree.leaves(tree))


def _size(tree: Tree) -> int:
    bytes_of = lambda x: math.prod(x.shape) * jnp.dtype(x.dtype).itemsize
    return sum(map(bytes_of, jax.tree.leaves(tree)))
