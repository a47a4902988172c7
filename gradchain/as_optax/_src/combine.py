"""Chains and partitions."""

from gradchain.as_optax.combining import (
    chain as chain,
    multi_transform as multi_transform,
    named_chain as named_chain,
    partition as partition,
)
from gradchain.as_optax.states import (
    MultiTransformState as MultiTransformState,
)
