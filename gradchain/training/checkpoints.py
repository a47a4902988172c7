"""Checkpoints of a run: the best and the last."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp

from gradchain.core.errors import as_arrays
from gradchain.core.types import Params, State, Tree
from gradchain.training.early_stopping import EarlyStopping
from gradchain.tree.paths import Leaf, named_leaves, path_name

#: The parts of a checkpoint: trees of arrays, where not empty, and numbers as JSON.
_TREES, _NUMBERS = ("params", "state", "weights"), "numbers"


class Run(NamedTuple):
    """A run at one step.

    Attributes:
        step: the last step that was made; 0 at the start.
        params: the parameters after it.
        state: the state of the optimizer after it.
    """

    step: int
    params: Params
    state: Any


class Checkpoints:
    """Save the best and the last of a run.

    A checkpoint has the parameters, the state of the optimizer, the step, and the state of an
    ``EarlyStopping``, which also says which one is the best. Orbax writes it in the background, and
    an unfinished one never counts: a run that is killed goes on from the last that is whole.
    ``pip install "gradchain[checkpoint]"`` brings orbax.

    Args:
        folder: the folder of one run; it is made if it is not there.
        keep: how many of the last checkpoints stay, at least 1; the best one stays besides.

    Raises:
        ImportError: if orbax is not installed.
        ValueError: if ``keep`` is below 1.

    Example:
        >>> import tempfile
        >>> import gradchain as gc
        >>> folder = tempfile.mkdtemp()
        >>> params, tx = {"w": jnp.ones(2)}, gc.adam(0.1)
        >>> state = tx.init(params)
        >>> with Checkpoints(folder) as checkpoints:
        ...     params, state = tx.step(params, state, params)
        ...     checkpoints.save(1, params, state)
        >>> with Checkpoints(folder) as checkpoints:
        ...     step, params, state = checkpoints.resume(params, state)
        >>> print(step, [f"{x:.2f}" for x in params["w"]])
        1 ['0.90', '0.90']
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 1):
        if not (isinstance(keep, int) and keep >= 1):
            raise ValueError(
                f"Checkpoints: keep is {keep!r}, but it is a count of checkpoints, at least 1."
            )
        try:
            import orbax.checkpoint as ocp
        except ImportError as error:
            raise ImportError(
                'Checkpoints needs orbax: pip install "gradchain[checkpoint]".'
            ) from error
        self._ocp = ocp
        self._kept = _LastAndBest(keep)
        is_remote = "://" in os.fspath(folder)
        where = os.fspath(folder) if is_remote else Path(folder).resolve()
        options = ocp.CheckpointManagerOptions(preservation_policy=self._kept)
        handlers: dict[str, Any] = {name: ocp.StandardCheckpointHandler() for name in _TREES}
        handlers[_NUMBERS] = ocp.JsonCheckpointHandler()
        self._manager = ocp.CheckpointManager(where, options=options, item_handlers=handlers)
        if self.last is not None:
            self._kept.best = self._numbers(self.last)["best"]

    @property
    def last(self) -> int | None:
        """The step of the last checkpoint, or ``None``."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """The step of the best checkpoint, or ``None``."""
        return self._kept.best

    def save(
        self,
        step: int,
        params: Params,
        state: State | None = None,
        stopping: EarlyStopping | None = None,
    ) -> None:
        """Write a checkpoint, in the background.

        With ``stopping`` it is the best one if the step is that of ``stopping.best``: save after
        each ``update`` of it. The one that was the best is then removed.

        Args:
            step: the step that was made; it is greater than that of any checkpoint before.
            params: the parameters.
            state: the state of the optimizer.
            stopping: the one that ends the run; its weights are written too.

        Raises:
            ValueError: if the folder has a checkpoint of this step or of a later one, or an array
                has no elements.
            TypeError: naming the path, if a leaf is no array.
        """
        step = int(step)
        if self.last is not None and step <= self.last:
            raise ValueError(
                f"Checkpoints.save: step {step} is not after the last one in"
                f" {str(self._manager.directory)!r}, {self.last}. To go on with that run, begin"
                " with resume(params, state); for a new run, take another folder."
            )
        trees = {"params": params, "state": state}
        numbers: dict[str, Any] = {"stopping": None}
        if stopping is not None:
            numbers["stopping"] = stopping.state()
            trees["weights"] = numbers["stopping"].pop("weights")
        is_best = stopping is not None and stopping.best.step == step
        before, now = self.best, step if is_best else self.best
        numbers["best"] = now
        trees = as_arrays(trees, "Checkpoints.save")
        for path, leaf in named_leaves(trees):
            if leaf is not None and not leaf.size:
                raise ValueError(
                    f"Checkpoints.save: {path!r} has shape {list(leaf.shape)}, and orbax writes no"
                    " array without elements. Put None in its place."
                )
        args = self._ocp.args
        items: dict[str, Any] = {_NUMBERS: args.JsonSave(numbers)}
        items |= {k: args.StandardSave(x) for k, x in trees.items() if jax.tree.leaves(x)}
        self._kept.best = now
        try:
            self._manager.save(step, args=args.Composite(**items))
        except BaseException:
            self._kept.best = before
            raise

    def resume(
        self,
        params: Params,
        state: State | None = None,
        stopping: EarlyStopping | None = None,
    ) -> Run:
        """Go on from the last checkpoint.

        If there is none, the run is as given, at step 0.

        Args:
            params: the parameters at the start; the result has their containers and devices.
            state: the state at the start, as ``tx.init(params)``.
            stopping: goes on from where it was, and has its best weights.

        Raises:
            ValueError: naming the path, if an array is new, gone, or of another shape or dtype.
        """
        if self.last is None:
            return Run(0, params, state)
        return self._restore(self.last, params, state, stopping)

    def restore_best(self, params: Params, state: State | None = None) -> Run:
        """The run at its best checkpoint.

        Args:
            params: parameters of the same shapes, as for ``resume``.
            state: a state of the same shapes.

        Raises:
            ValueError: if no checkpoint was saved as the best, and as ``resume``.
        """
        if self.best is None:
            raise ValueError(
                "Checkpoints.restore_best: no checkpoint is the best. Give save the EarlyStopping:"
                " its update decides, save(step, params, state, stopping)."
            )
        return self._restore(self.best, params, state, None)

    def read(self, step: int | None = None) -> dict[str, Tree]:
        """The arrays of a checkpoint, as nested dicts.

        They are read without a template: ``params`` and ``state``, and ``weights`` of an
        ``EarlyStopping``. After an edit of the chain give the state to
        ``gc.adopt_state``.

        Args:
            step: one of the steps that are kept; by default the last.

        Raises:
            ValueError: if there is no checkpoint of this step.
        """
        self._manager.wait_until_finished()
        step = self.last if step is None else int(step)
        if step is None or step not in self._manager.all_steps():
            raise ValueError(
                f"Checkpoints.read: there is no checkpoint of step {step}, but there are those of"
                f" {list(self._manager.all_steps())}."
            )
        return self._arrays(step, _here(self._stored(step)))

    def _restore(
        self, step: int, params: Params, state: State | None, stopping: EarlyStopping | None
    ) -> Run:
        self._manager.wait_until_finished()
        stored = self._stored(step)
        given = {"params": params, "state": state}
        like = jax.tree.map(
            self._ocp.utils.to_shape_dtype_struct, as_arrays(given, "Checkpoints.resume")
        )
        wanted = ["params"] if state is None else ["params", "state"]
        _check_same(like, {name: stored[name] for name in wanted if name in stored})
        if stopping is not None and "weights" in stored:
            is_alike = _described(stored["weights"]) == _described(like["params"])
            like["weights"] = like["params"] if is_alike else _here(stored["weights"])
        try:
            found = like | self._arrays(
                step, {k: x for k, x in like.items() if jax.tree.leaves(x)}
            )
        except ValueError as error:
            if "structures do not match" not in str(error):
                raise
            raise ValueError(
                "Checkpoints: the arrays are those of the checkpoint, but their containers are"
                " not. Give the same kind to save and to resume, of Flax NNX nnx.state(model) and"
                " nnx.state(optimizer), not the objects themselves."
            ) from error
        numbers = self._numbers(step)["stopping"]
        if stopping is not None and numbers is not None:
            stopping.restore(numbers | {"weights": found.get("weights")})
        return Run(step, found["params"], found["state"])

    def _stored(self, step: int) -> dict[str, Tree]:
        """Shapes and dtypes of the trees in a checkpoint."""
        found = self._manager.item_metadata(step)
        trees = {name: found[name] for name in _TREES if name in found}
        return {name: x.tree for name, x in trees.items() if x is not None}

    def _arrays(self, step: int, like: Mapping[str, Tree]) -> dict[str, Tree]:
        args = self._ocp.args
        asked = {name: args.StandardRestore(x) for name, x in like.items()}
        found = self._manager.restore(step, args=args.Composite(**asked))
        return {name: found[name] for name in asked}

    def _numbers(self, step: int) -> dict[str, Any]:
        args = self._ocp.args
        if not (self._manager.directory / str(step) / _NUMBERS).exists():
            raise ValueError(
                f"Checkpoints: {str(self._manager.directory)!r} has checkpoints that something else"
                " wrote. Take another folder."
            )
        asked = args.Composite(**{_NUMBERS: args.JsonRestore()})
        return self._manager.restore(step, args=asked)[_NUMBERS]

    def close(self) -> None:
        """Wait until all is written."""
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _LastAndBest:
    """Which checkpoints orbax keeps: the last few, and the best."""

    def __init__(self, keep: int):
        self.keep = keep
        self.best: int | None = None

    def should_preserve(self, checkpoints: Sequence[Any], *, context: object) -> list[bool]:
        """Whether each one stays, from the first to the last."""
        first = len(checkpoints) - self.keep
        return [i >= first or x.step == self.best for i, x in enumerate(checkpoints)]


def _here(stored: Tree) -> Tree:
    """A template that puts arrays on the first device."""
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here)
    return jax.tree.map(like, stored)


def _check_same(given: Tree, stored: Tree) -> None:
    """Raise an error where a checkpoint does not fit."""
    wanted, found = _described(given), _described(stored)
    for path in [*wanted, *found]:
        one, two = wanted.get(path), found.get(path)
        if one == two:
            continue
        told = "nothing" if two is None else two
        asked = "nothing" if one is None else one
        raise ValueError(
            f"Checkpoints: {path!r} is {told} in the checkpoint, but {asked} in the trees that you"
            " gave. If the chain was edited, carry its state over: gc.adopt_state(tx,"
            ' checkpoints.read()["state"], params).'
        )


def _described(tree: Tree) -> Mapping[str, str]:
    """The shape and dtype of each array, by path."""
    return {path_name(path): _kind(x) for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def _kind(x: Leaf) -> str:
    shape, dtype = tuple(x.shape), x.dtype
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):  # orbax stores its numbers
        kept = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(shape, dtype))
        shape, dtype = kept.shape, kept.dtype
    return f"{dtype}{list(shape)}"
