"""The tables of the page "Which optimizer?".

When to use an optimizer is written here; its cost and its needs are computed from the code.
"""

import inspect
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from writing import write_files

import gradchain as gc
from gradchain.core.factory import FACTORIES

#: When to use it, by family; a name may carry one option. The build stops at a recipe that is
#: missing here.
FAMILIES: dict[str, dict[str, str]] = {
    "Gradient descent": {
        "sgd": "convex problems, and as a baseline; deep networks want momentum",
        "sgd(momentum=0.9)": "convolutional networks with a tuned rate and schedule",
        "qhm": "a mixture of momentum and plain gradient, where momentum alone is too slow",
        "aggmo": "when a high momentum oscillates: it averages several decays",
        "noisy_sgd": "deep plain networks that get stuck at the start; the noise fades",
        "asgd": "convex problems with noisy gradients; the average of the iterates is the answer",
        "polyak_sgd": "when the smallest loss is known, for example zero",
        "rprop": "gradients of the full batch only, with little tuning; noise misleads it",
    },
    "A rate for each parameter": {
        "adagrad": "sparse features and convex problems: rare features keep a large rate",
        "rmsprop": "recurrent networks and reinforcement learning",
        "rmsprop(momentum=0.9)": "older convolutional networks, whose recipes have it",
        "adadelta": "old recipes; it hardly needs a rate, but starts slowly",
        "ftrl": "online linear models that want weights of exactly zero (`l1=`)",
    },
    "Adam and its kin": {
        "adam": "the default where weights do not decay",
        "adamw": "the default, above all for transformers",
        "nadam": "as `adam`, a little quicker where Nesterov's momentum helps",
        "nadamw": "as `adamw`; did well in comparisons where everything was tuned",
        "adamax": "rare and large gradients, as of embeddings; the largest of them bounds the step",
        "adamaxw": "the same with weight decay",
        "amsgrad": "when Adam fails to settle late in training; seldom better otherwise",
        "radam": "to do without a warm-up",
        "adabelief": "as `adam`; its `eps` matters more",
        "yogi": "gradients that come in bursts: the second moment changes slowly",
        "adabound": "to begin as Adam and end as gradient descent",
        "padam": "convolutional networks, between Adam and momentum",
        "diffgrad": "convolutional networks: steps are smaller where the gradient hardly changes",
        "laprop": "a small `b2`: its momentum is of normalised gradients",
        "acprop": "as `adabelief`, but a gradient takes no part in its own normalisation",
        "adopt": "when Adam depends on `b2` too much: it converges with any",
        "qhadam": "a mixture of Adam's momentum and the plain gradient; more numbers to tune",
        "adan": "vision transformers; Nesterov's momentum, and more memory than Adam",
        "ademamix": "long runs on much data: a second momentum looks back over thousands of steps",
        "simplified_ademamix": "the same with one momentum, so less memory",
        "adamc": "long runs with a schedule, when the norm of the gradient grows near the end",
        "madgrad": "problems where Adam generalizes worse than momentum; tune its rate anew",
    },
    "Signs": {
        "lion": "transformers with little memory and large batches; a rate 3 to 10 times smaller",
        "tiger": "as `lion`, with one decay to choose",
        "signum": "little memory, and gradients that are sent as signs",
        "sign_sgd": "no memory at all; large batches, as small ones make signs noisy",
    },
    "Little memory": {
        "adafactor": "large transformers, where AdamW's state does not fit",
        "came": "as `adafactor`, steadier, for the memory of one momentum more",
        "sm3": "large embeddings; as Adagrad it only slows down",
        "adam_mini": "AdamW's steps for half its memory; `block=` has to fit the model",
        "apollo": "language models: Adam's step lengths, estimated from a random projection",
        "amos": "pretraining: it decays rate and weights itself; needs the size of weights",
    },
    "Matrix methods": {
        "adago": "as `muon`, with step lengths that decay by themselves",
        "adamuon": "as `muon`, adaptive element by element, with the step lengths of Adam",
        "alice": "language models in half of Adam's memory, where a subspace holds the gradient",
        "conda": "as Adam, with a second moment that keeps the matrix's directions apart",
        "dion": "as `muon` with weights on many devices: products with few columns alone",
        "dion2": "as `muon` at a part of its time: a quarter of the rows in each step",
        "fira": "Adam where its moments are too large for memory, without the losses of low rank",
        "muon": "hidden matrices of transformers; momentum alone in memory, fewer steps than AdamW",
        "muown": "as `muon`, with the lengths of neurons' weights held in check",
        "namo": "as `muon`, with shorter steps where gradients disagree, as Adam has them",
        "namo_d": "the same for each input",
        "normuon": "as `muon`, when a few neurons take most of its updates",
        "polargrad": "as `muon`, with steps that end where the gradient does",
        "prism": "as `muon`, with less of directions that are noise",
        "rmnp": "nearly `muon`, without a product of matrices",
        "scion": "rates that carry over to wider models; weights stay in a ball",
        "spectral_descent": "gradients of the full batch: steepest descent in the spectral norm",
        "spectral_sphere": "as `scion`, with weights of one spectral norm; slow steps",
        "psgd_kron": "matrices whose curvature differs by direction; little tuning, two factors",
        "psgd_lra": "any shapes of parameters; one preconditioner of low rank for all of them",
        "racs": "language models in the memory of plain descent: a scale for each row and column",
        "scale_sgd": "language models in the least memory: momentum in the last layer only",
        "sink_gd": "hidden matrices in no memory at all, where large batches keep noise low",
        "soap": "fewer steps than AdamW where memory allows two factors for each matrix",
        "shampoo": "large batches and long runs, with the length of steps from Adam",
        "sketchy": "as `shampoo` for matrices whose factors are too large for memory",
        "kl_shampoo": "SOAP's quality without Adam's second moment in memory",
        "kl_soap": "SOAP whose bases take both sides of a matrix into account",
        "splus": "bases that are found anew only each 100 steps, at any width with one rate",
    },
    "Layer by layer": {
        "lars": "convolutional networks in batches of many thousands",
        "lamb": "transformers in batches of many thousands",
        "novograd": "speech and vision, with half of the memory of Adam: one second moment a layer",
        "fromage": "one rate for many architectures: the step is a share of each layer's norm",
        "sgdp": "momentum for networks with normalisation layers, whose weights would grow",
        "adamp": "the same with Adam",
    },
    "Without a learning rate": {
        "prodigy": "the first to try when no rate is known, above all in fine-tuning and diffusion",
        "dadapt_adamw": "as `prodigy`, more careful and slower to start",
        "dadapt_sgd": "the same for gradient descent with momentum",
        "dog": "fine-tuning without a rate; evaluate with averaged iterates (`average_weights`)",
        "dowg": "as `dog`, with longer steps",
        "cocob": "small problems and online learning; it takes much memory",
        "momo": "momentum when the smallest loss is roughly known: it cuts steps that are too long",
        "momo_adam": "the same with Adam; it forgives a rate that is too large",
    },
    "Without a schedule": {
        "schedule_free_adamw": "runs of unknown length; evaluate with `eval_params`",
        "schedule_free_sgd": "the same for gradient descent; still has a rate to tune",
    },
    "When the loss spikes": {
        "stable_adamw": "AdamW when the loss spikes: the length of a step is bounded, leaf by leaf",
        "spam": "language models: it clips spiking gradients and resets its moments now and then",
        "stable_spam": "the same when training in few bits",
    },
    "Sparse gradients": {
        "lazy_adam": "embeddings of which a batch sees few rows; the others rest",
        "lazy_adagrad": "the same with Adagrad, where rows without a gradient rest anyway",
    },
    "Games": {
        "optimistic_gradient_descent": "games and saddle points, where descent goes in circles",
        "optimistic_adam": "adversarial networks",
    },
    "Second order": {
        "lbfgs": "smooth problems of any size and full batches: the first to try with `minimize`",
        "lbfgsb": "the same with bounds",
        "bfgs": "up to a thousand parameters: it keeps a whole matrix, in fewer steps than `lbfgs`",
        "dfp": "a comparison with BFGS",
        "nonlinear_cg": "smooth problems too large for `lbfgs`: it keeps three vectors",
        "newton": "few parameters and a loss that can be differentiated twice: the fewest steps",
        "newton_cg": "the same for many parameters: it only multiplies by the Hessian",
        "gauss_newton": "least squares, convex losses of outputs; `levenberg_marquardt` is safer",
        "natural_gradient": "models of probabilities: steps do not depend on the parameterisation",
        "hessian_free": "networks in batches of thousands; it finds its damping by itself",
        "sophia": "language models: clipped steps by a diagonal that is estimated now and then",
        "adahessian": "as Adam, with the Hessian's diagonal for squared gradients; twice the time",
    },
    "Privacy": {
        "dpsgd": "models that must not betray an example; compute the privacy budget yourself",
    },
}

#: The same for wrappers, which take a transformation and return one.
#: What stands in a wrapper that takes no whole optimizer.
DIRECTIONS = {"block_periodic": gc.orthogonalize(), "owners": gc.scale_by_adam()}
WRAPPERS = {
    "accumulate": "a batch that does not fit, in parts one by one; bad parts are left out",
    "average_weights": "nearly always: better weights to evaluate with (`eval_params`)",
    "lookahead": "an optimizer that oscillates; evaluate with `eval_params`",
    "ema_nesterov": "gradients taken ahead along recent steps; evaluate with `eval_params`",
    "schedule_free": "an optimizer of your own without momentum, for runs of unknown length",
    "sam": "to generalize better when data is short, at twice the time",
    "asam": "the same where the scales of the weights differ",
    "looksam": "most of the gain of `sam`, with a second gradient now and then",
    "cautious": "any optimizer with momentum: it drops elements that go against the gradient",
    "grams": "the same idea, with all signs taken from the gradient",
    "mars": "pretraining: a gradient of less variance, without a second evaluation",
    "magma": "language models: updates of random leaves are left out, others scaled by agreement",
    "grokfast": "small tasks that are memorized long before the model generalizes",
    "grokfast_window": "the same with a plain mean; it keeps each gradient of the window",
    "apply_when": "a step that is made now and then only, or from some point on",
    "switch": "to begin with one optimizer and end with another, which may take over moments",
    "parallel": "a sum, a mean or any mixture of the updates of several",
    "graft": "a new direction with the step lengths and the schedule of a tuned optimizer",
    "in_eigenbasis": "any element-wise rule, such as Lion, in the bases in which SOAP runs Adam",
    "owners": "matrix methods on several devices: each updates whole matrices of its own",
    "block_periodic": "matrices in parts: blocks in most steps, whole matrices now and then",
    "low_rank": "language models that do not fit: the inner state is of projected matrices",
    "block_training": "stacked layers that do not fit: one block at a time has a state",
    "skip_nonfinite": "a NaN now and then that should not end a run",
    "dynamic_loss_scale": "to train in float16",
    "skip_spikes": "long runs that single batches upset",
    "tunable": "hyperparameters that you change between steps, and not by a schedule",
    "lazy_rows": "embeddings of which a batch sees few rows",
    "remove_radial": "networks with normalisation layers, whose weights would grow",
    "hyperball": "pretraining without weight decay: norms stay, the rate is an angle",
    "on_sphere": "weights of fixed norms; momentum is carried along the sphere",
    "dadapt": "a direction of your own, without a rate",
    "mechanize": "a whole optimizer whose rate is scaled by a learned factor",
    "storage(default=int8)": "a state that does not fit: slots in 8, 4 or 16 bits",
    "zero1(axis=data)": "data parallel training: each device keeps a part of any state",
    "zero1_flat(axis=data)": "the same inside `shard_map`, for rules that are local to elements",
    "master_weights": "bfloat16 or float16 parameters, trained as exactly as float32 ones",
    "split_weights": "the same for bfloat16 ones at half of the bytes",
    "kahan": "bfloat16 or float16 parameters that lose no small step",
    "stochastic_rounding": "bfloat16 parameters without a byte more: right on average",
    "exchange(error_feedback=1)": "a slow network: gradients of replicas in few bytes",
    "diloco": "replicas far apart: they train alone and meet every few hundred steps",
    "local_sgd": "the same without an outer optimizer: all go on from the mean",
    "delayed": "to try what stale gradients would do, before you build what has them",
}

#: Arguments of wrappers that are neither a transformation nor a rate.
ARGUMENTS = {
    "blocks": 2,
    "likelihood": "bernoulli",
    "at": 100,
    "condition": gc.constant_schedule(1.0),
    "every": 4,
    "wire": "int8",
    "steps": 4,
}

PARAMS = {
    "kernel": jax.ShapeDtypeStruct((1024, 1024), jnp.float32),
    "bias": jax.ShapeDtypeStruct((1024,), jnp.float32),
}
OTHER = {
    "kernel": jax.ShapeDtypeStruct((32, 2048), jnp.float32),
    "bias": jax.ShapeDtypeStruct((2048,), jnp.float32),
}
PER_EXAMPLE = jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), PARAMS)
EXTRAS = {
    "value": 1.0,
    "value_fn": lambda params: jnp.sum(params["bias"]),
    "model_fn": lambda params: params["bias"],
}


def names(folder: str) -> set[str]:
    """The transformations that the modules of a folder of gradchain define."""
    in_folder = {
        n: f
        for n, f in FACTORIES.items()
        if f.function.__module__.startswith(f"gradchain.{folder}.")
    }
    return {n for n, f in in_folder.items() if f.kind is gc.GradientTransformation}


def recipes() -> set[str]:
    """The recipes, of first and of second order."""
    is_whole = lambda name: FACTORIES[name].composite and not name.startswith("scale_by_")
    return set(filter(is_whole, names("optimizers")))


def members(name: str) -> dict[str, gc.GradientTransformation]:
    """Adam for the first transformation that a wrapper takes, gradient descent for a second.

    What takes no state, or no steps, has a direction.
    """
    takes = [
        p
        for p in FACTORIES[name].signature.parameters
        if FACTORIES[name].mentions(p, "GradientTransformation")
    ]
    first = DIRECTIONS.get(name, gc.adam(1e-3))
    return dict(zip(takes, (first, gc.sgd(1e-3)), strict=False))


def value(text: str) -> float | str:
    """The value of an option."""
    return float(text) if text[0].isdigit() else text


def factory(name: str) -> Any:
    """The function of a name, which is flat or of several devices."""
    return getattr(gc.distributed if hasattr(gc.distributed, name) else gc, name)


def make(call: str, **given: object) -> gc.GradientTransformation:
    """The value of ``name`` or ``name(option=number)``; what is no number is a name.

    Arguments without a default are 0.001, or stand in ``ARGUMENTS``.
    """
    name, option, number = re.fullmatch(r"(\w+)(?:\((\w+)=([\w.]+)\))?", call).groups()
    parameters = FACTORIES[name].signature.parameters.values()
    parameters = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    required = {p.name: ARGUMENTS.get(p.name, 1e-3) for p in parameters if p.default is p.empty}
    arguments = required | given | ({option: value(number)} if option else {})
    if "mesh" in FACTORIES[name].signature.parameters:
        arguments["mesh"] = jax.make_mesh((1,), ("data",))
    spread = [arguments.pop(p.name) for p in parameters if p.kind is p.VAR_POSITIONAL]
    return factory(name)(*spread, **arguments)


def bytes_per_parameter(tx: gc.GradientTransformation, params: dict = PARAMS) -> float:
    """Bytes of the state for each parameter."""
    elements = sum(x.size for x in jax.tree.leaves(params))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tx.init(params))) / elements


def memory(
    tx: gc.GradientTransformation, *inner: gc.GradientTransformation, narrow: bool = False
) -> str:
    """Bytes per parameter beyond those of ``inner``; with a star if they depend on the shapes.

    Of a matrix for n parameters they are a multiple of n. If ``narrow``, parameters are bfloat16.
    """

    def more(params: dict) -> float:
        dtype = lambda x: jnp.bfloat16 if narrow else x.dtype
        params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype(x)), params)
        own = sum(bytes_per_parameter(x, params) for x in inner)
        return bytes_per_parameter(tx, params) - own

    elements = sum(x.size for x in jax.tree.leaves(PARAMS))
    if more(PARAMS) > elements:
        return f"{round(more(PARAMS) / elements):g} n"
    number = f"{round(more(PARAMS), 2) + 0.0:g}".replace("-", "−")
    return number + r"\*" * (abs(more(PARAMS) - more(OTHER)) > 0.02)


def needs(tx: gc.GradientTransformation) -> list[str]:
    """The arguments that ``update`` must have beside gradients and state."""
    state = tx.init(PARAMS)

    def works(grads: object, params: object, extra: dict) -> bool:
        try:
            jax.eval_shape(lambda g, s, p: tx.update(g, s, p, **extra), grads, state, params)
        except (TypeError, ValueError):
            return False
        return True

    known = {k: v for k, v in EXTRAS.items() if k in tx.extras}
    grads = PARAMS if works(PARAMS, PARAMS, known) else PER_EXAMPLE
    if not works(grads, PARAMS, known):
        raise ValueError(f"{tx!r} needs something that the catalogue does not know")
    found = ["a gradient per example"] * (grads is PER_EXAMPLE) + ["`params`"] * (
        not works(grads, None, known)
    )
    return found + [
        f"`{k}=`"
        for k in known
        if not works(grads, PARAMS, {n: v for n, v in known.items() if n != k})
    ]


def papers(name: str, seen: tuple[str, ...] = ()) -> dict[str, str]:
    """The links after "Source:" in the docstring, with their years.

    Links of the factories that are named there count too.
    """
    source = (inspect.getdoc(factory(name)) or "").partition("Source:")[2].split("\n\n")[0]
    found, year = {}, "paper"
    for link, other, number in re.findall(
        r"(https?://(?:\([^\s()]*\)|[^\s,;()])+)|``(\w+)``|\b((?:1[89]|20)\d\d)\b", source
    ):
        if link:
            found.setdefault(link.rstrip("."), year)
        elif other in FACTORIES and other not in (name, *seen):
            found |= papers(other, (*seen, name))
        year = number or year
    return found


def reference(call: str) -> str:
    """A link to the entry of ``name`` or ``name(option=number)`` on the page of the API."""
    name = call.split("(")[0]
    return f"{{py:func}}`{call} <{FACTORIES[name].function.__module__}.{name}>`"


def row(call: str, when: str) -> str:
    """One line of a table."""
    name = call.split("(")[0]
    inner = members(name)
    quiet = dict.fromkeys(inner, gc.sgd(1e-3))  # which needs nothing itself
    quiet = inner if name in DIRECTIONS else quiet
    cells = [
        reference(call),
        memory(make(call, **inner), *inner.values(), narrow=name in names("precision")),
        ", ".join(needs(make(call, **quiet))),
        when,
        ", ".join(f"[{year}]({link})" for link, year in papers(name).items()),
    ]
    return f"| {' | '.join(cells)} |"


def table(entries: dict[str, str], first: str, second: str) -> list[str]:
    """A table in Markdown, as lines."""
    head = [f"| {first} | {second} | needs | when to use it | papers |", "|---|---:|---|---|---|"]
    return [*head, *(row(call, when) for call, when in entries.items()), ""]


def check(there: set[str], entries: dict[str, str]) -> None:
    """Raise an error unless the entries are exactly those of the library."""
    known = {call.split("(")[0] for call in entries}
    if missing := there - known:
        raise ValueError(
            f"docs/catalogue.py does not say when to use {', '.join(sorted(missing))}"
        )
    if gone := known - there:
        raise ValueError(f"docs/catalogue.py has what gradchain lacks: {', '.join(sorted(gone))}")


def optimizers() -> str:
    """The tables of the recipes, by family."""
    check(
        recipes(), {call: when for family in FAMILIES.values() for call, when in family.items()}
    )
    lines = []
    for family, entries in FAMILIES.items():
        lines += [f"### {family}", "", *table(entries, "optimizer", "bytes")]
    return "\n".join(lines)


def wrappers() -> str:
    """The table of the wrappers; groups have a page of their own."""
    check(
        (names("wrappers") | names("precision") | names("distributed")) - {"groups", "freeze"},
        WRAPPERS,
    )
    return "\n".join(table(WRAPPERS, "wrapper", "more bytes"))


def write(folder: Path) -> None:
    """Write the tables to a folder."""
    write_files(folder, {"optimizers.md": optimizers(), "wrappers.md": wrappers()})


if __name__ == "__main__":
    print(optimizers(), wrappers(), sep="\n")
