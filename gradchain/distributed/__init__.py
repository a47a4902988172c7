"""Several devices: where states lie, what is sent, the costs."""

from gradchain.distributed.collectives import (
    Collective as Collective,
    collectives as collectives,
    collectives_table as collectives_table,
    wire_bytes as wire_bytes,
)
