"""Names of torch, optax and Keras, and ours.

Errors offer the native name of the same thing where a foreign one is given.
"""

#: By a foreign argument: the native names, of which a factory has one or some.
ARGUMENTS = {
    "lr": "learning_rate max_learning_rate",
    "rate": "learning_rate",
    "alpha": "decay rho slow_step_size",
    "betas": "b1 b2 b3",
    "beta_1": "b1 beta decay momentum",
    "beta_2": "b2",
    "beta1": "b1 beta decay momentum",
    "beta2": "b2",
    "beta3": "b3",
    "beta": "b1 decay momentum",
    "momentum": "b1 decay beta",
    "rho": "decay b2 beta",
    "epsilon": "eps eps1",
    "eps": "epsilon",
    "wd": "weight_decay",
    "decay_weight": "weight_decay",
    "weight_decay_rate": "weight_decay",
    "l2": "weight_decay",
    "mask": "where",
    "weight_decay_mask": "where",
    "trust_ratio_mask": "where",
    "decay_mask_fn": "where",
    "exclude_from_weight_decay": "where",
    "etas": "eta_minus eta_plus",
    "step_sizes": "min_step_size max_step_size",
    "history_size": "memory_size",
    "line_search_fn": "line_search",
    "clip_norm": "max_norm",
    "max_grad_norm": "max_norm",
    "clip_value": "max_delta",
    "clipvalue": "max_delta",
    "every_k": "every",
    "every_k_schedule": "every",
    "k": "every sync_period",
    "accumulation_steps": "every",
    "gradient_accumulation_steps": "every",
    "la_steps": "sync_period",
    "la_alpha": "slow_step_size",
    "optimizer": "inner base_optimizer",
    "base_optimizer": "inner",
    "opt": "inner",
    "tx": "inner",
    "fast_optimizer": "inner",
    "transform": "inner",
    "max_consecutive_errors": "inner",
    "gain": "step_size",
    "factor": "step_size decay_rate",
    "max_lr": "peak_value learning_rate",
    "base_lr": "init_value base_value",
    "min_lr": "end_value min_scale",
    "eta_min": "end_value alpha",
    "eta_max": "peak_value init_value",
    "end_lr": "end_value",
    "value": "init_value step_size",
    "initial_value": "init_value",
    "initial_learning_rate": "init_value",
    "init_lr": "init_value",
    "learning_rate": "init_value peak_value base_value step_size value",
    "peak_lr": "peak_value",
    "warmup_target": "peak_value",
    "end_learning_rate": "end_value",
    "final_lr": "end_value final_scale",
    "start_factor": "init_value",
    "end_factor": "end_value",
    "steps": "transition_steps decay_steps",
    "total_steps": "decay_steps transition_steps",
    "total_iters": "transition_steps decay_steps",
    "max_steps": "decay_steps transition_steps",
    "num_training_steps": "decay_steps transition_steps",
    "T_max": "decay_steps half_period",
    "T_0": "first_decay_steps",
    "T_mult": "t_mult",
    "t_mul": "t_mult",
    "m_mul": "m_mult",
    "num_warmup_steps": "warmup_steps",
    "warmup": "warmup_steps",
    "warmup_iters": "warmup_steps",
    "decay_steps": "transition_steps first_decay_steps",
    "transition_steps": "decay_steps",
    "step_size": "transition_steps learning_rate",
    "step_size_up": "rise_steps",
    "step_size_down": "fall_steps",
    "gamma": "decay_rate factor",
    "lr_decay": "decay_rate",
    "milestones": "boundaries_and_scales boundaries",
    "boundaries": "boundaries_and_scales",
    "values": "boundaries_and_scales",
    "lr_lambda": "step_size_fn",
    "schedule": "step_size_fn",
    "schedule_fn": "step_size_fn",
    "threshold": "rtol",
    "tolerance_grad": "tol",
    "max_iter": "max_steps",
    "maxiter": "max_steps",
    "max_nfev": "max_evals",
    "maxfun": "max_evals",
    "method": "tx",
    "ftol": "tol",
    "gtol": "tol",
    "xtol": "tol",
    "jac": "jacobian",
    "key": "seed",
    "scale_init_precond": "scale_first",
}

#: By a foreign argument: the way to the same where no argument is it, with the value given.
ELSEWHERE = {
    "absolute_sigma": "It goes to the result: result.standard_errors(absolute_sigma={value}).",
    "sigma": "Errors of data divide the residuals of a fit: (model(params) - y) / sigma.",
    "params": "Parameters are given to init: state = tx.init(params).",
    "parameters": "Parameters are given to init: state = tx.init(params).",
    "model": "Parameters are given to init: state = tx.init(params).",
    "var_list": "Parameters are given to init: state = tx.init(params).",
    "lr": "Leave it out: a line search finds the length of each step.",
    "max_iter": "The number of steps is the loop's: minimize(fun, x0, tx, max_steps={value}).",
    "tolerance_grad": "The tolerance is the loop's: minimize(fun, x0, tx, tol={value}).",
    "weight_decay": (
        "Weight decay is a member: adamw has it, and chain(add_decayed_weights({value}), ...) in"
        " front of an optimizer is torch's weight_decay (L2)."
    ),
    "mask": "To apply a transformation to some leaves: masked(tx, where).",
    "where": "To apply a transformation to some leaves: masked(tx, where).",
    "mu_dtype": (
        "storage keeps slots in another dtype: storage(adam(1e-3), mu='bfloat16'). The dialect has"
        " it: from gradchain import as_optax; as_optax.adam(1e-3, mu_dtype='bfloat16')."
    ),
    "momentum": "Momentum is a member: chain(add_momentum({value}), ...).",
    "nesterov": "sgd(..., momentum=0.9, nesterov=True) has it, and nadam.",
    "amsgrad": "That is an optimizer of its own: amsgrad(1e-3).",
    "maximize": "Turn the sign of the gradients: chain(scale(-1.0), ...).",
    "clipnorm": "Clipping is a member: chain(clip_by_norm({value}), ...).",
    "global_clipnorm": "Clipping is a member: chain(clip_by_global_norm({value}), ...).",
    "clipvalue": "Clipping is a member: chain(clip({value}), ...).",
    "use_ema": "Averages are a wrapper: average_weights(tx, decay=0.99).",
    "gradient_accumulation_steps": "Accumulation is a wrapper: accumulate(tx, every={value}).",
    "loss_scale_factor": "Loss scaling is a wrapper: dynamic_loss_scale(tx).",
    "warmup_steps": "Warm-up is a schedule: learning_rate=warmup_schedule(1e-3, 100).",
    "decay": "A rate that decays is a schedule: learning_rate=exponential_decay(0.1, 1000, 0.9).",
    "fused": "Leave it out: update compiles itself.",
    "jac": "Leave it out: JAX takes the derivatives.",
    "options": "Arguments are given by name: max_steps, tol, those of tx to tx itself.",
    "mode": (
        "For a value that should rise, give its negative: value=-score. The mode of optax's lion"
        " is in gradchain.as_optax."
    ),
    "threshold_mode": (
        "A threshold relative to the best value is rtol=0.01; one in its units is"
        " rtol=0.0, atol=0.01."
    ),
    "name": "Leave it out; a member is named with tx.named('name').",
    "verbose": "Leave it out.",
    "last_epoch": "Leave it out: a schedule is a function of the step, with no state.",
    "steps_per_epoch": "Schedules count updates: give the number of all steps.",
    "norm_type": "clip_by_global_norm takes the 2-norm; clip(...) bounds each element.",
    "transforms": "Members are given one by one: chain(first, second).",
}
ELSEWHERE |= dict.fromkeys(("learning_rate",), ELSEWHERE["lr"])
ELSEWHERE |= dict.fromkeys(("max_eval", "max_steps"), ELSEWHERE["max_iter"])
ELSEWHERE |= dict.fromkeys(("tolerance_change", "tol"), ELSEWHERE["tolerance_grad"])
ELSEWHERE |= dict.fromkeys(("foreach", "capturable", "differentiable"), ELSEWHERE["fused"])
ELSEWHERE |= dict.fromkeys(("accumulator_dtype", "moment_dtype", "dtype"), ELSEWHERE["mu_dtype"])
OF_OPTAX = (
    "param_dtype",
    "mask_compatible_extra_args",
    "optimism",
    "scale_init_precond",
    "smooth_beta",
)
ELSEWHERE |= dict.fromkeys(OF_OPTAX, "gradchain.as_optax has the names and arguments of optax.")
ELSEWHERE |= {
    "flip_sign": "To multiply by a number and leave the sign: scale(0.1), scale_by_schedule(...).",
    "dtype_momentum": ELSEWHERE["mu_dtype"],
    "jit_compile": ELSEWHERE["fused"],
    "max_grad_norm": ELSEWHERE["global_clipnorm"],
    "clip_norm": ELSEWHERE["global_clipnorm"],
    "grad_clip": ELSEWHERE["global_clipnorm"],
    "ema_momentum": ELSEWHERE["use_ema"],
    "ema_decay": ELSEWHERE["use_ema"],
    "loss_scale": ELSEWHERE["loss_scale_factor"],
    "lr_decay": ELSEWHERE["decay"],
    "lr_scheduler": "A schedule is given in the place of the rate: learning_rate=schedule.",
    "epochs": ELSEWHERE["steps_per_epoch"],
    "members": ELSEWHERE["transforms"],
}

#: Extra arguments of ``update``: the way out.
EXTRAS = {
    "loss": "The loss is given as value: update(grads, state, params, value=loss).",
    "closure": "The loss function is given as value_fn: update(..., value_fn=loss_fn).",
    "rng": "A random key is given as key: update(grads, state, params, key=key).",
    "learning_rate": (
        "Numbers are changed in the transformation, tx = tx.replace(learning_rate=0.1), which does"
        " not compile again; or give a schedule."
    ),
}
EXTRAS |= dict.fromkeys(("loss_value", "objective"), EXTRAS["loss"])
EXTRAS |= dict.fromkeys(("loss_fn", "fun"), EXTRAS["closure"])
EXTRAS |= dict.fromkeys(("lr", "weight_decay"), EXTRAS["learning_rate"])

#: Attributes that optimizers have elsewhere.
ATTRIBUTES = {
    "zero_grad": "Gradients are values here: there is nothing to reset.",
    "backward": "Gradients come from jax.grad(loss_fn)(params).",
    "state_dict": "The state is the value that init and update return: save it with the params.",
    "load_state_dict": "The state is a value: restore it as it was saved, and pass it to update.",
    "param_groups": "Groups are a transformation: groups([('*bias', {...})], default=tx).",
    "add_param_group": "Groups are a transformation: groups([('*bias', {...})], default=tx).",
    "apply_gradients": "Call params, state = tx.step(grads, state, params).",
    "apply": "Call params, state = tx.step(grads, state, params).",
    "apply_updates": "Call gradchain.apply_updates(params, updates), or tx.step(...).",
    "minimize": "Call gradchain.minimize(fun, params, tx), or tx.step(...) in a loop of your own.",
    "target": "The parameters are yours: params, state = tx.step(grads, state, params).",
    "state": "The state is yours: params, state = tx.step(grads, state, params).",
    "build": "Call state = tx.init(params).",
    "compile": "Leave it out: update compiles itself.",
    "variables": "The state is the value that init and update return.",
    "get_config": "Call gradchain.to_config(tx).",
    "from_config": "Call gradchain.from_config(config).",
    "learning_rate": "Read gc.hyperparams(tx, state); change it with tx.replace(...).",
    "lr": "Read gc.hyperparams(tx, state); change it with tx.replace(learning_rate=0.1).",
}

#: Names on the package: what torch, optax or Keras call so is called otherwise here.
NAMES = {
    "MultiSteps": "accumulate",
    "apply_every": "accumulate",
    "apply_if_finite": "skip_nonfinite",
    "multi_transform": (
        "partition(transforms, param_labels), transforms by label first, or groups([('*bias',"
        " sgd(0.1))], default=adam(1e-3))"
    ),
    "set_to_zero": "freeze",
    "ema": "average_updates",
    "trace": "add_momentum",
    "scale_by_stddev": "scale_by_stddev",
    "inject_hyperparams": (
        "tunable(adam(1e-3)), whose numbers stand in the state: state ="
        " set_hyperparams(state, learning_rate=1e-4)"
    ),
    "add_decayed_weight": "add_decayed_weights",
    "named_chain": "chain(tx.named('name'), ...)",
    "conditionally_transform": "apply_when",
    "clip_by_value": "clip",
    "clip_grad_norm_": "clip_by_global_norm",
    "clip_grad_norm": "clip_by_global_norm",
    "clip_grad_value_": "clip",
    "CosineDecay": "cosine_decay_schedule",
    "CosineAnnealingLR": "cosine_decay_schedule",
    "CosineAnnealingWarmRestarts": "schedules.cosine_restarts_schedule",
    "ExponentialDecay": "exponential_decay",
    "ExponentialLR": "exponential_decay",
    "StepLR": "exponential_decay(..., staircase=True)",
    "MultiStepLR": "piecewise_constant_schedule",
    "PiecewiseConstantDecay": "piecewise_constant_schedule",
    "PolynomialDecay": "polynomial_schedule",
    "PolynomialLR": "polynomial_schedule",
    "LinearLR": "linear_schedule",
    "OneCycleLR": "cosine_onecycle_schedule",
    "LambdaLR": "scale_by_schedule",
    "SequentialLR": "join_schedules",
    "ReduceLROnPlateau": "reduce_on_plateau",
    "EMA": "average_weights(adam(1e-3), decay=0.999), and eval_params(state, params) to evaluate",
    "SWA": (
        "average_weights(sgd(0.1), start=1000, every=100), and eval_params(state, params) to"
        " evaluate"
    ),
    "CyclicLR": "schedules.cyclic_schedule",
    "ConstantLR": "constant_schedule",
    "MultiplicativeLR": "schedules.multiplicative_schedule",
    "InverseTimeDecay": "schedules.inverse_time_decay_schedule",
    "CosineDecayRestarts": "schedules.cosine_restarts_schedule",
    "get_cosine_schedule_with_warmup": "warmup_cosine_decay_schedule",
    "get_linear_schedule_with_warmup": (
        "join_schedules([warmup_constant_schedule(0.0, 1e-3, 100), linear_schedule(1e-3, 0.0,"
        " 900)], [100])"
    ),
    "curve_fit": "least_squares(lambda p, x, y: model(p, x) - y, p0, args=(x, y))",
    "leastsq": "least_squares(residual_fn, x0)",
    "fmin": "minimize(fun, x0)",
    "TrainState": "flax.training.train_state.TrainState, which takes ours as tx=",
    "OptimizerWithExtraArgs": "GradientTransformation",
    "GradientTransformationExtraArgs": "GradientTransformation",
}
NAMES |= {"AveragedModel": NAMES["SWA"]}
NAMES |= {"inject_stateful_hyperparams": NAMES["inject_hyperparams"]}

_CLASSES = "losses.softmax_cross_entropy_with_integer_labels(logits, labels)"
_SHARES = "losses.softmax_cross_entropy(logits, probabilities)"
_TWO = "losses.sigmoid_binary_cross_entropy(logits, labels)"

#: Losses of torch, Keras, optax and scikit-learn, by their names in lower case without ``_``.
LOSSES = {
    "crossentropy": f"{_CLASSES} for class numbers, {_SHARES} for one-hot labels",
    "crossentropyloss": f"{_CLASSES} for class numbers, {_SHARES} for one-hot labels",
    "logloss": f"{_CLASSES} for class numbers, {_SHARES} for one-hot labels",
    "nllloss": f"{_CLASSES}, of logits or of log-probabilities",
    "sparsecategoricalcrossentropy": _CLASSES,
    "categoricalcrossentropy": _SHARES,
    "softmaxcrossentropyloss": _SHARES,
    "safesoftmaxcrossentropy": f"{_SHARES}, which is safe",
    "binarycrossentropy": f"{_TWO}, of logits and not of probabilities",
    "bceloss": f"{_TWO}, of logits and not of probabilities",
    "bce": f"{_TWO}, of logits and not of probabilities",
    "binarycrossentropywithlogits": _TWO,
    "bcewithlogitsloss": _TWO,
    "bcewithlogits": _TWO,
    "sigmoidcrossentropy": _TWO,
    "sigmoidcrossentropywithlogits": _TWO,
    "softmaxcrossentropywithlogits": _SHARES,
    "focalloss": "losses.sigmoid_focal_loss(logits, labels)",
    "binaryfocalcrossentropy": "losses.sigmoid_focal_loss(logits, labels)",
    "mse": "losses.squared_error(predictions, targets).mean()",
    "mae": "jnp.abs(predictions - targets).mean()",
    "smoothl1loss": "losses.huber_loss(predictions, targets)",
    "huber": "losses.huber_loss(predictions, targets)",
    "kldiv": "losses.kl_divergence(log_predictions, targets)",
    "kldivergence": "losses.kl_divergence(log_predictions, targets)",
    "convexkldivergence": "losses.generalized_kl_divergence(log_predictions, targets)",
    "hinge": "losses.hinge_loss(predictor_outputs, targets)",
    "categoricalhinge": "losses.multiclass_hinge_loss(scores, labels)",
    "cosineembeddingloss": "losses.cosine_distance(predictions, targets)",
    "tripletmarginloss": "losses.triplet_margin_loss(anchors, positives, negatives)",
    "ctc": "losses.ctc_loss(logits, logit_paddings, labels, label_paddings)",
    "dice": "losses.dice_loss(predictions, targets)",
    "infonce": "losses.ntxent(embeddings, labels)",
    "ntxentloss": "losses.ntxent(embeddings, labels)",
    "labelsmoothing": "losses.smooth_labels(labels, alpha)",
}
LOSSES |= dict.fromkeys(("mseloss", "meansquarederror", "meansquarederrorloss"), LOSSES["mse"])
LOSSES |= dict.fromkeys(("l1loss", "meanabsoluteerror", "absoluteerror"), LOSSES["mae"])
LOSSES |= {"kldivloss": LOSSES["kldiv"], "ctcloss": LOSSES["ctc"], "diceloss": LOSSES["dice"]}

_DERIVATIVES = "Leave tx out for lbfgs(), which uses the gradient that JAX takes"

#: The methods of ``scipy.optimize`` in lower case.
METHODS = {
    "bfgs": "bfgs()",
    "l-bfgs-b": "lbfgsb()",
    "l-bfgs": "lbfgs()",
    "cg": "nonlinear_cg()",
    "newton-cg": "newton_cg()",
    "tnc": "lbfgsb()",
    "dogleg": "trust_region('dogleg')",
    "trust-exact": "trust_region('dogleg')",
    "trust-ncg": "trust_region('steihaug')",
    "trust-krylov": "trust_region('steihaug')",
    "lm": "levenberg_marquardt(None)",
    "trf": "levenberg_marquardt(None)",
    "dogbox": "levenberg_marquardt(None)",
}
#: Those that have no counterpart.
NO_METHODS = {
    "nelder-mead": f"{_DERIVATIVES}.",
    "powell": f"{_DERIVATIVES}.",
    "cobyla": f"{_DERIVATIVES}; bounds= are there, other constraints are not.",
    "cobyqa": f"{_DERIVATIVES}; bounds= are there, other constraints are not.",
    "slsqp": f"{_DERIVATIVES}; bounds= are there, other constraints are not.",
    "trust-constr": f"{_DERIVATIVES}; bounds= are there, other constraints are not.",
}

#: What results of ``scipy.optimize`` are called.
RESULTS = {
    "x": "result.params",
    "popt": "result.params",
    "fun": "result.value; the residuals of least_squares are result.residuals",
    "cost": "result.value",
    "nit": "result.steps",
    "nfev": "result.evals, which counts value and gradient together",
    "njev": "result.evals, which counts value and gradient together",
    "jac": "jax.grad(fun)(result.params); that of least_squares is result.jacobian",
    "grad": "jax.grad(fun)(result.params)",
    "optimality": "result.grad_norm",
    "cov": "result.covariance(), of least_squares",
    "pcov": "result.covariance(), of least_squares",
    "cov_x": "result.covariance(), of least_squares",
    "perr": "result.standard_errors(), of least_squares",
    "stderr": "result.standard_errors(), of least_squares",
    "active_mask": "result.at_bound, of least_squares",
    "hess_inv": "jax.hessian(fun)(result.params), the Hessian; no inverse is kept",
    "loss": "result.value",
}
