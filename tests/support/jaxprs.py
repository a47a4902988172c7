"""What a program consists of before it is compiled."""


def named_primitives(jaxpr, inside=False):
    """Each primitive of a program, and whether it stands inside a conditional."""
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name, inside
        for value in eqn.params.values():
            for x in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(x, "jaxpr", x)
                if hasattr(inner, "eqns"):
                    yield from named_primitives(inner, inside or eqn.primitive.name == "cond")
