"""Optimizers by their names."""

from gradchain.as_optax.adam_family import (
    adabelief as adabelief,
    adam as adam,
    adamax as adamax,
    adamaxw as adamaxw,
    adamw as adamw,
    adan as adan,
    amsgrad as amsgrad,
    lamb as lamb,
    nadam as nadam,
    nadamw as nadamw,
    novograd as novograd,
    optimistic_adam as optimistic_adam,
    optimistic_adam_v2 as optimistic_adam_v2,
    radam as radam,
    yogi as yogi,
)
from gradchain.as_optax.base import (
    MaskOrFn as MaskOrFn,
)
from gradchain.as_optax.optimizers import (
    adadelta as adadelta,
    adafactor as adafactor,
    adagrad as adagrad,
    fromage as fromage,
    lars as lars,
    lion as lion,
    noisy_sgd as noisy_sgd,
    optimistic_gradient_descent as optimistic_gradient_descent,
    polyak_sgd as polyak_sgd,
    rmsprop as rmsprop,
    rprop as rprop,
    sgd as sgd,
    sign_sgd as sign_sgd,
    signum as signum,
    sm3 as sm3,
)
from gradchain.as_optax.quasi_newton import (
    lbfgs as lbfgs,
)
