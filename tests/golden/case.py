"""One recorded trajectory: who makes it, and the value of ours that has to follow it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradchain as gc

STEPS = 50
KEPT = (1, 2, 5, 10, 20, 50)  # the steps after which the parameters are recorded
SHAPES = {"bias": (5,), "kernel": (6, 5)}


@dataclass(frozen=True)
class Case:
    """A recorded trajectory.

    Attributes:
        name: the name of the factory, and after a dash the variant.
        ours: makes our value.
        theirs: makes the other implementation, a ``torch.optim.Optimizer`` of a list of parameters.
        origin: the package, its version, and the call.
        tolerance: relative to the largest parameter.
        why: the reason of a tolerance above 1e-8.
    """

    name: str
    ours: Callable[[], gc.GradientTransformation]
    theirs: Callable[[list], Any]
    origin: str
    tolerance: float = 1e-8
    why: str = ""


def start() -> dict[str, np.ndarray]:
    """The parameters at the start, of order 1, in float64."""
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}


def gradients() -> list[dict[str, np.ndarray]]:
    """The gradient of each step: of varying size, the same whatever the parameters are."""
    rng = np.random.default_rng(1)
    sizes = np.exp(rng.standard_normal(STEPS))
    return [
        {name: size * rng.standard_normal(shape) for name, shape in SHAPES.items()}
        for size in sizes
    ]


def made_by(package: str, name: str, **arguments: Any) -> Callable[[list], Any]:
    """Makes ``<package>.<name>(params, **arguments)``; the package is needed only to record."""
    return lambda params: getattr(importlib.import_module(package), name)(params, **arguments)


def made_and_told(
    package: str, origin: str, name: str, **arguments: Any
) -> tuple[Callable[[list], Any], str]:
    """The same, and the call in words, after the package and its version."""
    told = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
    return made_by(package, name, **arguments), f"{origin}{name}({told})"
