"""What a program consists of before it is compiled."""

from jax.interpreters.partial_eval import dce_jaxpr


def named_primitives(jaxpr, inside=False):
    """Each primitive of a program, and whether it stands inside a conditional."""
    for eqn in jaxpr.eqns:
        yield eqn.primitive.name, inside
        for value in eqn.params.values():
            for x in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(x, "jaxpr", x)
                if hasattr(inner, "eqns"):
                    yield from named_primitives(inner, inside or eqn.primitive.name == "cond")


DECOMPOSITIONS = {
    "cholesky",
    "eig",
    "eigh",
    "geqp3",
    "geqrf",
    "hessenberg",
    "householder_product",
    "lu",
    "ormqr",
    "qr",
    "schur",
    "svd",
    "triangular_solve",
    "tridiagonal",
    "tridiagonal_solve",
}

# A conditional or a loop runs as a whole; other inner programs become part of the outer one.
WHOLES = {"cond", "scan", "while"}


def inner_programs(eqn):
    """The programs among the parameters of an equation."""
    for value in eqn.params.values():
        for x in value if isinstance(value, tuple | list) else [value]:
            inner = getattr(x, "jaxpr", x)
            if hasattr(inner, "eqns"):
                yield inner


def decompositions_at_once(jaxpr):
    """Pairs of decompositions of which neither needs the other's result.

    Also how many decompositions there are.
    """
    pairs, names = [], []

    def has_decomposition(eqn):
        inner = (one for program in inner_programs(eqn) for one in program.eqns)
        return eqn.primitive.name in DECOMPOSITIONS or any(map(has_decomposition, inner))

    def one_more(name, needed, seen):
        """What is needed for the result of one more decomposition."""
        pairs.extend((names[i], name) for i in seen if i not in needed)
        seen.append(len(names))
        names.append(name)
        return needed | {seen[-1]}

    def walk(program, before, seen):
        """Put what each variable needs into ``before``; ``seen`` are those in this program."""
        needs = lambda variables: frozenset().union(
            *(before.get(v, frozenset()) for v in variables if not hasattr(v, "val"))
        )
        used = {id(v) for one in program.eqns for v in one.invars}
        used |= {id(v) for v in program.outvars}
        for eqn in program.eqns:
            needed = needs(eqn.invars)
            inner = list(inner_programs(eqn))
            if eqn.primitive.name in WHOLES:
                for one in inner:
                    walk(one, {}, [])
            elif eqn.primitive.name not in DECOMPOSITIONS and len(inner) == 1:
                own = {v: needs([x]) for v, x in zip(inner[0].invars, eqn.invars, strict=True)}
                walk(inner[0], own, seen)
                for v, x in zip(eqn.outvars, inner[0].outvars, strict=True):
                    before[v] = own.get(x, frozenset()) if not hasattr(x, "val") else frozenset()
                continue
            if has_decomposition(eqn):
                needed = one_more(eqn.primitive.name, needed, seen)
            before.update(dict.fromkeys(eqn.outvars, needed))
            if eqn.primitive.name == "qr" and id(eqn.outvars[0]) in used:  # Q is made after R
                before[eqn.outvars[0]] = one_more("householder_product", needed, seen)

    live, _ = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    walk(live, {}, [])
    return pairs, len(names)
