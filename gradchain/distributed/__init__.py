"""Several devices: where states lie, what is sent between them, and what a step costs."""

from gradchain.distributed.exchange import exchange as exchange
from gradchain.distributed.power_sgd import power_sgd as power_sgd
from gradchain.distributed.replicas import (
    on_replicas as on_replicas,
    replica_specs as replica_specs,
    set_replicas as set_replicas,
    stack_replicas as stack_replicas,
    unreduced as unreduced,
)
from gradchain.distributed.signs import sign as sign, vote as vote
from gradchain.distributed.sparse import dct as dct, top_k as top_k
from gradchain.distributed.wires import Way as Way, Wire as Wire, mean as mean, wire as wire
