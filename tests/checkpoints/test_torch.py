"""A run that begins in torch goes on here, and is where torch's own run would be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.checkpoints.test_adopt import assert_accounts_for_all
from tests.laws import samples

torch = pytest.importorskip("torch")

NAMES = {
    "0.weight": "first/kernel",
    "0.bias": "first/bias",
    "2.weight": "last/kernel",
    "2.bias": "last/bias",
}
IN_TORCH = {
    "adam": (lambda p: torch.optim.Adam(p, 0.05), gc.adam(0.05)),
    "amsgrad": (
        lambda p: torch.optim.Adam(p, 0.05, amsgrad=True),
        gc.amsgrad(0.05, max_first=True),
    ),
    "adamw": (
        lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.1),
        gc.adamw(0.05, weight_decay=0.1),
    ),
    "adamax": (lambda p: torch.optim.Adamax(p, 0.05), gc.adamax(0.05)),
    "sgd": (lambda p: torch.optim.SGD(p, 0.05, momentum=0.9), gc.sgd(0.05, momentum=0.9)),
    "nesterov": (
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
        gc.sgd(0.05, momentum=0.9, nesterov=True),
    ),
    "rmsprop": (
        lambda p: torch.optim.RMSprop(p, 0.05, alpha=0.9),
        gc.rmsprop(0.05, decay=0.9, eps_in_sqrt=False),
    ),
    "adagrad": (
        lambda p: torch.optim.Adagrad(p, 0.05, eps=1e-10),
        gc.chain(
            gc.scale_by_rss(initial_accumulator_value=0.0, eps=1e-10, eps_in_sqrt=False),
            gc.scale_by_learning_rate(0.05),
        ),
    ),
    "adadelta": (lambda p: torch.optim.Adadelta(p, 0.5, eps=1e-4), gc.adadelta(0.5, eps=1e-4)),
}


def transposed(path, x):
    return x.T if path.endswith("kernel") else x


def as_params(model):
    """The parameters of a torch model as a tree of ours."""
    tree = {}
    for name, x in model.named_parameters():
        module, leaf = NAMES[name].split("/")
        tree.setdefault(module, {})[leaf] = jnp.asarray(
            transposed(NAMES[name], x.detach().numpy())
        )
    return tree


class InTorch:
    """A small model, its data and its optimizer, in float64."""

    def __init__(self, make):
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(3, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)
        ).double()
        self.x, self.y = torch.randn(8, 3).double(), torch.randn(8, 2).double()
        self.optimizer = make(self.model.parameters())

    def train(self, steps):
        for _ in range(steps):
            self.optimizer.zero_grad()
            ((self.model(self.x) - self.y) ** 2).mean().backward()
            self.optimizer.step()


def train_here(tx, state, params, x, y, steps):
    def loss(p):
        hidden = jnp.tanh(x @ p["first"]["kernel"] + jnp.broadcast_to(p["first"]["bias"], (8, 3)))
        return jnp.mean(
            (hidden @ p["last"]["kernel"] + jnp.broadcast_to(p["last"]["bias"], (8, 2)) - y) ** 2
        )

    for _ in range(steps):
        params, state = tx.step(jax.grad(loss)(params), state, params)
    return params, state


@pytest.mark.parametrize("name", IN_TORCH)
def test_a_run_of_torch_goes_on(name):
    make, tx = IN_TORCH[name]
    there = InTorch(make)
    there.train(7)
    with jax.enable_x64(True):
        params = as_params(there.model)
        loaded = gc.checkpoints.torch_state(
            there.optimizer.state_dict(), list(NAMES.values()), transposed
        )
        state, report = gc.adopt_state(tx, loaded, params)
        assert_accounts_for_all(report, loaded, state)
        assert not report.dropped and not report.reshaped
        assert [path for path in report.new if path != "scale_by_learning_rate/count"] == []
        found, _ = train_here(
            tx, state, params, jnp.asarray(there.x.numpy()), jnp.asarray(there.y.numpy()), 5
        )
        there.train(5)
        samples.assert_close(found, as_params(there.model), 1e-12)


def test_an_average_of_torch_goes_on():
    there = InTorch(lambda p: torch.optim.SGD(p, 0.05, momentum=0.9))
    swa = torch.optim.swa_utils
    average = swa.AveragedModel(there.model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9))

    def train(steps):
        for _ in range(steps):
            there.train(1)
            average.update_parameters(there.model)

    train(7)
    with jax.enable_x64(True):
        params, averaged = as_params(there.model), as_params(average.module)
        old = gc.checkpoints.torch_state(
            there.optimizer.state_dict(), list(NAMES.values()), transposed
        )
        old["average_weights"] = {"average_params": averaged, "count": int(average.n_averaged)}
        tx = gc.average_weights(gc.sgd(0.05, momentum=0.9), 0.9, start=2, debias=False)
        state, report = gc.adopt_state(tx, old, params)
        assert not report.dropped and report.new == [
            "average_weights/inner/scale_by_learning_rate/count"
        ]
        found = train_here(
            tx, state, params, jnp.asarray(there.x.numpy()), jnp.asarray(there.y.numpy()), 5
        )
        train(5)
        samples.assert_close(found[0], as_params(there.model), 1e-12)
        samples.assert_close(gc.eval_params(found[1], found[0]), as_params(average.module), 1e-12)


def adam_state(**changes):
    there = InTorch(lambda p: torch.optim.Adam(p, 0.05, **changes))
    there.train(2)
    return there


def test_torch_states_by_name():
    there = InTorch(lambda p: None)
    there.optimizer = torch.optim.Adam(there.model.named_parameters(), 0.05)
    there.train(2)
    by_name = gc.checkpoints.torch_state(there.optimizer.state_dict(), NAMES, transposed)
    in_order = gc.checkpoints.torch_state(
        there.optimizer.state_dict(), list(NAMES.values()), transposed
    )
    jax.tree.map(np.testing.assert_array_equal, by_name, in_order)


def test_a_schedule_goes_on_at_the_step_of_torch():
    state = gc.checkpoints.torch_state(
        adam_state().optimizer.state_dict(), list(NAMES.values()), transposed
    )
    assert state["scale_by_learning_rate"]["count"] == 2


def test_what_torch_has_and_we_lack_is_dropped():
    there = adam_state(amsgrad=True)
    loaded = gc.checkpoints.torch_state(
        there.optimizer.state_dict(), list(NAMES.values()), transposed
    )
    _, report = gc.adopt_state(gc.adam(0.1), loaded, as_params(there.model))
    assert report.dropped == [f"torch/nu_max/{path}" for path in sorted(NAMES.values())]
    assert len(report.kept) == 2 * len(NAMES) + 2  # both moments, and both clocks


def test_a_path_or_a_layout_that_no_parameter_has_is_new_and_dropped():
    there = adam_state()
    names = ["first.kernel", *list(NAMES.values())[1:]]
    loaded = gc.checkpoints.torch_state(there.optimizer.state_dict(), names, transposed)
    _, report = gc.adopt_state(gc.adam(0.1), loaded, as_params(there.model))
    assert report.dropped == ["torch/mu/first.kernel", "torch/nu/first.kernel"]
    as_it_is = lambda path, x: x
    loaded = gc.checkpoints.torch_state(
        there.optimizer.state_dict(), list(NAMES.values()), as_it_is
    )
    _, report = gc.adopt_state(gc.adam(0.1), loaded, as_params(there.model))
    assert report.dropped == ["torch/mu/last/kernel", "torch/nu/last/kernel"]
    assert report.new == ["scale_by_adam/mu/last/kernel", "scale_by_adam/nu/last/kernel"]


def test_a_checkpoint_of_torch_in_half_precision(tmp_path):
    there = adam_state()
    state_dict = there.optimizer.state_dict()
    for own in state_dict["state"].values():
        own["exp_avg"] = own["exp_avg"].to(torch.bfloat16)
    torch.save(state_dict, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    state = gc.checkpoints.torch_state(loaded, list(NAMES.values()), transposed)
    wanted = state_dict["state"][0]["exp_avg"].float().numpy().T
    np.testing.assert_array_equal(state["torch"]["mu"]["first/kernel"], wanted)


def test_wrong_torch_states_are_refused():
    state_dict = adam_state().optimizer.state_dict()
    with pytest.raises(ValueError, match="has 4 parameters, but names has 1 different"):
        gc.checkpoints.torch_state(state_dict, ["first/kernel"], transposed)
    with pytest.raises(ValueError, match=r"names has nothing for '0', '1'.*as a list"):
        gc.checkpoints.torch_state(state_dict, NAMES, transposed)
    with pytest.raises(ValueError, match="'state' and 'param_groups'"):
        gc.checkpoints.torch_state(state_dict["state"], list(NAMES.values()), transposed)
    state_dict["state"][0]["step"] += 1
    with pytest.raises(ValueError, match="'first/bias' has made 2 steps and 'first/kernel' 3"):
        gc.checkpoints.torch_state(state_dict, list(NAMES.values()), transposed)


def test_a_number_beside_the_arrays_of_a_parameter_has_no_layout_to_convert():
    """As the product of NAdam, which stands in the state of each parameter."""
    own = {
        "step": 2.0,
        "exp_avg": np.ones((2, 3)),
        "exp_avg_sq": np.ones((2, 3)),
        "mu_product": np.float32(0.9),
    }
    loaded = {"state": {0: own}, "param_groups": [{"params": [0]}]}
    state = gc.checkpoints.torch_state(
        loaded, ["kernel"], lambda path, x: np.transpose(x, (1, 0))
    )
    assert state["torch"]["mu"]["kernel"].shape == (3, 2)
    assert state["torch_untranslated"]["mu_product"]["kernel"] == np.float32(0.9)
