"""Methods: the name, kind, words and drawing style of each, said once.

A method is what a config trains or solves. There are three kinds: a "network" trained by SGD, a
convex program that is "solved" to a certificate, and the same program "trained" by SGD, which has
none. Rules, tables, figures and claims read their lists of methods here.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from convexbn.inputs import check_choice
from convexbn.reporting.registries import present

if TYPE_CHECKING:  # the rules read this module as well, and need no tables
    import pandas as pd

SGD, FULL, TRUNCATED, FILTERED = "SGD", "convex", "convex-truncated", "convex-filtered"


class Style(NamedTuple):
    """Label, colour and marker of a method in every figure."""

    label: str
    color: str
    marker: str


class Method(NamedTuple):
    """A method.

    Attributes
    ----------
    name : str
        The value of the column `method` in all tables.
    kind : str
        "network", "solved" or "trained".
    words : str
        The name in claims.
    style : Style
    network : str
        The value of `network` in the config's entries of `sgd`; "" for a solved program.
    """

    name: str
    kind: str
    words: str
    style: Style
    network: str = ""


def by_sgd(program: str) -> str:
    """Return the name of a convex program trained by SGD."""
    return f"{program} by SGD"


# In the order of tables and legends. Greys are for networks trained by SGD, strong colours for the
# certified convex programs and paler ones of the same hue for those programs trained by SGD. They
# differ in lightness as well as in hue, so that they stay apart for the colour-blind and in print.
_ROWS = (
    Method(SGD, "network", "SGD", Style("SGD with BN", "#222222", "s"), "bn"),
    Method(
        "SGD without BN",
        "network",
        "SGD without BN",
        Style("SGD without BN", "#949494", "D"),
        "plain",
    ),
    Method(FULL, "solved", "full rank", Style("convex, full rank", "#0173b2", "o")),
    Method(TRUNCATED, "solved", "truncated", Style("convex, truncated", "#d55e00", "^")),
    Method(FILTERED, "solved", "filtered", Style("convex, soft filter", "#029e73", "v")),
    Method(
        by_sgd(FULL),
        "trained",
        "full rank by SGD",
        Style("convex, full rank, by SGD", "#56b4e9", "P"),
        "convex",
    ),
    Method(
        by_sgd(TRUNCATED),
        "trained",
        "truncated by SGD",
        Style("convex, truncated, by SGD", "#f0a030", "X"),
        "convex",
    ),
    Method(
        by_sgd(FILTERED),
        "trained",
        "filtered by SGD",
        Style("convex, soft filter, by SGD", "#8fd9b6", "<"),
        "convex",
    ),
)
METHODS = {row.name: row for row in _ROWS}


def _of_kind(kind: str) -> tuple[str, ...]:
    return tuple(row.name for row in _ROWS if row.kind == kind)


NETWORKS, SOLVED, TRAINED = (_of_kind(kind) for kind in ("network", "solved", "trained"))


def find(name: str) -> Method:
    """Return a method by its name.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    check_choice("method", name, METHODS)
    return METHODS[name]


def style_of(name: str) -> Style:
    """Return the style in which a method is drawn; unknown names raise a ValueError."""
    return find(name).style


def by_method(rows: "pd.DataFrame") -> "Iterator[tuple[str, pd.DataFrame]]":
    """Yield each method of a table with its rows, in the order of `METHODS`."""
    for method in present("method", rows["method"], METHODS):
        yield method, rows[rows["method"] == method]


def method_of(entry: dict) -> str:
    """Return the name of the method that an entry of the config runs.

    Parameters
    ----------
    entry : dict
        An entry of `convex`, or one of `sgd`, which has a key `network`.

    Raises
    ------
    ValueError
        If the network is unknown.
    """
    if "network" not in entry:
        return _program_of(entry)
    if entry["network"] == "convex":
        return by_sgd(_program_of(entry))
    networks = {row.network: row.name for row in _ROWS if row.kind == "network"}
    check_choice("network", entry["network"], [*networks, "convex"])
    return networks[entry["network"]]


def _program_of(entry: dict) -> str:
    """Return the name of a convex program, by what it keeps of the spectrum."""
    if "filter" in entry:
        return FILTERED
    return TRUNCATED if {"rank", "energy"} & entry.keys() else FULL


def published(frame: "pd.DataFrame", dataset: str) -> "pd.DataFrame":
    """Return the published accuracies of a dataset, as the user entered them.

    Raises
    ------
    ValueError
        If an accuracy is not a fraction, or a row does not name its method and source.
    """
    for row in frame.itertuples():
        if row.method not in METHODS or not isinstance(row.source, str):
            raise ValueError(
                f"expected a method of {list(METHODS)} and a source in the published values, "
                f"got {row.method!r} and {row.source!r}"
            )
        if not 0 <= row.test_accuracy <= 1:
            raise ValueError(
                "expected test_accuracy as a fraction from 0 to 1 in the published values, "
                f"got {row.test_accuracy}; divide percentages by 100"
            )
    return frame[frame["dataset"] == dataset] if len(frame) else frame
