"""The tables and the picture of the page "Planning", of plans that ``make tpu`` has compiled."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from writing import write_files

import gradchain as gc
from gradchain.distributed import Collective, Plan
from gradchain.inspection.text import size_text

DATA = Path(__file__).parent / "data" / "tpu.json"


class Row(NamedTuple):
    """A plan, and of what."""

    model: str
    optimizer: str
    layout: str
    seconds: float
    plan: Plan

    @property
    def kind(self) -> str:
        return "compiled" if self.plan.compiled_for else self.plan.origin


def recorded() -> dict[str, Any]:
    """All that the compiler has said."""
    return json.loads(DATA.read_text())


def rows(part: str) -> list[Row]:
    """The plans that were recorded, of models or of optimizers."""
    return [Row(**one | {"plan": _plan(one["plan"])}) for one in recorded()[part]]


def _plan(found: dict[str, Any]) -> Plan:
    sent = {k: tuple(Collective(**one) for one in found[k]) for k in ("exchanges", "formula")}
    return Plan(**found | sent)


def write(folder: Path) -> None:
    """Write tables and the picture to a folder."""
    texts = {
        "models.md": table("model", rows("plans")),
        "optimizers.md": table("optimizer", rows("optimizers")),
        "recipes.md": recipes(),
    }
    write_files(folder, texts)
    plt.style.use("gradchain.plot.gallery")
    figure = picture()
    figure.savefig(folder / "plans.png", metadata={"Software": None})
    plt.close(figure)


def table(first: str, found: list[Row]) -> str:
    """Plans as a table of Markdown."""
    head = (first, "chips", "layout", "state", "with parameters and gradients")
    head += ("temporaries", "sent in a step", "by the formula", "")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in found:
        one, sizes = row.plan, []
        for size in (one.state_bytes, one.argument_bytes, one.temporary_bytes):
            sizes.append("" if size is None else size_text(size))
        sent = [size_text(one.wire_bytes), size_text(one.formula_wire_bytes)]
        cells = [getattr(row, first), f"{one.devices:,}", row.layout, *sizes, *sent, row.kind]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def recipes() -> str:
    """Recipes on one chip, beside those of optax."""
    head = (
        "recipe",
        "bytes read and written",
        "optax",
        "temporaries",
        "optax",
        "compiled in",
        "optax",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in recorded()["recipes"]:
        pair = (row["ours"], row["optax"])
        cells = [f"`{row['name']}`"]
        cells += [size_text(one["accessed_bytes"]) for one in pair]
        cells += [size_text(one["temporary_bytes"]) for one in pair]
        cells += [f"{one['seconds']:.0f} s" for one in pair]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture() -> Figure:
    """The memory of a chip, for 7 billion parameters."""
    found = {
        f"{row.layout}, {row.plan.devices:,}": row.plan
        for row in rows("plans")
        if row.model == "7B"
    }
    figure, axes = plt.subplots(figsize=(10, 5))
    gc.plot.plans(found, axes)
    axes.set_title("7 billion bfloat16 parameters on 8, 256 and 4,096 chips, adamw", pad=34)
    return figure
