"""Several devices: where states lie, what is sent, the costs."""

from gradchain.distributed.collectives import (
    Collective as Collective,
    collectives as collectives,
    collectives_table as collectives_table,
    wire_bytes as wire_bytes,
)
from gradchain.distributed.layouts import fsdp_specs as fsdp_specs
from gradchain.distributed.plan import Plan as Plan, compare_plans as compare_plans, plan as plan
