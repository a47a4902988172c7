"""Several devices: where states lie, what is sent, the costs."""

from gradchain.distributed.block_periodic import block_periodic as block_periodic
from gradchain.distributed.collectives import (
    Collective as Collective,
    collectives as collectives,
    collectives_table as collectives_table,
    wire_bytes as wire_bytes,
)
from gradchain.distributed.delayed import delayed as delayed
from gradchain.distributed.exchange import exchange as exchange
from gradchain.distributed.layouts import fsdp_specs as fsdp_specs
from gradchain.distributed.local import diloco as diloco, local_sgd as local_sgd
from gradchain.distributed.owners import owned as owned, owners as owners
from gradchain.distributed.plan import Plan as Plan, compare_plans as compare_plans, plan as plan
from gradchain.distributed.power_sgd import power_sgd as power_sgd
from gradchain.distributed.replicas import (
    on_replicas as on_replicas,
    replica_specs as replica_specs,
    restart_replicas as restart_replicas,
    set_replicas as set_replicas,
    stack_replicas as stack_replicas,
    unreduced as unreduced,
)
from gradchain.distributed.set_owners import set_owners as set_owners
from gradchain.distributed.signs import sign as sign, vote as vote
from gradchain.distributed.sparse import dct as dct, top_k as top_k
from gradchain.distributed.state_sharding import (
    IndivisibleWarning as IndivisibleWarning,
    abstract_state as abstract_state,
    init_sharded as init_sharded,
    state_sharding as state_sharding,
    state_specs as state_specs,
)
from gradchain.distributed.wires import Way as Way, Wire as Wire, mean as mean, wire as wire
from gradchain.distributed.zero import zero1 as zero1
from gradchain.distributed.zero_flat import zero1_flat as zero1_flat
