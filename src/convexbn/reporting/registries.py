"""Registries that figures draw from: a name that one lacks is refused, never left out."""

from collections.abc import Iterable


def present(what: str, found: Iterable, registry: Iterable) -> list:
    """Return the names of a registry that a table has, in the registry's order.

    Parameters
    ----------
    what : str
        The noun for the names, used in the error.
    found : iterable
        A column of the table; repeats count once.
    registry : iterable
        The names that can be drawn.

    Raises
    ------
    ValueError
        If the table has a name that the registry lacks.
    """
    names, known = set(found), list(registry)
    if unknown := sorted(map(repr, names.difference(known))):
        raise ValueError(
            f"{what} must be one of {known}, got {', '.join(unknown)}; add it to the list that the "
            "figure draws from"
        )
    return [name for name in known if name in names]
