"""Estimate the memory of one step, with nothing allocated."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import jax

from gradchain.core.transformation import GradientTransformation, as_transformation
from gradchain.core.types import Pair, Params, State, Tree, Updates
from gradchain.inspection.describe import describe
from gradchain.inspection.text import size_text, table
from gradchain.tree.kinds import trainable_part
from gradchain.tree.mapping import shapes_of


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The result of ``estimate``, which prints as a table.

    Attributes:
        parameters: how many numbers the parameters hold.
        parameter_bytes: the size of them.
        gradient_bytes: the size of the gradients.
        state_bytes: the size of the state.
        transient_bytes: what the step needs beside them while it runs: arrays in float32, and what
            cannot be written in the place of an argument.
    """

    parameters: int
    parameter_bytes: int
    gradient_bytes: int
    state_bytes: int
    transient_bytes: int

    @property
    def peak_bytes(self) -> int:
        """All of them together."""
        held = self.parameter_bytes + self.gradient_bytes + self.state_bytes
        return held + self.transient_bytes

    def __str__(self) -> str:
        def row(name: str, size: int) -> tuple[str, str, str]:
            return name, size_text(size), f"{size / max(self.parameters, 1):.2f}"

        rows = [
            row("parameters", self.parameter_bytes),
            row("gradients", self.gradient_bytes),
            row("state", self.state_bytes),
            row("transient", self.transient_bytes),
            row("peak of a step", self.peak_bytes),
        ]
        header = (f"{self.parameters:,} parameters", "size", "bytes per parameter")
        return table(header, rows, right=(1, 2))

    __repr__ = __str__


def estimate(tx: GradientTransformation | Pair, params: Params, **extra: Any) -> Estimate:
    """Estimate the memory that one step of an optimizer takes.

    ``tx.step`` is compiled for the present backend from shapes, with state and parameters donated,
    once with the gradients too and once without, and the compiler is asked what it would take. The
    smaller counts. Nothing of that size is made.
    Activations, and the backward pass that makes the gradients, are not in it: they depend on the
    model and the batch.

    Args:
        tx: the transformation, or a foreign pair.
        params: the parameters, or a tree of ``jax.ShapeDtypeStruct``. Gradients have the same
            shapes and dtypes.
        extra: further arguments of ``update``: functions, and arrays or shapes.

    Returns:
        Bytes of parameters, gradients, state, transients, and all of them together.

    Raises:
        TypeError: naming the path, if a parameter is not of a floating or complex dtype; or if an
            argument of ``update`` is missing.
        RuntimeError: if the compiler of the backend does not say what a program takes.

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> shapes = {"w": jax.ShapeDtypeStruct((4096, 4096), jnp.bfloat16)}
        >>> found = estimate(gc.storage(gc.adamw(1e-3), "bfloat16"), shapes)
        >>> found.state_bytes == 2 * 2 * 4096**2 + 2 * 4  # moments, and two clocks
        True
    """
    tx = as_transformation(tx, "estimate: tx")
    found = describe(tx, params)
    return Estimate(
        parameters=found.parameters,
        parameter_bytes=found.parameter_bytes,
        gradient_bytes=found.parameter_bytes,
        state_bytes=found.total_bytes,
        transient_bytes=_transient_bytes(
            tx,
            shapes_of(trainable_part(params)),
            extra,
        ),
    )


def _transient_bytes(tx: GradientTransformation, shapes: Tree, extra: dict[str, Any]) -> int:
    """The memory of a compiled step beside its arguments.

    Gradients are donated where that takes less.
    """
    return min(_beside_arguments(tx, shapes, extra, donated) for donated in ((0, 1, 2), (1, 2)))


def _beside_arguments(
    tx: GradientTransformation, shapes: Tree, extra: dict[str, Any], donated: tuple[int, ...]
) -> int:
    functions = {k: v for k, v in extra.items() if callable(v)}
    arrays = {k: v for k, v in extra.items() if k not in functions}

    def step(grads: Updates, state: State, params: Params, arrays: dict[str, Any]) -> Any:
        return tx.step(grads, state, params, **arrays, **functions)

    state = jax.eval_shape(tx.init, shapes)
    with warnings.catch_warnings():  # two of the donated three are made anew, so one is left over
        warnings.filterwarnings("ignore", "Some donated buffers were not usable")
        lowered = jax.jit(step, donate_argnums=donated).lower(
            shapes,
            state,
            shapes,
            arrays,
        )
        found = lowered.compile().memory_analysis()
    if found is None:
        raise RuntimeError(
            f"estimate: the compiler for {jax.default_backend()!r} does not say what memory a"
            " program takes. Set JAX_PLATFORMS=cpu for an estimate by another."
        )
    made_anew = found.output_size_in_bytes - found.alias_size_in_bytes
    return max(made_anew, 0) + found.temp_size_in_bytes
