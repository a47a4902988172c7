"""States of other libraries under the names of this one.

They are recognised by the names of their classes and fields, so that no other library is imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from gradchain.checkpoints.optax_states import OPTAX, same
from gradchain.core.errors import quote
from gradchain.core.stage import free_name
from gradchain.core.types import Tree
from gradchain.tree.paths import distinct_leaves


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One array of a state.

    Attributes:
        path: where it stands in the state: ``0/mu/dense/kernel``.
        name: where it would stand in a state of this library: ``scale_by_adam/mu/dense/kernel``.
        value: the array.
        entry: the name of the entry that it belongs to, where that of another library says so; else
            empty.
    """

    path: str
    name: str
    value: Any
    entry: str = ""


def read(state: Tree, *, translate: bool = True) -> list[Leaf]:
    """All arrays of a state, with their names in this library.

    Args:
        state: the state, ours or of another library, or one in the other.
        translate: whether to have also those of our slots that have to be computed.
    """
    return list(_Reader(translate).read(state, "", "", set()))


def join(*parts: str) -> str:
    """A path from parts, of which some may be empty."""
    return "/".join(part for part in parts if part)


def _is_foreign(node: Tree) -> bool:
    return (
        isinstance(node, tuple)
        and hasattr(node, "_fields")
        and type(node).__name__.endswith("State")
    )


def _holds_foreign(node: Tree) -> bool:
    return any(map(_is_foreign, jax.tree.leaves(node, is_leaf=_is_foreign)))


@dataclasses.dataclass(frozen=True)
class _Reader:
    translate: bool

    def read(self, node: Tree, path: str, name: str, taken: set[str]) -> Iterator[Leaf]:
        """The arrays in ``node``.

        ``taken`` are the names of the members before it in its chain.
        """
        if _is_foreign(node):
            yield from self.read_entry(node, path, name, taken)
        elif not _holds_foreign(node):
            yield from _slot(node, path, name, "")
        elif isinstance(node, Mapping):
            for key, x in node.items():
                key = str(key)
                yield from self.read(x, join(path, key), join(name, key), set())
        else:  # a chain: its members have names, not places
            for i, x in enumerate(node):
                yield from self.read(x, join(path, str(i)), name, taken)

    def read_entry(
        self,
        node: Tree,
        path: str,
        name: str,
        taken: set[str],
    ) -> Iterator[Leaf]:
        """The arrays in the state of one member."""
        kind = type(node).__name__
        translation = OPTAX.get(kind, same(kind, *node._fields))
        stage = free_name(translation.stage, taken)
        taken.add(stage)
        entry = join(name, stage)
        unread = dict.fromkeys(node._fields)
        at = lambda field: (getattr(node, field), join(path, field))
        for slot, source in translation.slots.items():
            if not isinstance(source, str):
                field, function = source
                if self.translate:
                    made = function(node)
                    yield from _slot(made, join(path, field), join(entry, slot), entry)
            elif _holds_foreign(getattr(node, source)):  # a wrapper that is not in the table
                unread.pop(source)
                yield from self.read(*at(source), join(entry, source), set())
            elif self.translate or source in unread:  # a field may be two slots
                unread.pop(source, None)
                yield from _slot(*at(source), join(entry, slot), entry)
        for member, field in translation.members.items():
            unread.pop(field)
            yield from self.read(*at(field), join(entry, member), set())
        for field in unread:  # in an entry of their own, so that the other has just our slots
            yield from _slot(*at(field), join(name, kind, field), join(name, kind))


def _slot(tree: Tree, path: str, name: str, entry: str) -> Iterator[Leaf]:
    for below, x in distinct_leaves(tree):
        if x is not None:
            yield Leaf(join(path, below), join(name, below), x, entry)


# -------------------------------------------------------------------------------------------- torch

#: By a name that tells a kind of optimizer in torch, from its slots to ours; its steps are clocks.
_TORCH: dict[str, dict[str, str]] = {
    "max_exp_avg_sq": {"exp_avg": "mu", "exp_avg_sq": "nu", "max_exp_avg_sq": "nu_max"},
    "exp_avg": {"exp_avg": "mu", "exp_avg_sq": "nu", "exp_inf": "nu"},
    "acc_delta": {"square_avg": "e_g", "acc_delta": "e_x"},
    "square_avg": {"square_avg": "nu"},
    "sum": {"sum": "sum_of_squares"},
    "momentum_buffer": {"momentum_buffer": "momentum"},
}


def torch_state(
    state_dict: Mapping[str, Any],
    names: Sequence[str] | Mapping[str, str],
    convert: Callable[[str, np.ndarray], np.ndarray],
) -> dict[str, Any]:
    """The state that a torch optimizer's ``state_dict()`` holds, for ``adopt_state``.

    It reads the moments of Adam and its kin, Adamax, RMSprop, Adagrad and Adadelta, the momentum of
    SGD, and their number of steps, which becomes the clock of the learning rate too. An array that
    has no slot here, or one of another meaning (the momentum of RMSprop), is listed as dropped by
    ``adopt_state``, and so is a path that no parameter has; two that are swapped are not found.

    Args:
        state_dict: a dict with ``"state"`` and ``"param_groups"``, whose tensors are on any device.
            Load it with ``torch.load(file, weights_only=True)``, which runs no code that a file
            brings along.
        names: the path here of each parameter, in the order of the optimizer's groups; or from
            torch's names to paths here, for a state dict that has names: of an optimizer that was
            given ``model.named_parameters()``, or made by ``torch.distributed.checkpoint``.
        convert: ``f(path, array) -> array`` from the layout of a parameter in torch to the layout
            here: torch's linear layers keep the transposed kernel, ``lambda path, x: x.T if
            path.endswith("kernel") else x``.

    Returns:
        A dict of dicts of NumPy arrays, keyed by names.

    Raises:
        ValueError: if names are missing, or if parameters have made different numbers of steps,
            where a stage has one clock.

    Example:
        >>> moments = {"step": 3.0, "exp_avg": np.ones((2, 1)), "exp_avg_sq": np.ones((2, 1))}
        >>> loaded = {"state": {0: moments}, "param_groups": [{"params": [0]}]}
        >>> state = torch_state(loaded, ["dense/kernel"], lambda path, x: x.T)
        >>> print(state["torch"]["mu"]["dense/kernel"], state["torch"]["count"])
        [[1. 1.]] 3
    """
    state: dict[str, Any] = {"torch": {}, "torch_untranslated": {}}
    steps: dict[str, int] = {}
    for path, own in _by_path(state_dict, names):
        arrays = {name: _numpy(value) for name, value in own.items() if value is not None}
        called = next((called for name, called in _TORCH.items() if name in arrays), {})
        if "step" in arrays:
            steps[path] = int(arrays.pop("step"))
        for name, array in arrays.items():
            entry = state["torch" if name in called else "torch_untranslated"]
            slot = entry.setdefault(called.get(name, name), {})
            slot[path] = convert(path, array) if array.ndim else array
    if len(set(steps.values())) > 1:
        least = min(steps, key=steps.__getitem__)
        most = max(steps, key=steps.__getitem__)
        raise ValueError(
            f"torch_state: {least!r} has made {steps[least]} steps and {most!r}"
            f" {steps[most]}, but a stage has one clock for all its leaves. Give their"
            " states the same 'step'."
        )
    if steps:
        clock = {"count": np.asarray(max(steps.values()), np.int32)}
        state["scale_by_learning_rate"] = clock
        state["torch"] |= clock if "mu" in state["torch"] else {}  # others have no clock here
    return {name: entry for name, entry in state.items() if entry}


def _by_path(
    state_dict: Mapping[str, Any], names: Sequence[str] | Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The paths and states of parameters that have a state."""
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
        raise ValueError(
            "torch_state: an optimizer's state dict has 'state' and 'param_groups';"
            " this is another dict."
        )
    groups = state_dict["param_groups"]
    keys = [str(key) for group in groups for key in group["params"]]
    paths = _paths(groups, names) if isinstance(names, Mapping) else list(names)
    different = len(set(paths))
    if len(paths) != len(keys) or different != len(paths):
        raise ValueError(
            f"torch_state: the state dict has {len(keys)} parameters, but names has"
            f" {different} different paths."
        )
    # JSON makes strings of numbers.
    states = {str(key): own for key, own in state_dict["state"].items()}
    pairs = zip(keys, paths, strict=True)
    return ((path, states[key]) for key, path in pairs if key in states)


def _paths(groups: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    """The paths of parameters that torch knows by name."""
    called = [name for group in groups for name in group.get("param_names", group["params"])]
    strange = [str(name) for name in called if name not in names]
    if strange:
        raise ValueError(
            f"torch_state: names has nothing for {quote(strange[:5])}. Where a state"
            " dict has numbers in the place of names, give the paths as a list, in the"
            " order of the optimizer's parameters."
        )
    return [names[name] for name in called]


def _numpy(x: Any) -> np.ndarray:
    """A tensor of torch, or a number, as an array."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        if str(x.dtype) == "torch.bfloat16":  # which NumPy lacks
            x = x.float()
    return np.asarray(x)
