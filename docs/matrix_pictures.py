"""Draw the pictures of the page "Matrix methods", from the functions that it is about."""

from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from gradchain.numerics import polar

#: The sets of coefficients that are drawn, and with how many steps.
SETS = {"quintic": 5, "polar_express": 5, "cans": 5, "turbo": 4}
SIDE = 64


def write(folder: Path) -> None:
    """Write the pictures to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plt.style.use("gradchain.plot.gallery")
    drawn = {"singular_values": singular_values, "equilibrate": rows, "operations": operations}
    for name, draw in drawn.items():
        figure = draw()
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        plt.close(figure)


def mapped(name: str, values: np.ndarray) -> np.ndarray:
    """Singular values after the polynomials of a set."""
    matrix = jnp.asarray(np.diag(values)[None], "float32")
    made = polar.newton_schulz(matrix, polar.coefficients_of(name, None), "standard")
    return np.abs(np.diag(np.asarray(made[0])))


def singular_values() -> Figure:
    """What each set makes of a singular value, and of those of a matrix."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
    before = np.geomspace(1e-3, 1.0, 400)
    matrix = np.geomspace(1.0, 1e-3, SIDE)
    matrix /= np.linalg.norm(matrix)
    for i, (name, steps) in enumerate(SETS.items()):
        left.plot(before, mapped(name, before), color=f"C{i}", label=f"{name}, {steps} steps")
        right.plot(mapped(name, matrix), color=f"C{i}")
    for axes, line in ((left, np.ones_like(before)), (right, np.ones_like(matrix))):
        xs = before if axes is left else np.arange(SIDE)
        axes.plot(xs, line, color="0.2", linestyle="--", label="svd")
    left.plot(before, before, color="0.6", label="before")
    right.plot(matrix, color="0.6")
    left.set(xscale="log", xlabel="singular value, of a norm of 1", ylabel="after")
    left.set_title("one singular value")
    right.set(xlabel=f"number of the singular value, of {SIDE}", ylim=(0, 1.4))
    right.set_title("a matrix whose singular values span three decades")
    left.legend(loc="lower center")
    figure.suptitle(
        "Polynomials bring singular values near 1; small ones grow as far as they get"
    )
    return figure


def row_lengths() -> dict[str, np.ndarray]:
    """Lengths of the rows of a matrix, and of its polar factor without and with equal rows."""
    draw = np.random.default_rng(0)
    gradient = draw.normal(size=(32, 16)) * np.geomspace(1.0, 1e-2, 32)[:, None]
    wide = lambda x: jnp.asarray(x.T[None], "float32")
    factor = lambda x: np.asarray(polar.exact_polar(x))[0].T
    equal = polar.equal_lengths(wide(gradient), 1, "columns", 0.0)
    found = {
        "the gradient": gradient / np.linalg.norm(gradient, axis=1).max(),
        "orthogonalize": factor(wide(gradient)),
        "equilibrate, then orthogonalize": factor(equal),
    }
    return {name: np.linalg.norm(x, axis=1) for name, x in found.items()}


def rows() -> Figure:
    """How long rows are with and without ``equilibrate``."""
    figure, axes = plt.subplots(figsize=(8, 4.2))
    for (name, length), marker, color in zip(
        row_lengths().items(), "oxs", ("0.6", "C0", "C1"), strict=True
    ):
        axes.plot(np.arange(1, 33), length, color=color, marker=marker, markersize=4, label=name)
    axes.set(yscale="log", xlabel="row of a matrix of 32 inputs and 16 outputs")
    axes.set(ylabel="length of the row")
    axes.legend(loc="lower left")
    figure.suptitle(
        "A polar factor of a tall matrix keeps short rows; equilibrate lengthens them"
    )
    return figure


def operations() -> Figure:
    """Multiplications of five steps in either form, by shape."""
    figure, axes = plt.subplots(figsize=(8, 4.2))
    ratios = np.array([1, 1.5, 2, 3, 4, 6, 8, 12, 16])
    given = polar.COEFFICIENTS["quintic"]
    side = 1024
    count = lambda restart: [
        polar.operations(side, int(side * r), given, restart) for r in ratios
    ]
    forms = {"standard": 1, "gram, begun anew each 2 steps": 2, "gram": 5}
    for i, (name, restart) in enumerate(forms.items()):
        total = 2 * np.array(count(restart)) / 1e9
        axes.plot(ratios, total, color=f"C{i}", marker="o", markersize=4, label=name)
    axes.set(xscale="log", yscale="log", xticks=ratios, xticklabels=[f"{r:g}" for r in ratios])
    axes.set(yticks=(ticks := [30, 50, 100, 200, 400]), yticklabels=ticks)
    axes.minorticks_off()
    axes.set(xlabel=f"longer side over the shorter one, of {side}", ylabel="10⁹ operations")
    axes.legend()
    figure.suptitle("The wider a matrix, the more the Gram form saves: five steps of quintic")
    return figure
