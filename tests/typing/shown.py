"""What an editor shows of a name: each comment is a part of the text."""

from typing import reveal_type

import gradchain as gc
import gradchain.as_optax as dialect

reveal_type(gc.adamw)  # (learning_rate: float | Array | StepFunction, b1: float |
reveal_type(gc.adamw)  # weight_decay: float | Array | StepFunction = 0.0001
reveal_type(gc.adamw)  # -> GradientTransformation
reveal_type(gc.chain)  # (*members: GradientTransformation | PairObject | PairTuple)
reveal_type(gc.accumulate)  # (inner: GradientTransformation | PairObject | PairTuple, every:
reveal_type(gc.linear_schedule)  # transition_begin:
reveal_type(gc.linear_schedule)  # -> Schedule
reveal_type(gc.ndim_at_least)  # (ndim: int) -> Selection
reveal_type(gc.adamw(1e-3).update)  # (updates: Any, state: dict[str, Any], params: Any | None =
reveal_type(gc.adamw(1e-3).init)  # (params: Any) -> dict[str, Any]
reveal_type(dialect.adamw)  # eps: float | Array | StepFunction = 1e-8, eps_root:
reveal_type(dialect.adamw)  # mask: Any | None = None, *, nesterov: bool = False) -> Grad
reveal_type(dialect.adamax)  # (learning_rate: float | Array | StepFunction, b1: float |
reveal_type(dialect.contrib.prodigy)  # beta3: float | Array | StepFunction | None = None
reveal_type(dialect.inject_hyperparams(dialect.adam))  # (learning_rate: float | Array |
reveal_type(dialect.adamw(1e-3))  # "GradientTransformationExtraArgs"
