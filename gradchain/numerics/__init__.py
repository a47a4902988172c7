"""Arithmetic that is right in every dtype and shard."""

from gradchain.numerics.arithmetic import (
    abs2 as abs2,
    debias as debias,
    divide as divide,
    ema as ema,
    safe_divide as safe_divide,
    safe_sqrt as safe_sqrt,
    squarable as squarable,
)
from gradchain.numerics.lengths import norm as norm, norm_along as norm_along
from gradchain.numerics.reductions import (
    max_along as max_along,
    mean as mean,
    mean_along as mean_along,
    size as size,
    total as total,
    total_along as total_along,
)
from gradchain.numerics.roots import (
    cube_root as cube_root,
    over_root as over_root,
    power as power,
    root as root,
)
