"""``python -m benchmarks.compare_memory``: bytes of a compiled step, with nothing allocated.

A tree of 31 million parameters in 12 matrices is lowered and compiled for a step that donates state
and parameters, and then gradients as well. It prints the bytes of state for each parameter, and the
temporaries as a multiple of a leaf in float32. What is not installed is left out; ``--write`` puts
the rows into ``docs/data/memory.json``.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import gradchain as gc

FILE = Path(__file__).parents[1] / "docs" / "data" / "memory.json"
LEAVES, SHAPE = 12, (1024, 2560)
LEAF = 4 * SHAPE[0] * SHAPE[1]

#: Bytes of state by the sources of libraries that run on torch alone.
BY_SOURCE = {
    "torchao 0.18.0, AdamW8bit": (2 + 8 / 256, "torchao/optim/adam.py: blocks of 256"),
    "torchao 0.18.0, AdamW4bit": (1 + 8 / 128, "torchao/optim/adam.py: blocks of 128"),
    "bitsandbytes 0.50.2, AdamW8bit": (2 + 8 / 256, "bitsandbytes/optim/optimizer.py"),
}


def shapes(dtype: str) -> dict[str, jax.ShapeDtypeStruct]:
    """The tree."""
    return {f"w{i}": jax.ShapeDtypeStruct(SHAPE, jnp.dtype(dtype)) for i in range(LEAVES)}


def gradchain_step(tx: gc.GradientTransformation) -> tuple[Callable, Callable]:
    """How a state is made, and a step of gradients, state and parameters."""
    return tx.init, tx.step


def optax_step(tx: Any) -> tuple[Callable, Callable]:
    """The same with optax."""

    def step(grads, state, params):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return tx.init, step


def flashoptim_step(**options: Any) -> tuple[Callable, Callable]:
    """The same with flashoptim-jax, by its code without kernels, which are for a GPU."""
    from flashoptim_jax import flash_adamw

    tx = flash_adamw(1e-3, fused=False, **options)
    return tx.init, lambda grads, state, params: tx.step(params, state, grads)


def contestants() -> dict[str, tuple[str, Callable[[], tuple[Callable, Callable]]]]:
    """The dtype of parameters and the step of each."""
    ours = lambda around, dtype="float32": (
        dtype,
        lambda: gradchain_step(around(gc.adamw(1e-3))),
    )
    found = {
        "optax adamw": ("float32", lambda: optax_step(optax.adamw(1e-3))),
        "adamw": ours(lambda tx: tx),
        "adamw, bfloat16": ours(lambda tx: gc.storage(tx, "bfloat16")),
        "adamw, int8_dynamic and uint8_log": ours(
            lambda tx: gc.storage(tx, mu="int8_dynamic", nu="uint8_log")
        ),
        "adamw, int8_companded and uint8_root": ours(
            lambda tx: gc.storage(tx, mu="int8_companded", nu="uint8_root")
        ),
        "adamw, int8 and int8_log": ours(lambda tx: gc.storage(tx, mu="int8", nu="int8_log")),
        "adamw, int4 and uint4_log": ours(lambda tx: gc.storage(tx, mu="int4", nu="uint4_log")),
        "split_weights(adamw, bfloat16), bfloat16 parameters": ours(
            lambda tx: gc.split_weights(gc.storage(tx, "bfloat16")), "bfloat16"
        ),
    }
    if importlib.util.find_spec("flashoptim_jax"):
        name = f"flashoptim-jax {version('flashoptim-jax')}"
        found[f"{name}, float32 parameters"] = (
            "float32",
            lambda: flashoptim_step(master_weight_bits=None),
        )
        found[f"{name}, bfloat16 parameters of 24 bits"] = ("bfloat16", flashoptim_step)
    return found


def measure(dtype: str, init: Callable, step: Callable) -> dict[str, float]:
    """Bytes of state for each parameter, and temporaries in leaves of float32."""
    tree = shapes(dtype)
    state = jax.eval_shape(init, tree)
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    found = {"state": round(4 * size / (LEAVES * LEAF), 4)}
    for name, donated in {"temporaries": (1, 2), "gradients donated": (0, 1, 2)}.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some donated buffers were not usable")
            compiled = jax.jit(step, donate_argnums=donated).lower(tree, state, tree).compile()
        bytes_of = compiled.memory_analysis()
        assert bytes_of is not None
        found[name] = round(bytes_of.temp_size_in_bytes / LEAF, 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, (dtype, make) in contestants().items():
        rows.append({"name": name, **measure(dtype, *make())})
        print(rows[-1], flush=True)
    rows += [
        {"name": name, "state": state, "source": source}
        for name, (state, source) in BY_SOURCE.items()
    ]
    if options.write:
        record = {
            "origin": "python -m benchmarks.compare_memory --write",
            "date": datetime.date.today().isoformat(),
            "versions": {name: version(name) for name in ("jax", "optax")},
            "device": jax.devices()[0].platform,
            "rows": rows,
        }
        FILE.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: {FILE}")


if __name__ == "__main__":
    main()
