"""The private modules of optax that programs import."""

from gradchain.as_optax._src import (
    alias as alias,
    base as base,
    combine as combine,
    constrain as constrain,
    deprecations as deprecations,
    factorized as factorized,
    linear_algebra as linear_algebra,
    linesearch as linesearch,
    lookahead as lookahead,
    numerics as numerics,
    schedule as schedule,
    transform as transform,
    update as update,
    utils as utils,
    wrappers as wrappers,
)
