"""Methods: the name, kind, words and drawing style of each, said once.

A method is what a config trains or solves. There are three kinds: a "network" trained by SGD, a
convex program that is "solved" to a certificate, and the same program "trained" by SGD, which has
none. Rules, tables, figures and claims read their lists of methods here.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

from convexbn.choices import check_choice
from convexbn.pipeline.tables import place
from convexbn.reporting.registries import present

if TYPE_CHECKING:  # the rules read this module as well, and need no tables
    import pandas as pd

logger = logging.getLogger(__name__)

SGD, FULL, TRUNCATED, FILTERED = "SGD", "convex", "convex-truncated", "convex-filtered"


class Comparison(NamedTuple):
    """Two methods, of which the first is expected to have the higher test accuracy."""

    better: str
    worse: str


COMPARISONS = (Comparison(TRUNCATED, SGD), Comparison(FILTERED, SGD), Comparison(SGD, FULL))


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


def published(frame: "pd.DataFrame", dataset: str, known: Iterable[str] = ()) -> "pd.DataFrame":
    """Return the published accuracies of a dataset, as the user entered them.

    Parameters
    ----------
    frame : DataFrame
        Columns dataset, method, test_accuracy, source. Accuracies are fractions, or percentages
        with their sign.
    dataset : str
    known : iterable of str
        All data sets of the config. Rows of others are left out, with a warning.

    Raises
    ------
    ValueError
        If a column is missing, an accuracy is neither, a method is unknown, a row has no source, or
        a data set is almost that of a known one; the message says where.
    """
    _check_columns(frame)
    if not len(frame):
        return frame
    accuracies = [_accuracy(frame, row) for row in range(len(frame))]
    for row in range(len(frame)):
        _check_names(frame, row)
        _check_dataset(frame, row, [dataset, *known])
    return frame.assign(test_accuracy=accuracies)[frame["dataset"].astype(str) == dataset]


def _check_columns(frame: "pd.DataFrame") -> None:
    for column in ("dataset", "method", "test_accuracy", "source"):
        if column not in frame:
            where = frame.attrs.get("path", "a table")
            raise ValueError(
                f"expected a column {column!r} in the published values ({where}), got "
                f"{', '.join(map(repr, frame))}; correct the names in the first line"
            )


def _accuracy(frame: "pd.DataFrame", row: int) -> float:
    """Return the accuracy in a row as a fraction."""
    value = frame["test_accuracy"].iloc[row]
    parts = re.fullmatch(r"(\d*[.,]?\d+(?:[eE]-?\d+)?)\s*(%?)", str(value))
    number = float(parts[1].replace(",", ".")) / (100 if parts[2] else 1) if parts else -1.0
    if not 0 <= number <= 1:
        raise ValueError(
            f"expected a fraction from 0 to 1 in the published values, got {_shown(value)} "
            f"({place(frame, row)}, column test_accuracy); divide percentages by 100, or put % "
            "behind them"
        )
    return number


def _check_names(frame: "pd.DataFrame", row: int) -> None:
    """Raise unless a row has a method that is drawn, and a source in words."""
    method, source = (frame[column].iloc[row] for column in ("method", "source"))
    if method not in METHODS:
        raise ValueError(
            f"expected a method of {list(METHODS)} in the published values, got {_shown(method)} "
            f"({place(frame, row)}, column method); correct it"
        )
    if not isinstance(source, str) or not re.search(r"[^\W\d_]", source):
        raise ValueError(
            f"expected a source in words in the published values, got {_shown(source)} "
            f"({place(frame, row)}, column source); name one, and write accuracies with a point"
        )


def _shown(value: object) -> str:
    return "nothing" if value != value else repr(value) if isinstance(value, str) else str(value)


def _check_dataset(frame: "pd.DataFrame", row: int, known: Sequence[str]) -> None:
    """Raise if a row's data set is none or a known one misspelt, and warn if it is another."""
    name = str(frame["dataset"].astype(object).fillna("").iloc[row])
    where = f"the published values ({place(frame, row)}, column dataset)"
    if name in known:
        return
    meant = [other for other in known if _alike(name, other)]
    if meant or not name:
        raise ValueError(
            f"expected a data set of {sorted(set(known))} or of another config in {where}, got "
            f"{name!r}; correct it{f' to {meant[0]!r}' if meant else ''}"
        )
    if len(known) > 1:
        logger.warning("%s: %r is not drawn, as this config has only %s", where, name, known[1:])


def _alike(name: str, other: str) -> bool:
    """Return whether two names differ by a slip; "cifar10" and "cifar100" do not."""
    if re.findall(r"\d+", name) != re.findall(r"\d+", other):
        return False
    return SequenceMatcher(None, name.casefold(), other.casefold()).ratio() > 0.8
