"""What Keras has, what it is here, and how they differ: the tables of ``coming_from_keras.md``."""

from tests.migration.case import Row
from tests.migration.keras_loops import (
    averaged,
    best_saved,
    clipped,
    plateau,
    rate_by_epoch,
    scaled,
    scheduled,
    stopped,
    stopped_by_nan,
)
from tests.migration.our_loops import (
    follow_averaged,
    follow_best_saved,
    follow_clipped,
    follow_plateau_by_epoch,
    follow_scaled,
    follow_stopped,
    follow_stopped_by_nan,
    rates,
)

HAT = "`eps` of Keras is added before the correction of the bias, where it weighs more: "


def optimizers() -> list[Row]:
    row = lambda theirs, ours, differs="", **more: Row(
        "optimizers", theirs, ours, differs, **more
    )
    decayed = "`weight_decay=` of any optimizer in Keras is decoupled: the decay stands behind"
    return [
        row("SGD(0.1)", "gc.sgd(0.1)", "the rate has no default here"),
        row("SGD(0.1, momentum=0.9)", "gc.sgd(0.1, momentum=0.9)"),
        row("SGD(0.1, momentum=0.9, nesterov=True)", "gc.sgd(0.1, momentum=0.9, nesterov=True)"),
        row(
            "SGD(ExponentialDecay(0.2, 10, 0.5), momentum=0.9)",
            "gc.chain(gc.scale_by_learning_rate(gc.exponential_decay(0.2, 10, 0.5)),"
            " gc.add_momentum(0.9))",
            "with a rate that changes: the momentum of Keras sums steps, that of `gc.sgd` sums"
            " gradients. The order of the chain says which",
        ),
        row(
            "SGD(0.1, momentum=0.9, weight_decay=0.01)",
            "gc.chain(gc.add_momentum(0.9), gc.add_decayed_weights(0.01),"
            " gc.scale_by_learning_rate(0.1))",
            decayed,
        ),
        row(
            "Adam(0.05)",
            "gc.adam(0.05, eps=1e-7)",
            HAT + "in the test they are 2e-5 apart",
            tolerance=1e-4,
        ),
        row(
            "Adam(0.05, epsilon=1e-3)",
            "gc.adam(0.05, eps=lambda t: 1e-3 / jnp.sqrt(1 - 0.999 ** (t + 1.0)))",
            "the same `eps` to the last digit, as a schedule",
        ),
        row(
            "Adam(0.05, amsgrad=True)",
            "gc.amsgrad(0.05, eps=1e-7, max_first=True)",
            HAT + "as above",
            tolerance=1e-4,
        ),
        row(
            "AdamW(0.05, epsilon=1e-8)",
            "gc.adamw(0.05, weight_decay=0.004)",
            "**the default of `weight_decay`**: 0.004 there, 0.0001 here as in optax; that of"
            " `epsilon`: 1e-7 there, 1e-8 here",
            tolerance=1e-5,
        ),
        row(
            "Adagrad(0.1)",
            "gc.adagrad(0.1)",
        ),
        row("Adadelta(0.5)", "gc.adadelta(0.5, rho=0.95, eps=1e-7)", "defaults"),
        row("RMSprop(0.01)", "gc.rmsprop(0.01, eps=1e-7)", "the default of `eps`"),
        row(
            "RMSprop(0.01, momentum=0.9, centered=True)",
            "gc.rmsprop(0.01, eps=1e-7, momentum=0.9, centered=True)",
            "the same",
        ),
        row(
            "Adamax(0.05)",
            "gc.adamax(0.05, eps=1e-7)",
            "where `eps` stands: it is added there, a lower bound here",
            tolerance=1e-4,
        ),
        row(
            "Nadam(0.05)",
            "gc.nadam(0.05, eps=1e-7, momentum_decay=1.0)",
            "without `momentum_decay` the momentum is constant, as in optax",
        ),
        row("Ftrl(0.5)", "gc.ftrl(0.5)"),
        row(
            "Ftrl(0.5, l1_regularization_strength=0.01, l2_regularization_strength=0.1)",
            "gc.ftrl(0.5, l1=0.01, l2=0.2)",
            "`l2` here is of half the square: twice theirs",
        ),
        row("Lion(0.01)", "gc.lion(0.01, weight_decay=0.0)", "0.001 is the default of the decay"),
        row("Lamb(0.01)", "gc.lamb(0.01, eps=1e-7)", "the default of `eps`"),
        row(
            "Adafactor(0.05)",
            'gc.adafactor(lambda t: jnp.minimum(0.05, (t + 1.0) ** -0.5), 1, dims="last")',
            "the rate is bounded by the inverse root of the step; here matrices below 128 are"
            " factored only if you say so, with 1",
            tolerance=1e-7,
        ),
        row(
            "Muon(0.02, weight_decay=None, adam_weight_decay=None)",
            'gc.muon(0.02, adjust="rms", fallback=gc.adam(0.02, eps=1e-7))',
            "its decay, 0.004 by default, is there for each variable; leaves that are no matrices"
            " go to Adam in both",
            tolerance=1e-5,
        ),
    ]


def arguments() -> list[Row]:
    row = lambda theirs, ours, differs="", *more: Row("arguments", theirs, ours, differs, *more)
    return [
        row(
            "SGD(0.3, clipnorm=0.5)",
            "gc.chain(gc.clip_by_norm(0.5), gc.sgd(0.3))",
            "a member of the chain; array by array",
            clipped,
            follow_clipped,
            1e-7,
        ),
        row(
            "SGD(0.3, clipvalue=0.2)",
            "gc.chain(gc.clip(0.2), gc.sgd(0.3))",
            "a member",
            clipped,
            follow_clipped,
        ),
        row(
            "SGD(0.3, global_clipnorm=1.0)",
            "gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(0.3))",
            "a member",
            clipped,
            follow_clipped,
            1e-7,
        ),
        row(
            "SGD(0.3, gradient_accumulation_steps=4)",
            "gc.accumulate(gc.sgd(0.3), every=4)",
            "a wrapper; schedules inside count updates, as those of Keras do",
            clipped,
            follow_clipped,
        ),
        row(
            "SGD(0.3, use_ema=True, ema_momentum=0.9)",
            "gc.average_weights(gc.sgd(0.3), 0.9, start=2, debias=False)",
            "`gc.eval_params(state, params)` finds the average at any time; Keras overwrites the"
            " weights at the end of `fit`. Plain `average_weights(tx, 0.9)` does better: it does"
            " not lean to its start",
            averaged,
            follow_averaged,
        ),
        row(
            "LossScaleOptimizer(SGD(0.3), dynamic_growth_steps=4)",
            "gc.dynamic_loss_scale(gc.sgd(0.3), 2.0**15, growth_interval=4)",
            "the step multiplies the loss with `gc.loss_scale(state)`; the scale"
            " stays between 1 and 2\\*\\*24",
            scaled,
            follow_scaled,
        ),
        row(
            "SGD(0.3, use_ema=True, ema_overwrite_frequency=10)",
            "",
            "missing: no transformation sets the weights to their average on the way;"
            " `gc.lookahead` is near",
            None,
            None,
            0.0,
            ("ema_overwrite",),
        ),
    ]


def schedules() -> list[Row]:
    def row(theirs, ours, differs=""):
        return Row("schedules", theirs, ours, differs, scheduled, rates, 1e-6)

    return [
        row("ExponentialDecay(0.3, 10, 0.5)", "gc.exponential_decay(0.3, 10, 0.5)"),
        row(
            "ExponentialDecay(0.3, 10, 0.5, staircase=True)",
            "gc.exponential_decay(0.3, 10, 0.5, staircase=True)",
        ),
        row(
            "PiecewiseConstantDecay([5, 20], [0.3, 0.1, 0.05])",
            "gc.piecewise_constant_schedule(0.3, {6: 0.1 / 0.3, 21: 0.5})",
            "factors in the place of values; a boundary of Keras is the last step of the old value,"
            " here it is the first of the new one",
        ),
        row(
            "PolynomialDecay(0.3, 20, 0.01, power=2.0)",
            "gc.polynomial_schedule(0.3, 0.01, 2.0, 20)",
        ),
        row(
            "PolynomialDecay(0.3, 20, 0.01, power=2.0, cycle=True)",
            "gc.polynomial_schedule(0.3, 0.01, 2.0, 20, cycle=True)",
        ),
        row("CosineDecay(0.3, 40, alpha=0.1)", "gc.cosine_decay_schedule(0.3, 40, alpha=0.1)"),
        row(
            "CosineDecay(0.0, 40, warmup_target=0.3, warmup_steps=10)",
            "gc.warmup_cosine_decay_schedule(0.0, 0.3, 10, 50)",
            "`decay_steps` includes the warm-up here",
        ),
        row(
            "CosineDecayRestarts(0.3, 10, t_mul=2.0, m_mul=0.9)",
            "gc.schedules.cosine_restarts_schedule(0.3, 10, 2, 0.9)",
            "lengths are whole steps here: `t_mult` is an integer",
        ),
        row(
            "CosineDecayRestarts(0.3, 10, t_mul=2.0, m_mul=0.9, alpha=0.1)",
            "0.03 + 0.27 * gc.schedules.cosine_restarts_schedule(1.0, 10, 2, 0.9)",
            "`m_mul` of Keras is of the height above the floor",
        ),
        row(
            "InverseTimeDecay(0.3, 10, 0.5)",
            "gc.schedules.inverse_time_decay_schedule(0.3, 10, 0.5)",
        ),
        row(
            "InverseTimeDecay(0.3, 10, 0.5, staircase=True)",
            "gc.schedules.inverse_time_decay_schedule(0.3, 10, 0.5, staircase=True)",
        ),
    ]


def callbacks() -> list[Row]:
    row = lambda theirs, ours, differs="", *more: Row("callbacks", theirs, ours, differs, *more)
    return [
        row(
            "LearningRateScheduler(lambda epoch, rate: 0.3 * 0.5 ** (epoch // 2))",
            "lambda t: 0.3 * 0.5 ** (t // 5 // 2)",
            "a schedule is a function of the step: divide by the steps of an epoch, 5 in the test",
            rate_by_epoch,
            rates,
        ),
        row(
            'ReduceLROnPlateau("val_loss", factor=0.5, patience=2, cooldown=2)',
            "gc.chain(gc.sgd(0.3), gc.reduce_on_plateau(0.5, patience=2, rtol=0.0, atol=1e-4,"
            " cooldown=1, every=4))",
            "a member behind the optimizer; `every` is the updates of an epoch, 4 in the test, and"
            " each of them is given the last held-out loss, `update(..., value=val_loss)`, 1e9"
            " before there is one; `min_delta` is `atol`, `cooldown` is one less, `min_lr` is"
            ' `min_scale`, relative to the rate; for `mode="max"` give the negative',
            plateau,
            follow_plateau_by_epoch,
        ),
        row(
            'EarlyStopping("val_loss", min_delta=0.01, patience=5, mode="min")',
            "gc.training.EarlyStopping(5, min_delta=0.01)",
            "you call `update(step, value, weights)`, and stop where `should_stop`; the best"
            " weights are kept in `best.weights`, as `restore_best_weights=True` does",
            stopped,
            follow_stopped,
        ),
        row(
            'ModelCheckpoint(file, "val_loss", save_best_only=True, mode="min")',
            "gc.training.Checkpoints",
            "`save(step, params, state, stopping)`: the `EarlyStopping` says which is the best;"
            " the last is kept too, with the state, so that a run goes on as `BackupAndRestore`",
            best_saved,
            follow_best_saved,
        ),
        row(
            "TerminateOnNaN()",
            "gc.training.StopOnNaN(raises=False)",
            "`check(step, loss=loss, grads=grads)` names the leaf; to leave such steps out, see"
            " [`skip_nonfinite`](guards.md)",
            stopped_by_nan,
            follow_stopped_by_nan,
        ),
    ]


ROWS = [*optimizers(), *arguments(), *schedules(), *callbacks()]
assert len({row.theirs for row in ROWS}) == len(ROWS)
