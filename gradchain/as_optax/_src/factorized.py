"""Second moments by rows and columns."""

from gradchain.as_optax.scale_by import (
    scale_by_factored_rms as scale_by_factored_rms,
)
from gradchain.as_optax.states import (
    FactoredState as FactoredState,
)
