"""What PyTorch has, what it is here, and how they differ: the tables of ``coming_from_pytorch.md``.

``opt`` in a call is SGD with the rate 0.3, ``params`` are the parameters of the small problem.
"""

from tests.migration.case import Row
from tests.migration.our_loops import (
    follow_averaged,
    follow_clipped,
    follow_continued,
    follow_minimized,
    follow_newton_like,
    follow_plateau,
    follow_plateau_by_epoch,
    follow_rate_changed,
    follow_scaled,
    rates,
)
from tests.migration.pytorch_loops import (
    accumulated,
    averaged,
    clipped,
    continued,
    frozen,
    minimized,
    newton_like,
    plateau,
    plateau_by_epoch,
    rate_changed,
    scaled,
    scheduled,
)

DECAY_FIRST = "the decay is a member of its own, in front: it goes through the optimizer"


def optimizers() -> list[Row]:
    table = "optimizers"
    row = lambda theirs, ours, differs="", **more: Row(table, theirs, ours, differs, **more)
    return [
        row("SGD(params, lr=0.1)", "gc.sgd(0.1)"),
        row("SGD(params, lr=0.1, momentum=0.9)", "gc.sgd(0.1, momentum=0.9)"),
        row(
            "SGD(params, lr=0.1, momentum=0.9, nesterov=True)",
            "gc.sgd(0.1, momentum=0.9, nesterov=True)",
        ),
        row(
            "SGD(params, lr=0.1, momentum=0.9, dampening=0.3)",
            "gc.sgd(0.1, momentum=0.9, dampening=0.3)",
        ),
        row(
            "SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01)",
            "gc.chain(gc.add_decayed_weights(0.01), gc.sgd(0.1, momentum=0.9))",
            DECAY_FIRST,
        ),
        row(
            "SGD(params, lr=0.1, maximize=True)",
            "gc.chain(gc.scale(-1.0), gc.sgd(0.1))",
            "a sign in front; or differentiate the negative",
        ),
        row("Adam(params, lr=0.05)", "gc.adam(0.05)", "the rate has no default here"),
        row(
            "Adam(params, lr=0.05, betas=(0.8, 0.99), eps=1e-3)",
            "gc.adam(0.05, b1=0.8, b2=0.99, eps=1e-3)",
        ),
        row(
            "Adam(params, lr=0.05, weight_decay=0.01)",
            "gc.chain(gc.add_decayed_weights(0.01), gc.adam(0.05))",
            DECAY_FIRST,
        ),
        row(
            "Adam(params, lr=0.05, amsgrad=True)",
            "gc.amsgrad(0.05, max_first=True)",
            "without `max_first` the maximum comes after the correction of the bias, as in optax",
        ),
        row(
            "AdamW(params, lr=0.05)",
            "gc.adamw(0.05, weight_decay=0.01)",
            "**the default of `weight_decay`**: 0.01 there, 0.0001 here as in optax",
        ),
        row(
            "AdamW(params, lr=0.05, weight_decay=0.1)",
            "gc.adamw(0.05, weight_decay=0.1)",
            "`where=gc.weight_matrices()` leaves biases and norms out",
        ),
        row(
            "Adagrad(params, lr=0.1)",
            "gc.adagrad(0.1, 0.0, eps=1e-10, eps_in_sqrt=False)",
            "the sum starts at 0.1 here, and `eps` stands under the root, unless you say otherwise",
        ),
        row(
            "Adagrad(params, lr=0.1, lr_decay=0.05)",
            "gc.adagrad(gc.schedules.inverse_time_decay_schedule(0.1, 1, 0.05), 0.0,"
            " eps=1e-10, eps_in_sqrt=False)",
            "the decay is a schedule",
        ),
        row(
            "RMSprop(params, lr=0.01)",
            "gc.rmsprop(0.01, decay=0.99, eps_in_sqrt=False)",
            "`alpha` is `decay`, 0.9 by default",
        ),
        row(
            "RMSprop(params, lr=0.01, centered=True, momentum=0.9)",
            "gc.rmsprop(0.01, decay=0.99, eps_in_sqrt=False, centered=True, momentum=0.9)",
            "the same",
        ),
        row("Adadelta(params, lr=1.0)", "gc.adadelta(1.0)"),
        row(
            "NAdam(params, lr=0.05)",
            "gc.nadam(0.05, momentum_decay=0.004)",
            "without `momentum_decay` the momentum is constant, as in optax",
        ),
        row(
            "NAdam(params, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)",
            "gc.nadamw(0.05, weight_decay=0.1, momentum_decay=0.004)",
            "a name of its own",
        ),
        row(
            "RAdam(params, lr=0.05)",
            "gc.radam(0.05, debias_eps=True)",
            "without `debias_eps` the `eps` is added after the correction of the bias",
        ),
        row("Adamax(params, lr=0.05)", "gc.adamax(0.05)"),
        row("Rprop(params, lr=0.01)", "gc.rprop(0.01)"),
        row(
            "ASGD(params, lr=0.1)",
            "gc.asgd(0.1)",
            "the average: `gc.eval_params(state, params)`; torch keeps its rate in float32",
            tolerance=1e-8,
        ),
        row(
            "Adafactor(params, lr=0.05)",
            "gc.adafactor(lambda t: jnp.minimum(0.05, (t + 1.0) ** -0.5), 1, eps=2.0**-104,"
            ' dims="last", add_eps=False)',
            "torch takes the least of `lr` and the inverse root of the step; in float64 its"
            " `eps` is the square of float32's; here matrices below 128 are factored only if you"
            " say so, with 1. Its `weight_decay=w` is `weight_decay_rate=lr * w`",
        ),
        row(
            "LBFGS(params, lr=0.5, max_iter=1, history_size=10)",
            "gc.chain(gc.scale_by_lbfgs(10, scale_first=False), gc.scale_by_learning_rate(0.5))",
            "torch shortens its first step to length 1 in the sum of magnitudes, if the gradient"
            " is longer, which the test avoids, and stops at a gradient of 1e-7;"
            " one iteration here is one call of `update`",
            run=newton_like,
            follow=follow_newton_like,
            tolerance=1e-6,
        ),
        row(
            'LBFGS(params, max_iter=100, line_search_fn="strong_wolfe")',
            "lambda loss, params: gc.minimize(loss, params, gc.lbfgs(), tol=1e-9)",
            "the same minimum by another line search; the whole loop is one compiled call",
            run=minimized,
            follow=follow_minimized,
            tolerance=1e-8,
        ),
        row(
            'Muon([named["kernel"]], lr=0.02)',
            'gc.muon(0.02, weight_decay=0.1, adjust="keller", where="kernel", fallback=gc.freeze(),'
            ' fold={"kernel": "o i -> i o"})',
            "**the default of `weight_decay`**: 0.1 there, 0 here. torch multiplies in bfloat16,"
            " with three digits, also in float64; the rest is equal. **`fold` is for kernels in"
            " torch's layout**, `(outputs, inputs)`: leave it out with Flax's, where it would turn"
            " the factor by shape round."
            ' `adjust_lr_fn="match_rms_adamw"` is `adjust="rms"`',
            tolerance=2e-2,
        ),
    ]


def groups() -> list[Row]:
    row = lambda theirs, ours, differs="", **more: Row("groups", theirs, ours, differs, **more)
    return [
        row(
            'AdamW([{"params": [named["bias"]], "weight_decay": 0.0}, {"params":'
            ' [named["kernel"]]}], lr=0.05, weight_decay=0.1)',
            "gc.adamw(0.05, weight_decay=0.1, where=gc.weight_matrices())",
            "parameters are told apart by path or shape; nobody lists them",
        ),
        row(
            'SGD([{"params": [named["bias"]], "lr": 0.3}, {"params": [named["kernel"]]}], lr=0.1,'
            " momentum=0.9)",
            'gc.groups([("*bias", {"learning_rate": 0.3})], default=gc.sgd(0.1, momentum=0.9))',
            "a dict edits the default",
        ),
        row(
            "bias.requires_grad = False; AdamW(params, lr=0.05)",
            'gc.groups([("*bias", gc.freeze())], default=gc.adamw(0.05, weight_decay=0.01))',
            "frozen parameters have no state",
            run=frozen,
        ),
        row(
            'opt.param_groups[0]["lr"] = 0.01',
            "gc.adam(0.1)",
            "`tx.replace(learning_rate=0.01)`, with `tx` an argument of the compiled step:"
            " nothing compiles again",
            run=rate_changed,
            follow=follow_rate_changed,
        ),
    ]


def schedules() -> list[Row]:
    def row(theirs, ours, differs=""):
        return Row("schedules", theirs, ours, differs, scheduled, rates, 1e-12)

    return [
        row(
            "LambdaLR(opt, lambda t: 0.9**t)",
            "lambda t: 0.3 * 0.9**t",
            "any function of an int32 step that is traced: `jnp.cos` and `jnp.minimum` in the"
            " place of `math.cos` and `min`",
        ),
        row(
            "MultiplicativeLR(opt, lambda t: 0.95)",
            "gc.schedules.multiplicative_schedule(0.3, lambda t: 0.95, 100)",
            "after 100 steps it stays",
        ),
        row(
            "StepLR(opt, 7, gamma=0.5)",
            "gc.exponential_decay(0.3, 7, 0.5, staircase=True)",
        ),
        row(
            "MultiStepLR(opt, [5, 20], gamma=0.1)",
            "gc.piecewise_constant_schedule(0.3, {5: 0.1, 20: 0.1})",
        ),
        row(
            "ConstantLR(opt, factor=0.25, total_iters=7)",
            "gc.piecewise_constant_schedule(0.3 * 0.25, {7: 4.0})",
        ),
        row(
            "LinearLR(opt, start_factor=0.25, end_factor=0.9, total_iters=12)",
            "0.3 * gc.linear_schedule(0.25, 0.9, 12)",
            "schedules are added and multiplied",
        ),
        row("ExponentialLR(opt, 0.9)", "gc.exponential_decay(0.3, 1, 0.9)"),
        row(
            "PolynomialLR(opt, total_iters=20, power=2.0)",
            "gc.polynomial_schedule(0.3, 0.0, 2.0, 20)",
        ),
        row(
            "CosineAnnealingLR(opt, T_max=11, eta_min=0.01)",
            "gc.schedules.cosine_annealing_schedule(0.3, 11, 0.01)",
            "it rises again after `T_max`; `gc.cosine_decay_schedule` stays down",
        ),
        row(
            "CosineAnnealingWarmRestarts(opt, 7, 2, eta_min=0.01)",
            "gc.schedules.cosine_restarts_schedule(0.3, 7, 2, end_value=0.01)",
        ),
        row(
            "OneCycleLR(opt, 0.8, total_steps=61)",
            "gc.cosine_onecycle_schedule(61, 0.8, inclusive=True)",
            "the rate alone: its cycle of momenta is a schedule of its own, as `momentum=`",
        ),
        row(
            'OneCycleLR(opt, 0.8, total_steps=61, anneal_strategy="linear")',
            "gc.linear_onecycle_schedule(61, 0.8, pct_final=None, inclusive=True)",
            "the same",
        ),
        row(
            "CyclicLR(opt, 0.1, 0.8, step_size_up=4, step_size_down=7)",
            "gc.schedules.cyclic_schedule(0.1, 0.8, 4, 7)",
            "the rate alone",
        ),
        row(
            "SequentialLR(opt, [LinearLR(opt, 0.1, total_iters=10), ExponentialLR(opt, 0.9)],"
            " [10])",
            "gc.linear_schedule(0.03, 0.3, 10).until(10) | gc.exponential_decay(0.3, 1, 0.9)",
            "a bar puts one after another",
        ),
        row(
            "SequentialLR(opt, [LinearLR(opt, 1e-8, total_iters=10), CosineAnnealingLR(opt, 60)],"
            " [10])",
            "gc.linear_schedule(3e-9, 0.3, 10).until(10) | gc.cosine_decay_schedule(0.3, 60)",
            "`gc.warmup_cosine_decay_schedule(0.0, 0.3, 10, 70)` is nearly the same, from 0",
        ),
        row(
            "ChainedScheduler([LinearLR(opt, 0.1, total_iters=10), ExponentialLR(opt, 0.9)], opt)",
            "gc.linear_schedule(0.1, 1.0, 10) * gc.exponential_decay(0.3, 1, 0.9)",
            "a product",
        ),
        Row(
            "schedules",
            "ReduceLROnPlateau(opt, factor=0.5, patience=3, cooldown=2)",
            "gc.chain(gc.sgd(0.3), gc.reduce_on_plateau(0.5, patience=4, cooldown=2))",
            "`patience` is one more; `update(..., value=loss)` gets the loss of the step before,"
            " 1e9 at first, since torch calls `scheduler.step(loss)` after `opt.step()`: the loss"
            " of the step itself acts one step earlier. `threshold` is `rtol`; `min_lr` is"
            " `min_scale`, relative to the rate",
            plateau,
            follow_plateau,
        ),
        Row(
            "schedules",
            'ReduceLROnPlateau(opt, mode="max", factor=0.5, patience=2, threshold=0.01,'
            ' threshold_mode="abs")',
            "gc.chain(gc.sgd(0.3), gc.reduce_on_plateau(0.5, patience=3, rtol=0.0, atol=0.01))",
            "`value=` is the negative of the score; a threshold in units of the score is `atol`,"
            " and then `rtol` is 0",
            plateau,
            follow_plateau,
        ),
        Row(
            "schedules",
            "ReduceLROnPlateau(opt, factor=0.5, patience=1, cooldown=1); scheduler.step(val_loss)"
            " once an epoch",
            "gc.chain(gc.sgd(0.3), gc.reduce_on_plateau(0.5, patience=2, cooldown=1, every=4))",
            "`every` is the updates of an epoch, 4 in the test, and each of them is given the last"
            " held-out loss, `update(..., value=val_loss)`, 1e9 before there is one",
            plateau_by_epoch,
            follow_plateau_by_epoch,
        ),
    ]


def around() -> list[Row]:
    row = lambda *cells, **more: Row("around", *cells, **more)
    return [
        row(
            "clip_grad_norm_(params, 1.0)",
            "gc.chain(gc.clip_by_global_norm(1.0, eps=1e-6), gc.sgd(0.3))",
            "a member of the chain; torch adds 1e-6 to the norm, 0 is the default here",
            clipped,
            follow_clipped,
        ),
        row(
            "clip_grad_value_(params, 0.2)",
            "gc.chain(gc.clip(0.2), gc.sgd(0.3))",
            "a member of the chain",
            clipped,
            follow_clipped,
        ),
        row(
            "(loss / 4).backward(), opt.step() at every fourth",
            "gc.accumulate(gc.adam(0.05), every=4)",
            "the mean is taken here; `step` is called each time",
            accumulated,
            follow_clipped,
        ),
        row(
            'GradScaler("cpu", growth_interval=4)',
            "gc.dynamic_loss_scale(gc.adam(0.05), growth_interval=4)",
            "the step multiplies the loss with `gc.loss_scale(state)`; the scale"
            " stays between 1 and 2\\*\\*24, torch's has no bounds",
            scaled,
            follow_scaled,
        ),
        row(
            "AveragedModel(model)",
            "gc.average_weights(gc.sgd(0.3))",
            "`gc.eval_params(state, params)` finds the average",
            averaged,
            follow_averaged,
        ),
        row(
            "AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))",
            "gc.average_weights(gc.sgd(0.3), 0.9, start=2, debias=False)",
            "torch begins with the parameters after the first step. Plain"
            " `average_weights(tx, 0.9)` does better: it does not lean to its start",
            averaged,
            follow_averaged,
        ),
        row(
            "opt.state_dict(), after 20 steps of AdamW",
            'gc.adopt_state(tx, gc.checkpoints.torch_state(loaded, ["bias", "kernel"], convert),'
            " params)",
            "a state and a report; twenty more steps of the same optimizer `tx` end where torch's"
            " would. `loaded` is the state dict, the paths are in the order of its groups, and"
            " `convert` makes the layout; see [checkpoints](checkpoints.md#from-torch)",
            continued,
            follow_continued,
            given="tx, loaded, params, convert",
        ),
    ]


ROWS = [*optimizers(), *groups(), *schedules(), *around()]
assert len({row.theirs for row in ROWS}) == len(ROWS)
