"""The tables and pictures of the page "Communication".

What was measured stands in ``data/communication.json``, by
``python -m benchmarks.compare_communication --write``.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from writing import write_files

DATA = Path(__file__).parent / "data" / "communication.json"


def record() -> dict[str, Any]:
    """What the benchmark wrote."""
    return json.loads(DATA.read_text())


def ratio(row: dict[str, Any], key: str) -> float:
    """How many times fewer bytes than an all-reduce of float32."""
    return record()["wires"]["mean()"][key] / row[key]


def mean_loss(row: dict[str, Any]) -> str:
    """The mean over seeds, and the range."""
    found = np.array(row["losses"])
    return f"{found.mean():.3f} ({found.min():.3f} to {found.max():.3f})"


def wires() -> str:
    """Bytes and losses of each wire."""
    head = [
        "wire",
        "fewer bytes, 2 replicas",
        "8 replicas",
        "loss without error feedback",
        "with",
    ]
    rows = [head, ["---", "---:", "---:", "---", "---"]]
    for name, row in record()["wires"].items():
        sent = [f"{ratio(row, key):.1f}x" for key in ("bytes_2", "bytes_8")]
        fed = mean_loss(row["feedback"]) if "feedback" in row else "refused"
        rows.append([f"`{name}`", *sent, mean_loss(row["without"]), fed])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def local() -> str:
    """Losses of replicas that meet every few steps."""
    rows = [["", "every step", "every 4", "every 16", "every 64"], ["---"] * 5]
    found = record()["local"]
    for name in ("diloco", "local_sgd"):
        own = [mean_loss(row) for key, row in found.items() if key.startswith(name)]
        rows.append([f"`{name}`", *own])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def bytes_and_quality() -> Figure:
    """The loss at the end against the bytes that each replica sends in a step."""
    figure, axes = plt.subplots(figsize=(8, 4.6))
    found = record()
    for name, row in found["wires"].items():
        kinds = {"without": ("C3", "x"), "feedback": ("C0", "o")}
        for kind, (color, marker) in kinds.items():
            if kind in row:
                loss = np.mean(row[kind]["losses"])
                axes.scatter(row["network"], loss, color=color, marker=marker)
        least = min(np.mean(row[k]["losses"]) for k in kinds if k in row)
        place = {"xytext": (4, -10), "textcoords": "offset points", "fontsize": 8}
        axes.annotate(name.replace('"', ""), (row["network"], least), **place)
    plain = found["wires"]["mean()"]["network"]
    for name, color in {"diloco": "C2", "local_sgd": "C1"}.items():
        own = {k: row for k, row in found["local"].items() if k.startswith(name)}
        sent = [plain / int(key.split(", ")[1]) for key in own]
        ends = [np.mean(row["losses"]) for row in own.values()]
        label = f"{name}, every 1, 4, 16, 64 steps"
        axes.plot(sent, ends, color=color, marker=".", label=label)
    axes.scatter([], [], color="C3", marker="x", label="a wire without error feedback")
    axes.scatter([], [], color="C0", marker="o", label="the same with error feedback")
    axes.set(xscale="log", yscale="log", xlabel="bytes that a replica sends in a step")
    axes.set_ylabel("loss at the end")
    axes.legend(loc="upper right", fontsize=8)
    figure.suptitle("Four replicas read digits, 400 steps: bytes against quality")
    return figure


def staleness() -> Figure:
    """The loss at the end against the rate, for gradients of some steps ago."""
    figure, axes = plt.subplots(figsize=(8, 4.2))
    found = record()
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(found["stale"])))
    for (delay, ends), color in zip(found["stale"].items(), colors, strict=True):
        shown = np.where(np.array(ends) < 3, ends, np.nan)
        label = "fresh" if delay == "0" else f"{delay} old"
        axes.plot(found["rates"], shown, color=color, marker=".", label=label)
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="loss at the end")
    axes.legend(loc="lower left", title="gradients, in steps")
    figure.suptitle("Momentum with stale gradients: the older they are, the lower the rate")
    return figure


def write(folder: Path) -> None:
    """Write tables and pictures to a folder."""
    write_files(folder, {"wires.md": wires(), "local.md": local()})
    plt.style.use("gradchain.plot.gallery")
    for name, draw in {"bytes": bytes_and_quality, "staleness": staleness}.items():
        figure = draw()
        figure.savefig(folder / f"{name}.png", metadata={"Software": None})
        plt.close(figure)
