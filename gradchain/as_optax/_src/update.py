"""Updates and parameters."""

from gradchain.as_optax.updates import (
    apply_updates as apply_updates,
    incremental_update as incremental_update,
    periodic_update as periodic_update,
)
