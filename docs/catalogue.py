"""The table of the page "Which optimizer?": what each costs and needs is computed, when to use it is said here."""

import inspect
import re

import jax
import jax.numpy as jnp

import gradchain as gc
from gradchain.call import FACTORIES

#: When to use it, by family. A recipe that stands nowhere here is an error of the build and of the tests.
FAMILIES: dict[str, dict[str, str]] = {
    "Gradient descent": {
        "sgd": "convolutional networks with a tuned rate and schedule; with momentum the baseline of image models",
        "noisy_sgd": "when noise that fades is to help out of poor minima",
        "asgd": "convex problems: the average of the iterates is what counts",
        "aggmo": "when a high momentum oscillates: several decays at once",
        "qhm": "momentum and plain gradient in a tuned mixture",
        "rprop": "full batches: only signs matter, each weight has a step of its own",
        "optimistic_gradient_descent": "games and saddle points, where descent goes round in circles",
        "polyak_sgd": "when the optimal loss is known, as for an interpolating model",
    },
    "A rate for each parameter": {
        "adagrad": "sparse features: rare ones keep a large rate",
        "adadelta": "no rate to choose, at the price of slow starts",
        "rmsprop": "recurrent networks and reinforcement learning",
        "ftrl": "online linear models with L1: weights that are exactly zero",
    },
    "Adam and its kin": {
        "adam": "the default where weight decay does not matter",
        "adamw": "the default, for transformers above all",
    },
}

PARAMS = {"kernel": jax.ShapeDtypeStruct((1024, 1024), jnp.float32), "bias": jax.ShapeDtypeStruct((1024,), jnp.float32)}


def make(name: str) -> gc.GradientTransformation:
    """The optimizer with a rate of 0.001 and all else at its default."""
    factory = getattr(gc, name)
    required = [p.name for p in inspect.signature(factory).parameters.values() if p.default is p.empty]
    return factory(**dict.fromkeys(required, 1e-3))


def bytes_per_parameter(tx: gc.GradientTransformation) -> float:
    """Of the state, for a float32 matrix of 1024 by 1024 and a vector beside it, as the slots declare."""
    size = lambda tree: sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
    return size(tx.init(PARAMS)) / (size(PARAMS) / 4)


def needs(tx: gc.GradientTransformation) -> list[str]:
    """What ``update`` has to be given beside gradients and state."""
    found = []
    state, given = tx.init(PARAMS), {"value": 1.0, "value_fn": lambda params: jnp.sum(params["bias"])}

    def works(params: object, **extra: object) -> bool:
        try:
            jax.eval_shape(lambda g, s, p: tx.update(g, s, p, **extra), PARAMS, state, params)
        except TypeError:
            return False
        return True

    if not works(None, **given):
        found.append("`params`")
    found += [f"`{k}=`" for k in given if not works(PARAMS, **{n: v for n, v in given.items() if n != k})]
    return found


def paper(name: str, seen: tuple = ()) -> str:
    """The first link after "Source:" in the docstring, or in that of a factory that it refers to."""
    doc = inspect.getdoc(getattr(gc, name)) or ""
    source = doc.split("Source:", 1)[1].split("\n\n", 1)[0] if "Source:" in doc else ""
    if link := re.search(r"https?://[^\s,)]+", source):
        year = re.search(r"\b(1[89]|20)\d\d\b", source)
        return f"[{year[0] if year else 'paper'}]({link[0].rstrip('.')})"
    for other in re.findall(r"``(\w+)``", source):
        if hasattr(gc, other) and other not in (name, *seen) and (found := paper(other, (*seen, name))):
            return found
    return ""


def recipes() -> set[str]:
    """The names of all recipes."""
    return {n for n, f in FACTORIES.items() if f.function.__module__.startswith("gradchain.optimizers.")}


def tables() -> str:
    """The page's tables, in Markdown."""
    known = {name for family in FAMILIES.values() for name in family}
    if known != recipes():
        raise ValueError(f"not in the catalogue: {recipes() - known}; no longer a recipe: {known - recipes()}")
    lines = []
    for family, members in FAMILIES.items():
        lines += [f"## {family}", "", "| optimizer | state bytes | needs | when to use it | paper |", "|---|---:|---|---|---|"]
        for name, when in members.items():
            tx = make(name)
            link = f"[`{name}`](api/optimizers.md)"
            cells = [link, f"{bytes_per_parameter(tx):.2g}", ", ".join(needs(tx)), when, paper(name)]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables())
