"""Which leaves are weight matrices, in models of Flax Linen, NNX, Equinox and Haiku."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import gradchain as gc
from gradchain.tree.paths import named_leaves

LAYERS, HEADS, SIZE = 3, 2, 8
KEY = jax.random.key(0)
shape = lambda *dims: jax.ShapeDtypeStruct(dims, jnp.float32)


class Block(nn.Module):
    """A part of a transformer."""

    @nn.compact
    def __call__(self, x, _=None):
        y = nn.LayerNorm()(x)
        y = nn.MultiHeadDotProductAttention(HEADS, normalize_qk=True)(y)
        y = nn.Dense(SIZE)(nn.RMSNorm()(x + y))
        return nn.GroupNorm(num_groups=2)(y), None


class Transformer(nn.Module):
    """Blocks that are stacked by ``scan``, and others."""

    @nn.compact
    def __call__(self, ids):
        x = nn.Embed(11, SIZE)(ids)
        stack = nn.scan(
            Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=LAYERS
        )
        x, _ = stack()(x, None)
        x, _ = Block()(x)
        x = nn.BatchNorm(use_running_average=True)(nn.Conv(SIZE, (3,))(x))
        x = nn.DenseGeneral((HEADS, SIZE))(x)
        x = nn.RNN(nn.LSTMCell(SIZE))(x.mean(-2))
        x = nn.WeightNorm(nn.Dense(SIZE))(x)
        return nn.Einsum((SIZE, HEADS, 3), "abc,cde->abde")(x)


def linen():
    ids = jax.ShapeDtypeStruct((2, 5), jnp.int32)
    return jax.eval_shape(Transformer().init, KEY, ids)["params"]


class NnxBlock(nnx.Module):
    """A part of a transformer."""

    def __init__(self, rngs):
        self.attention = nnx.MultiHeadAttention(
            HEADS, SIZE, decode=False, normalize_qk=True, rngs=rngs
        )
        self.linear = nnx.Linear(SIZE, SIZE, rngs=rngs)
        self.norm = nnx.LayerNorm(SIZE, rngs=rngs)
        self.rms_norm = nnx.RMSNorm(SIZE, rngs=rngs)


class NnxModel(nnx.Module):
    """Blocks that are stacked by ``vmap``, and others."""

    def __init__(self, rngs):
        make = nnx.vmap(lambda rngs: NnxBlock(rngs), in_axes=0, out_axes=0)
        self.blocks = make(rngs.split(LAYERS))
        self.block = NnxBlock(rngs)
        self.embed = nnx.Embed(11, SIZE, rngs=rngs)
        self.conv = nnx.Conv(SIZE, SIZE, (3, 3), rngs=rngs)
        self.batch_norm = nnx.BatchNorm(SIZE, rngs=rngs)
        self.lora = nnx.LoRA(SIZE, 2, SIZE, rngs=rngs)
        self.cell = nnx.GRUCell(SIZE, SIZE, rngs=rngs)


def of_nnx():
    model = nnx.eval_shape(lambda: NnxModel(nnx.Rngs(0)))
    return nnx.state(model, nnx.Param)


class EqxBlock(eqx.Module):
    """A part of a transformer."""

    attention: eqx.nn.MultiheadAttention
    norm: eqx.nn.LayerNorm
    ln_2: eqx.nn.RMSNorm
    mlp: eqx.nn.MLP

    def __init__(self, key):
        self.attention = eqx.nn.MultiheadAttention(
            HEADS, SIZE, use_query_bias=True, use_output_bias=True, key=key
        )
        self.norm, self.ln_2 = eqx.nn.LayerNorm(SIZE), eqx.nn.RMSNorm(SIZE)
        self.mlp = eqx.nn.MLP(SIZE, SIZE, SIZE, 1, key=key)


class EqxModel(eqx.Module):
    """Blocks that are stacked by ``vmap``, and others."""

    embedding: eqx.nn.Embedding
    blocks: EqxBlock
    layers: list
    conv: eqx.nn.Conv2d
    group_norm: eqx.nn.GroupNorm
    gru: eqx.nn.GRUCell
    head: eqx.nn.Linear

    def __init__(self, key):
        self.embedding = eqx.nn.Embedding(11, SIZE, key=key)
        self.blocks = eqx.filter_vmap(EqxBlock)(jax.random.split(key, LAYERS))
        self.layers = [eqx.nn.Linear(SIZE, SIZE, key=key), eqx.nn.LayerNorm(SIZE)]
        self.conv = eqx.nn.Conv2d(3, SIZE, 3, key=key)
        self.group_norm = eqx.nn.GroupNorm(2, SIZE)
        self.gru = eqx.nn.GRUCell(SIZE, SIZE, key=key)
        self.head = eqx.nn.Linear(SIZE, "scalar", key=key)


def equinox():
    return eqx.filter(eqx.filter_eval_shape(EqxModel, KEY), lambda x: hasattr(x, "shape"))


#: As ``hk.transform`` makes them, whose package is not installed.
HAIKU = {
    "transformer/~/embed": {"embeddings": shape(11, SIZE)},
    "transformer/layer_norm": {"scale": shape(SIZE), "offset": shape(SIZE)},
    "transformer/multi_head_attention/query": {"w": shape(SIZE, SIZE), "b": shape(SIZE)},
    "transformer/layer_stack/linear": {"w": shape(LAYERS, SIZE, SIZE), "b": shape(LAYERS, SIZE)},
    "transformer/layer_stack/layer_norm_1": {
        "scale": shape(LAYERS, SIZE),
        "offset": shape(LAYERS, SIZE),
    },
    "transformer/layer_stack/rms_norm": {"scale": shape(LAYERS, SIZE)},
    "conv2_d": {"w": shape(3, 3, 3, SIZE), "b": shape(SIZE)},
    "batch_norm": {"scale": shape(1, 1, 1, SIZE), "offset": shape(1, 1, 1, SIZE)},
    "lstm/linear": {"w": shape(2 * SIZE, 4 * SIZE), "b": shape(4 * SIZE)},
    "bias": {"b": shape(SIZE, SIZE)},
}

#: What people write by hand.
BY_HAND = {
    "wte": shape(50, SIZE),
    "wpe": shape(5, SIZE),
    "blocks": [{"ln_1": {"g": shape(LAYERS, SIZE), "b": shape(LAYERS, SIZE)}, "w": shape(4, 4)}],
    "weights": [shape(4, 4), shape(4, 1)],
    "biases": [shape(1, 4), shape(1, 1)],
    "w1": shape(4, 4),
    "b1": shape(1, 4),
    "lora_b": shape(2, 4),
    "B": shape(2, 4),
    "cls_token": shape(1, 1, SIZE),
    "pos_embed": shape(1, 5, SIZE),
    "patch_embed": {"kernel": shape(4, 4, 3, SIZE), "bias": shape(SIZE)},
    "relative_position_bias_table": shape(9, HEADS),
    "layer_scale_gamma": shape(LAYERS, SIZE),
    "normal_dense": {"w": shape(4, 4)},
    "temperature": shape(),
}
BY_HAND_WEIGHTS = {
    "wte",
    "wpe",
    "blocks/0/w",
    "weights/0",
    "weights/1",
    "w1",
    "lora_b",
    "B",
    "pos_embed",
    "patch_embed/kernel",
    "normal_dense/w",
}

MODELS = {"linen": linen, "nnx": of_nnx, "equinox": equinox, "haiku": lambda: HAIKU}
#: By the last name of a path, whatever the dimensions; of Equinox's weights see below.
WEIGHTS = {"kernel", "w", "embedding", "embeddings", "lora_a", "lora_b", "weight"}
WEIGHTS |= {"weight_ih", "weight_hh"}
VECTORS = {"bias", "b", "scale", "offset", "bias_n"}


def chosen(tree, **options):
    flags = gc.select(gc.weight_matrices(**options), tree)
    return {path for path, flag in named_leaves(flags) if flag}


def is_weight(path):
    *modules, name = path.split("/")
    assert name in WEIGHTS | VECTORS, path
    is_norm = bool(modules) and ("norm" in modules[-1] or modules[-1].startswith("ln"))
    return name in WEIGHTS and not is_norm


@pytest.mark.parametrize("name", MODELS)
def test_weight_matrices_are_chosen_in_models_of_each_library(name):
    leaves = dict(named_leaves(MODELS[name]()))
    expected = {path for path, x in leaves.items() if x is not None and is_weight(path)}
    expected -= {"layers/1/weight"}  # a LayerNorm without a name, but with one dimension
    assert chosen(MODELS[name]()) == expected
    # the test sees the cases that dimensions alone do not tell
    vectors = [x for path, x in leaves.items() if x is not None and path not in expected]
    assert sum(x.ndim > 1 for x in vectors) >= 4 < len(expected)


@pytest.mark.parametrize("name", MODELS)
def test_embeddings_may_be_left_out(name):
    tree = MODELS[name]()
    left_out = chosen(tree) - chosen(tree, embeddings=False)
    assert len(left_out) == 1 and "embed" in left_out.pop().lower()
    assert chosen(tree, embeddings=False) < chosen(tree)


def test_weight_matrices_are_chosen_by_hand_written_names():
    assert chosen(BY_HAND) == BY_HAND_WEIGHTS
    left_out = {"wte", "wpe", "pos_embed"}
    assert chosen(BY_HAND, embeddings=False) == BY_HAND_WEIGHTS - left_out


def test_a_bare_array_is_chosen_by_its_dimensions():
    assert gc.select(gc.weight_matrices(), jnp.ones((2, 2))) is True
    assert gc.select(gc.weight_matrices(), jnp.ones(2)) is False


def test_attention_biases_do_not_decay():
    model = nnx.MultiHeadAttention(HEADS, SIZE, decode=False, rngs=nnx.Rngs(0))
    params = nnx.as_pure(nnx.state(model, nnx.Param))
    params = jax.tree.map(jnp.ones_like, params)
    tx = gc.add_decayed_weights(1.0, where=gc.weight_matrices())
    with jax.disable_jit():
        updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    for path, u in named_leaves(updates):
        assert jnp.all(u == (0.0 if path.endswith("bias") else 1.0)), path


# ------------------------------------------------------------------------------------------- check

DECAYS = {
    "adamw": lambda where: gc.adamw(0.1, where=where),
    "lion": lambda where: gc.lion(0.1, where=where),
    "prodigy": lambda where: gc.prodigy(weight_decay=0.1, where=where),
    "momo": lambda where: gc.momo(weight_decay=0.1, where=where),
    "novograd": lambda where: gc.novograd(0.1, weight_decay=0.1, where=where),
    "stable_adamw": lambda where: gc.stable_adamw(0.1, weight_decay=0.1, where=where),
    "chain": lambda where: gc.chain(gc.sgd(0.1), gc.add_independent_weight_decay(0.1, where)),
    "accumulate": lambda where: gc.accumulate(gc.adamw(0.1, where=where), every=2),
}


def decay_findings(tx, params):
    found = gc.check(tx, params, passes=("params", "value"))
    return [finding for finding in found if finding.name == "decays_vectors"]


@pytest.mark.parametrize("make", DECAYS.values(), ids=DECAYS)
def test_check_names_a_bias_or_scale_that_decays(make):
    params = {"query": {"kernel": shape(8, 2, 4), "bias": shape(2, 4)}, "ln": {"scale": shape(8)}}
    (finding,) = decay_findings(make(gc.ndim_at_least(2)), params)
    assert finding.severity == "warning"
    assert "'query/bias' [2, 4] decay" in finding.message
    assert "where=weight_matrices()" in finding.message
    assert "'ln/scale'" not in finding.message
    (finding,) = decay_findings(make(None), params)
    assert finding.severity == "note"
    assert "'ln/scale' [8], 'query/bias' [2, 4]" in finding.message
    assert decay_findings(make(gc.weight_matrices()), params) == []
    assert decay_findings(make("*bias"), params) == []  # they alone: that was meant


MODEL = {name: {"kernel": shape(2, 3), "bias": shape(3)} for name in ("up", "head")}


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        (~gc.path_matches("head"), {"up/kernel", "up/bias"}),
        (gc.weight_matrices() & ~gc.path_matches("head"), {"up/kernel"}),
        (gc.weight_matrices() & "head/*", {"head/kernel"}),
        ("head/*" & gc.weight_matrices(), {"head/kernel"}),
        (gc.weight_matrices() | "*/bias", {"up/kernel", "up/bias", "head/kernel", "head/bias"}),
        ((lambda path, x: x.ndim == 1) & ~gc.path_matches("up"), {"head/bias"}),
        ((lambda path, x: x.ndim == 3) | gc.path_matches("^up"), {"up/kernel", "up/bias"}),
    ],
)
def test_selections_combine(where, chosen):
    found = {path for path, flag in named_leaves(gc.select(where, MODEL)) if flag}
    assert found == chosen


def test_combined_selections_are_values():
    make = lambda: gc.muon(1e-3, where=gc.weight_matrices() & ~gc.path_matches("head"))
    assert make() == make()
    assert gc.from_config(gc.to_config(make())) == make()


def test_a_pattern_in_a_combined_selection_warns_if_it_fits_no_path():
    with pytest.warns(UserWarning, match="'haed', which fits no path"):
        gc.muon(1e-3, where=gc.weight_matrices() & ~gc.path_matches("haed")).init(
            jax.tree.map(lambda x: jnp.zeros(x.shape), MODEL)
        )


def test_a_tree_of_bools_goes_together_with_no_selection():
    with pytest.raises(TypeError, match="a glob or a function"):
        gc.select(~gc.path_matches("head") & {"up": True}, MODEL)
