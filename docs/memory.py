"""The table of the memory that recipes take: "train N billion parameters in M GiB".

Every figure is computed by ``estimate``, on the shapes of a transformer of a billion parameters.
"""

from collections.abc import Callable
from pathlib import Path

from writing import write_files

import gradchain as gc
from gradchain.inspection import Estimate, estimate, transformer_shapes

COUNT = 1e9
CARDS = (24, 80)  # GiB
Recipe = Callable[[], gc.GradientTransformation]
#: What stands in the first column, the dtype of the parameters, and the transformation.
RECIPES: dict[str, tuple[str, Recipe]] = {
    "`adamw`": ("float32", lambda: gc.adamw(1e-3)),
    "`muon`": ("float32", lambda: gc.muon(1e-3)),
    "`lion`": ("float32", lambda: gc.lion(1e-4)),
    "`adafactor`": ("float32", lambda: gc.adafactor(1e-2)),
    '`storage(adamw, "bfloat16")`': (
        "float32",
        lambda: gc.storage(gc.adamw(1e-3), "bfloat16"),
    ),
    '`storage(adamw, mu="int8", nu="int8_log")`': (
        "float32",
        lambda: gc.storage(gc.adamw(1e-3), mu="int8", nu="int8_log"),
    ),
    "`block_training(adamw, 21)`": ("float32", lambda: gc.block_training(gc.adamw(1e-3), 21)),
    "`master_weights(adamw)`": ("bfloat16", lambda: gc.master_weights(gc.adamw(1e-3))),
    '`split_weights(storage(adamw, "bfloat16"))`': (
        "bfloat16",
        lambda: gc.split_weights(gc.storage(gc.adamw(1e-3), "bfloat16")),
    ),
    '`split_weights(storage(adamw, mu="int8", nu="int8_log"), bits=8)`': (
        "bfloat16",
        lambda: gc.split_weights(gc.storage(gc.adamw(1e-3), mu="int8", nu="int8_log"), bits=8),
    ),
    '`stochastic_rounding(storage(lion, "int8"))`': (
        "bfloat16",
        lambda: gc.stochastic_rounding(gc.storage(gc.lion(1e-4), "int8")),
    ),
}


def row(name: str, dtype: str, found: Estimate) -> str:
    """A line of the table."""
    per_parameter = lambda size: size / found.parameters
    held = per_parameter(found.peak_bytes - found.transient_bytes)
    sizes = found.state_bytes, held * found.parameters, found.transient_bytes
    cells = [f"{per_parameter(size):.2f}" for size in sizes]
    cells += [f"{gib * 2**30 / held / 1e9:.1f}" for gib in CARDS]
    return f"| {name} | {dtype} | " + " | ".join(cells) + " |"


def memory() -> str:
    """The table."""
    fits = " | ".join(f"billions in {gib} GiB" for gib in CARDS)
    sizes = "state | with parameters and gradients | transient"
    lines = [f"| recipe | parameters in | {sizes} | {fits} |", "|---|---" + "|---:" * 5 + "|"]
    for name, (dtype, make) in RECIPES.items():
        found = estimate(make(), transformer_shapes(COUNT, dtype))
        lines.append(row(name, dtype, found))
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write the table to a folder."""
    write_files(folder, {"memory.md": memory()})


if __name__ == "__main__":
    print(memory())
