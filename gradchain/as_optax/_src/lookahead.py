"""Slow parameters behind fast ones."""

from gradchain.as_optax.states import (
    LookaheadState as LookaheadState,
)
from gradchain.as_optax.wrappers import (
    LookaheadParams as LookaheadParams,
    lookahead as lookahead,
)
