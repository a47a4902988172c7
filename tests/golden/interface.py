"""What users hold on to: public names, signatures, config tags and paths of states.

``python -m tests.golden.interface`` adds to ``interface.json`` what is new; what was recorded stays
as it was.
"""

import importlib
import inspect
import json
import pkgutil
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

import gradchain as gc
from gradchain import as_optax, curvature, losses
from gradchain.core.factory import FACTORIES
from gradchain.core.idle import IdlePatternWarning
from tests.laws import samples
from tests.laws.table import ROWS

FILE = Path(__file__).with_name("interface.json")
SHAPES = {"dense": {"bias": (3,), "kernel": (3, 2)}, "stack": (2, 3, 2)}


def signature(x: Any) -> str:
    """The arguments and defaults of a callable, without annotations; else the kind of ``x``."""
    if isinstance(x, ModuleType):
        return "module"
    try:
        found = getattr(getattr(x, "factory", None), "signature", None) or inspect.signature(x)
    except (TypeError, ValueError):
        return type(x).__name__
    bare = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    text = str(found.replace(parameters=bare, return_annotation=found.empty))
    return text if " at 0x" not in text else ", ".join(p.name for p in bare)


def names(module: ModuleType) -> dict[str, str]:
    """The public names of a module, modules left out, and their signatures."""
    public = {k: v for k, v in vars(module).items() if not k.startswith("_")}
    return {k: signature(v) for k, v in sorted(public.items()) if not isinstance(v, ModuleType)}


def tags() -> dict[str, str]:
    """What a config calls each factory, and its arguments."""
    for module in pkgutil.walk_packages(gc.__path__, "gradchain."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    is_ours = lambda f: f.function.__module__.startswith("gradchain.")
    public = {
        k: f
        for k, f in FACTORIES.items()
        if is_ours(f) and ".as_optax" not in f.function.__module__
    }
    return {
        k: f"{f.kind.tag} {', '.join(f.signature.parameters)}" for k, f in sorted(public.items())
    }


def states() -> dict[str, list[str]]:
    """The paths of the state of each row of the table."""
    params = samples.of_shapes(lambda path, shape: jax.ShapeDtypeStruct(shape, "float32"), SHAPES)

    def paths(tx: Any) -> list[str]:
        with_leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(tx.init, params))
        shape = lambda x: f"{x.dtype}{list(x.shape)}"
        name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
        return [f"{name(path)} {shape(x)}" for path, x in with_leaves]

    with warnings.catch_warnings():  # not all rows find the leaves that they choose
        warnings.simplefilter("ignore", IdlePatternWarning)
        return {row.name: paths(row.make()) for row in ROWS}


def found() -> dict[str, Any]:
    """All of it, as it is now."""
    return {
        "gradchain": names(gc),
        "gradchain.as_optax": names(as_optax),
        "gradchain.curvature": names(curvature),
        "gradchain.losses": names(losses),
        "tags": tags(),
        "states": states(),
    }


if __name__ == "__main__":
    old = json.loads(FILE.read_text())
    new = {part: entries | old.get(part, {}) for part, entries in found().items()}
    FILE.write_text(json.dumps(new, indent=0, sort_keys=True) + "\n")
