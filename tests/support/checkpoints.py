"""Ways to write a state into a folder and to read it back without a template."""

import flax.serialization
import orbax.checkpoint as ocp


def through_orbax(state, folder):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "state", state)
        checkpointer.wait_until_finished()
        return checkpointer.restore(folder / "state")


def through_msgpack(state, folder):
    (folder / "state.msgpack").write_bytes(flax.serialization.to_bytes(state))
    return flax.serialization.msgpack_restore((folder / "state.msgpack").read_bytes())
