"""Precision: slots in few bytes, and how parameters are rounded."""

from gradchain.precision.casting import cast_leaves as cast_leaves
from gradchain.precision.casts import cast as cast
from gradchain.precision.codec import Codec as Codec, codec as codec
from gradchain.precision.codecs import (
    CODECS as CODECS,
    companded as companded,
    dynamic as dynamic,
    fp8 as fp8,
    linear as linear,
    log as log,
    root as root,
)
from gradchain.precision.opened import opened_state as opened_state
from gradchain.precision.storage import storage as storage
from gradchain.precision.weights import (
    kahan as kahan,
    master_weights as master_weights,
    split_weights as split_weights,
    stochastic_rounding as stochastic_rounding,
)
