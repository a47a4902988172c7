"""Compile for TPUs on a machine without one: ``make tpu``.

``libtpu`` compiles ahead of time for a topology, such as 8 chips of v5e, and says what the program
takes and sends; nothing is run. ``--write`` puts that into ``docs/data/tpu.json``: ten recipes on
one chip beside those of optax, the step of the demo on four, and plans of models on up to 256.
``--part recipes`` renews one part only. The pages "Planning" and "Several devices" are about them.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import runpy
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu"}  # there is no TPU to look for
os.environ |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}  # nor to keep for one process alone

import jax
import numpy as np
import optax
from flax import nnx
from jax.experimental import topologies
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec as P

import gradchain as gc
from gradchain.distributed import collectives, fsdp_specs, plan, wire_bytes
from gradchain.inspection import transformer_shapes

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "data" / "tpu.json"
#: Recipes that both libraries have, and their optax.
RECIPES = (
    "sgd",
    "adamw",
    "lion",
    "adafactor",
    "lamb",
    "lars",
    "adan",
    "adabelief",
    "radam",
    "yogi",
)
MODELS = {"124M": ("float32", 124e6), "7B": ("bfloat16", 7e9), "70B": ("bfloat16", 70e9)}
TOPOLOGIES = {8: "v5p:2x2x2", 256: "v5p:4x8x8"}  # of 95 GiB a chip
LAYOUTS = ("data parallel", "ZeRO-1", "FSDP")
#: Those of which 124M parameters are planned on ``v5e:2x4``.
OPTIMIZERS = ("adamw", "lion", "adafactor", "muon")


def mesh_of(topology: str, devices: int | None = None) -> Mesh:
    """A mesh of the chips of a topology, or of the first of them."""
    found = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    return Mesh(np.array(found[:devices]), ("data",))


def placed(tree: Any, mesh: Mesh, *split: str) -> Any:
    """Shapes on a mesh: on all devices, or split."""
    on = NamedSharding(mesh, P(*split))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=on), tree)


def compiled(step: Callable, *arguments: Any, donated: tuple[int, ...] = ()) -> dict[str, Any]:
    """What the compiler says of a program."""
    lowered = jax.jit(step, donate_argnums=donated).lower(*arguments)
    start = time.perf_counter()
    program = lowered.compile()
    seconds = time.perf_counter() - start
    memory, cost = program.memory_analysis(), program.cost_analysis()
    found = collectives(program)
    return {
        "seconds": round(seconds, 1),
        "accessed_bytes": int(cost["bytes accessed"]),
        "operations": int(cost["flops"]),
        "temporary_bytes": memory.temp_size_in_bytes,
        "wire_bytes": wire_bytes(found),
        "exchanges": {one.kind: one.count for one in found},
    }


def recipes() -> Iterator[dict[str, Any]]:
    """A step of each recipe on one chip, and that of optax."""
    mesh = mesh_of("v5e:2x2", 1)
    params = placed(transformer_shapes(124e6), mesh)
    for name in RECIPES:
        theirs = getattr(optax, name)(1e-3)

        def optax_step(grads: Any, state: Any, params: Any, theirs: Any = theirs) -> Any:
            updates, state = theirs.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        row: dict[str, Any] = {"name": name}
        ours = getattr(gc, name)(1e-3)
        for key, tx, step in (("ours", ours, ours.step), ("optax", theirs, optax_step)):
            state = placed(jax.eval_shape(tx.init, params), mesh)
            row[key] = compiled(step, params, state, params, donated=(1, 2))
        yield row


def demo() -> Iterator[dict[str, Any]]:
    """A training step of the demo, whose batch is split over four chips."""
    text = (ROOT / "examples" / "networks" / "train_digits.py").read_text()
    with tempfile.TemporaryDirectory() as folder:  # a file of it, which Flax reads
        head = Path(folder, "demo.py")
        head.write_text(text.partition("\nshuffle, size")[0])  # up to the run
        names = runpy.run_path(str(head))
        yield {"name": "demo"} | compiled(*_demo_step(names))


def _demo_step(names: dict[str, Any]) -> tuple[Any, ...]:
    """The step, and the shapes that it takes."""
    graph, state = nnx.split((names["model"], names["optimizer"]))

    def step(state: Any, x: jax.Array, y: jax.Array) -> Any:
        model, optimizer = nnx.merge(graph, state)
        loss, grads = nnx.value_and_grad(names["loss_fn"])(model, x, y)
        optimizer.update(model, grads)
        return nnx.state((model, optimizer)), loss

    mesh, size = mesh_of("v5e:2x2"), names["BATCH"]
    images = placed(jax.ShapeDtypeStruct((size, 8, 8, 1), "float32"), mesh, "data")
    labels = placed(jax.ShapeDtypeStruct((size,), "int32"), mesh, "data")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    return step, placed(shapes, mesh), images, labels


def plans() -> Iterator[dict[str, Any]]:
    """Plans of each model on each number of chips."""
    for model, (dtype, count) in MODELS.items():
        shapes = transformer_shapes(count, dtype)
        for devices in (8, 256, 4096):
            near = TOPOLOGIES.get(devices)
            mesh = mesh_of(near) if near else AbstractMesh((devices,), ("data",))
            for layout in LAYOUTS:
                yield _plan(model, shapes, "adamw", mesh, layout)


def optimizers() -> Iterator[dict[str, Any]]:
    """Plans of the smallest model by optimizer."""
    shapes, mesh = transformer_shapes(124e6), mesh_of("v5e:2x4")
    for name in OPTIMIZERS:
        for layout in LAYOUTS:
            yield _plan("124M", shapes, name, mesh, layout)


def _plan(model: str, shapes: Any, name: str, mesh: Any, layout: str) -> dict[str, Any]:
    tx = getattr(gc, name)(1e-3)
    specs = fsdp_specs(shapes, mesh) if layout == "FSDP" else None
    start = time.perf_counter()
    found = plan(tx, shapes, mesh, specs, "zero" if layout == "ZeRO-1" else "like_params")
    words = {"model": model, "optimizer": name, "layout": layout}
    seconds = round(time.perf_counter() - start, 1)
    return words | {"seconds": seconds, "plan": dataclasses.asdict(found)}


PARTS = {"recipes": recipes, "demo": demo, "plans": plans, "optimizers": optimizers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--write", action="store_true", help=f"into {FILE.relative_to(ROOT)}")
    parser.add_argument(
        "--part", nargs="+", choices=PARTS, default=[*PARTS], help="by default all"
    )
    arguments = parser.parse_args()
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    versions = {name: importlib.metadata.version(name) for name in ("jax", "optax")}
    found["versions"] = versions | {"libtpu": _libtpu()}
    for part in arguments.part:
        found[part] = []
        for row in PARTS[part]():
            print(json.dumps(row)[:100], flush=True)
            found[part].append(row)
            if arguments.write:  # each at once: some take minutes
                FILE.write_text(json.dumps(found, indent=1) + "\n")


def _libtpu() -> str:
    """The version of the compiler, as its lock has it."""
    return (ROOT / "requirements" / "tpu.lock").read_text().strip().partition("==")[2]


if __name__ == "__main__":
    main()
