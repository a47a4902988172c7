"""The tables and pictures of the page "Precision and memory".

Errors and bytes are computed here. What was measured stands in ``data/precision.json`` and
``data/memory.json``.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from writing import write_files

import gradchain as gc
from gradchain.inspection import transformer_shapes
from gradchain.precision.codecs import codec_of

DATA = Path(__file__).parent / "data"
TITLES = {"characters": "A transformer on characters", "digits": "A CNN on digits"}
NAMES = (
    "bfloat16",
    "int16",
    "int8_companded",
    "int8_dynamic",
    "int8_log",
    "int8",
    "uint8_dynamic",
    "uint8_log",
    "uint8_root",
    "fp8",
    "int4",
    "uint4_log",
)


def moments() -> tuple[np.ndarray, np.ndarray]:
    """First and second moments of noise whose sizes within a block span three decades."""
    draw = np.random.default_rng(0)
    shape = (64, 1024)
    size = np.exp(draw.normal(size=shape))
    mu = size * draw.normal(size=shape) * (0.1 / 1.9) ** 0.5
    nu = size**2 * draw.chisquare(1000, size=shape) / 1000
    return mu.astype(np.float32), nu.astype(np.float32)


def through(name: str, x: np.ndarray) -> np.ndarray:
    """An array after it was kept by a codec."""
    codec, array = codec_of(name), jnp.asarray(x)
    return np.asarray(codec.decode(codec.encode(array), jax.typeof(array)))


def errors() -> dict[str, tuple[float, float]]:
    """How far Adam's direction moves if a codec keeps the first or the second moments."""
    mu, nu = moments()
    direction = lambda mu, nu: mu / (np.sqrt(nu) + 1e-8)
    exact = direction(mu, nu)
    error = lambda made: float(np.linalg.norm(made - exact) / np.linalg.norm(exact))
    return {
        name: (
            error(direction(through(name, mu), nu)),
            error(direction(mu, through(name, nu))),
        )
        for name in NAMES
    }


def bytes_of(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def codecs() -> str:
    """The codecs by their short names, their bytes and their errors."""
    lines = [
        "| codec | is | bytes | error in `mu` | error in `nu` |",
        "|---|---|---|---|---|",
    ]
    matrix = jnp.zeros((256, 1024))
    percent = lambda x: f"{100 * x:.2g}%" if x < 10 else "useless"
    for name, (first, second) in errors().items():
        codec = codec_of(name)
        kept = bytes_of(jax.eval_shape(codec.encode, matrix)) / matrix.size
        of_mu = "has no sign" if name.startswith("uint") else percent(first)
        lines.append(f"| `{name}` | `{codec}` | {kept:.4g} | {of_mu} | {percent(second)} |")
    return "\n".join(lines) + "\n"


class Recipe(NamedTuple):
    """An optimizer, the dtype of the parameters, and the bytes of state for each by formula."""

    name: str
    params: str
    make: Callable[[], gc.GradientTransformation]
    formula: str
    expected: float


def _int8(tx: gc.GradientTransformation) -> gc.GradientTransformation:
    return gc.storage(tx, mu="int8_companded", nu="uint8_root")


def _int4(tx: gc.GradientTransformation) -> gc.GradientTransformation:
    return gc.storage(tx, mu="int4", nu="uint4_log")


_adamw = lambda: gc.adamw(1e-3)
_bfloat16 = lambda tx: gc.storage(tx, "bfloat16")
RECIPES = (
    Recipe("adamw", "float32", _adamw, "4 + 4", 8),
    Recipe("adamw, bfloat16", "float32", lambda: _bfloat16(_adamw()), "2 + 2", 4),
    Recipe("adamw, 8 bits", "float32", lambda: _int8(_adamw()), "1 + 1 + 8/256", 2 + 8 / 256),
    Recipe("adamw, 4 bits", "float32", lambda: _int4(_adamw()), "½ + ½ + 8/256", 1 + 8 / 256),
    Recipe("lion, bfloat16", "float32", lambda: gc.storage(gc.lion(1e-4), "bfloat16"), "2", 2.0),
    Recipe(
        "master_weights(adamw)",
        "bfloat16",
        lambda: gc.master_weights(_adamw()),
        "4 + 4 + 4",
        12,
    ),
    Recipe(
        "split_weights(adamw, bfloat16)",
        "bfloat16",
        lambda: gc.split_weights(_bfloat16(_adamw())),
        "2 + 2 + 2",
        6,
    ),
    Recipe(
        "kahan(adamw, 8 bits)",
        "bfloat16",
        lambda: gc.kahan(_int8(_adamw())),
        "2 + 1 + 1 + 8/256",
        4 + 8 / 256,
    ),
    Recipe(
        "split_weights(adamw, 8 bits; bits=8)",
        "bfloat16",
        lambda: gc.split_weights(_int8(_adamw()), bits=8),
        "1 + 1 + 1 + 8/256",
        3 + 8 / 256,
    ),
    Recipe(
        "stochastic_rounding(adamw, 8 bits)",
        "bfloat16",
        lambda: gc.stochastic_rounding(_int8(_adamw())),
        "1 + 1 + 8/256",
        2 + 8 / 256,
    ),
)


def state_bytes(recipe: Recipe) -> float:
    """Bytes of state for each parameter of the transformer, found without an array."""
    shapes = transformer_shapes(124e6, recipe.params)
    state = jax.eval_shape(recipe.make().init, shapes)
    return bytes_of(state) / sum(x.size for x in jax.tree.leaves(shapes))


def recipes() -> str:
    """Bytes for each parameter, by formula and as ``init`` says."""
    lines = [
        "| recipe | parameters | state by formula | state | with parameters and gradients |",
        "|---|---|---|---|---|",
    ]
    for recipe in RECIPES:
        state = state_bytes(recipe)
        whole = state + 2 * jnp.dtype(recipe.params).itemsize
        lines.append(
            f"| {recipe.name} | {recipe.params} | {recipe.formula} = {recipe.expected:.4g} |"
            f" {state:.2f} | {whole:.2f} |"
        )
    return "\n".join(lines) + "\n"


def bars() -> Figure:
    """Bytes of parameters, gradients and state of each recipe."""
    figure, axes = plt.subplots(figsize=(9, 4.6))
    names = [recipe.name for recipe in RECIPES]
    own = np.array([jnp.dtype(recipe.params).itemsize for recipe in RECIPES], float)
    state = np.array([state_bytes(recipe) for recipe in RECIPES])
    start = np.zeros(len(RECIPES))
    parts = {"parameters": (own, "0.55"), "gradients": (own, "0.8"), "state": (state, "C0")}
    for label, (width, color) in parts.items():
        axes.barh(names, width, left=start, color=color, label=label, height=0.7)
        start = start + width
    for i, (total, part) in enumerate(zip(start, state, strict=True)):
        axes.text(total + 0.1, i, f"{total:.1f}, of it {part:.2f} state", va="center", size=8)
    axes.set(xlabel="bytes for each parameter", xlim=(0, 20.5), xticks=range(0, 17, 4))
    axes.set_axisbelow(True)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right")
    figure.suptitle("Ten recipes on a transformer of 124 million parameters")
    return figure


def stairs(steps: int = 100, count: int = 1000) -> dict[str, np.ndarray]:
    """Equal parameters that begin at 1 and should fall by 0.0005 in each step: step, parameter."""
    rounded: dict[str, Any] = {
        "bfloat16": lambda tx: tx,
        "stochastic_rounding": gc.stochastic_rounding,
        "kahan, split_weights, master_weights": gc.kahan,
    }
    start = jnp.ones(count, jnp.bfloat16)
    found = {"float32": np.repeat(1 - 0.0005 * np.arange(steps + 1)[:, None], count, 1)}
    for name, around in rounded.items():
        tx = around(gc.sgd(0.0005))
        step = lambda carry, _, tx=tx: (tx.step(start, carry[1], carry[0]), carry[0])
        _, path = jax.lax.scan(step, (start, tx.init(start)), length=steps + 1)
        found[name] = np.asarray(path, np.float32)
    return found


def rounding() -> Figure:
    """What becomes of small updates."""
    figure, axes = plt.subplots(figsize=(8, 4.2))
    styles = {"float32": ("0.2", "--"), "bfloat16": ("C3", "-")}
    for i, (name, path) in enumerate(stairs().items()):
        color, line = styles.get(name, (f"C{i - 2}", "-"))
        where = "default" if name == "float32" else "steps-post"
        axes.plot(path[:, 0], color=color, linestyle=line, drawstyle=where, label=name)
        if name == "stochastic_rounding":
            mean = path.mean(1)
            axes.plot(mean, color=color, linestyle=":", label="its mean over 1,000 parameters")
    axes.set(xlabel="step", ylabel="parameter", xlim=(0, 100))
    axes.legend(loc="lower left")
    figure.suptitle("A hundred steps of 0.0005 from 1: bfloat16 alone does not move")
    return figure


def record_of(name: str) -> dict[str, Any]:
    """What a benchmark wrote."""
    return json.loads((DATA / f"{name}.json").read_text())


def measured() -> str:
    """What ``benchmarks/compare_precision.py`` found: a table for each problem."""
    record = record_of("precision")
    tables = []
    for name, rows in record["problems"].items():
        head = ["parameters", "moments, or rounding", "loss at the end", "against float32"]
        lines = [head + ["held out", "against float32"], ["---"] * 6]
        for label, row in rows.items():
            cells = [row["params"], "plain" if label in ("float32", "nothing") else label]
            for kind in ("trained", "held"):
                own, first = np.array(row[kind]), np.array(rows["float32"][kind])
                cells.append(f"{own.mean():.4f} ({own.min():.4f} to {own.max():.4f})")
                percent = round(100 * (own.mean() / first.mean() - 1), 2)
                cells.append("" if label == "float32" else f"{percent + 0.0:+.2f}%")
            lines.append(cells)
        text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        tables.append(f"**{TITLES[name]}**\n\n{text}\n")
    return "\n".join(tables)


def memory() -> str:
    """What ``benchmarks/compare_memory.py`` found."""
    record = record_of("memory")
    rows = [
        ["optimizer", "state, bytes a parameter", "temporaries", "with gradients donated"],
        ["---"] * 4,
    ]
    for row in record["rows"]:
        state = f"{row['state']:.2f}" + (" by its source" if "source" in row else "")
        kinds = ("temporaries", "gradients donated")
        rows.append([row["name"], state, *(f"{row[k]:.2f}" if k in row else "" for k in kinds)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def write(folder: Path) -> None:
    """Write tables and pictures to a folder."""
    texts = {"codecs": codecs, "recipes": recipes, "measured": measured, "memory": memory}
    write_files(folder, {f"{name}.md": text() for name, text in texts.items()})
    plt.style.use("gradchain.plot.gallery")
    for name, draw in {"bars": bars, "rounding": rounding}.items():
        figure = draw()
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        plt.close(figure)
