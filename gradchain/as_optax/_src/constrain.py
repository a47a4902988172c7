"""Updates held to what is allowed."""

from gradchain.as_optax.states import (
    NonNegativeParamsState as NonNegativeParamsState,
    ZeroNansState as ZeroNansState,
)
from gradchain.as_optax.transforms import (
    keep_params_nonnegative as keep_params_nonnegative,
    zero_nans as zero_nans,
)
