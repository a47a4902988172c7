"""What the page "Coming from optax" says of both libraries, found by asking both.

Names and differences are found here. What was measured stands in ``data/dialect.json``, by
``python -m benchmarks.compare_dialect --write``.
"""

import importlib
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import optax
from peer_results import cell
from writing import write_files

import gradchain.as_optax as dialect

FILE = Path(__file__).parent / "data" / "dialect.json"
#: calls that differ on purpose, and why
DIFFERENCES = {
    "optax.sgd(0.1).init(jnp.ones(2, int))": "no gradient can update integers",
    "optax.apply_updates(None, {'w': jnp.ones(2)})": "the parameters were forgotten",
    "optax.apply_updates(jnp.ones(2), jnp.ones((3, 2))).shape": "nothing broadcasts silently",
    "optax.huber_loss(jnp.ones((3, 1)), jnp.ones(3)).shape": "nothing broadcasts silently",
    "optax.sigmoid_binary_cross_entropy(jnp.ones((3, 1)), jnp.ones(3)).shape": "likewise",
    "optax.polynomial_schedule(1.0, 0.1, 1, -1)(5)": "a schedule has a length",
    "optax.exponential_decay(1.0, 10, 0.0)(5)": "a rate of decay is positive",
    "optax.warmup_cosine_decay_schedule(0.0, 0.0, 5, 10, 0.1)(10)": "the end is `end_value`",
    "optax.scale_by_adam().init(jnp.ones(2, jnp.bfloat16)).mu.dtype": "averages need the bits",
    "optax.cosine_similarity(jnp.zeros(2), jnp.ones(2))": "a number instead of NaN",
}


def public(module: ModuleType) -> set[str]:
    """The names of a module of optax, its modules left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: getattr(module, name) for name in dir(module) if name[0] != "_"}
    return {name for name, x in found.items() if not isinstance(x, ModuleType)}


def lists() -> dict[str, tuple[int, list[str]]]:
    """By module: how many names optax has, and those that are lacking here."""
    found = {}
    modules = [name for name in dir(optax) if isinstance(getattr(optax, name), ModuleType)]
    for name in ["", *(name for name in modules if name[0] != "_")]:
        theirs = importlib.import_module(f"optax.{name}") if name else optax
        ours = getattr(dialect, name, None) if name else dialect
        names = public(theirs)
        found[name] = len(names), sorted(names - (set(dir(ours)) if ours else set()))
    return found


def names() -> str:
    """The names of each module: of optax, here, and those that are lacking."""
    rows = ["| module | names in optax | here | lacking |", "|---|---:|---:|---|"]
    for module, (count, lacking) in lists().items():
        if not count:
            continue
        path = f"optax.{module}".rstrip(".")
        missing = ", ".join(f"`{name}`" for name in lacking)
        rows.append(f"| `{path}` | {count} | {count - len(lacking)} | {missing} |")
    return "\n".join(rows) + "\n"


def answer(call: str, library: ModuleType) -> str:
    """What a call gives, or the error that it raises."""
    scope = {"optax": library, "jnp": jnp, "jax": jax}
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore")
        try:
            found: Any = eval(call, scope)
        except (TypeError, ValueError) as error:
            return type(error).__name__
    return str(found)


def differences() -> str:
    """Calls that differ: what each library answers, and why."""
    rows = ["| call | optax | gradchain | why |", "|---|---|---|---|"]
    for call, why in DIFFERENCES.items():
        both = [cell(answer(call, library)) for library in (optax, dialect)]
        rows.append(f"| `{call}` | {both[0]} | {both[1]} | {why} |")
    return "\n".join(rows) + "\n"


def record() -> dict[str, Any]:
    """What the benchmark wrote."""
    return json.loads(FILE.read_text())


def precision() -> str:
    """How far updates are from those in float64, relative to their norm."""
    rows = ["| | float32, optax | gradchain | bfloat16, optax | gradchain |"]
    rows.append("|---|---:|---:|---:|---:|")
    for name, found in record()["errors"].items():
        both = [found[dtype][library] for dtype in ("float32", "bfloat16") for library in (0, 1)]
        rows.append(f"| `{name}` | " + " | ".join(f"{x:.0e}" for x in both) + " |")
    largest = max(max(found["float64"]) for found in record()["errors"].values())
    rows += ["", f"In float64 they differ by {largest:.0e} at most."]
    return "\n".join(rows) + "\n"


def write(folder: Path) -> None:
    """Write the tables to a folder."""
    texts = {"names.md": names(), "differences.md": differences(), "precision.md": precision()}
    write_files(folder, texts)
