"""The config as its user wrote it.

What YAML would read otherwise than it was meant is refused by name, and what means the same becomes
the same, so that it is not computed again. Imports nothing heavy, as every Snakemake process reads
it.
"""

import json
import math
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

# The one in C, where PyYAML has it, takes a tenth of the time.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Keys whose values are real numbers; all other numbers of a config are whole.
REALS = frozenset(
    [
        *("accuracies", "accuracy", "adam", "beta", "betas", "burn_in", "energy", "gd"),
        "label_noise",
        *("learning_rate", "learning_rates", "momentum", "noise", "radius", "ridge"),
        *("resolved", "seconds", "step", "steps", "tolerance", "tolerances", "value"),
        *("classifier_decay", "time", "weight_decay", "weight_decays"),
    ]
)
# Defaults that the schema cannot fill in, as the keys are not allowed everywhere.
_IMPLIED: dict[str, dict[str, Any]] = {
    "datasets": {"labels": "fine"},
    "theory": {
        **{"loss": "squared", "penalty": "group", "C": 1},
        **{"stride": 1, "pooling": "sum", "depth": 2},
    },
}
NAME = "[A-Za-z][A-Za-z0-9_-]*"  # of data sets, runs and other entries, as a regular expression
# Names that some file system takes for a device.
_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{i}" for port in ("com", "lpt") for i in range(10)
}
# Names that pandas reads from a table as a missing value, a number or a truth.
_VALUES = {"na", "nan", "none", "null", "inf", "infinity", "true", "false"}
_TEXT, _MERGE, *_NUMBERS = (f"tag:yaml.org,2002:{tag}" for tag in ("str", "merge", "int", "float"))
# YAML 1.1 counts these in base 8 and in base 60.
_MISREAD = re.compile(r"[-+]?0[0-9_]+|.*:.*")


def check_text(path: str | Path) -> None:
    """Raise ValueError for a key that a file gives twice, or text that YAML reads as a number.

    Parameters
    ----------
    path : path
        A config file, YAML or JSON. Merge keys (`<<`) may stand more than once.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        json.loads(text, object_pairs_hook=lambda pairs: _check_pairs(path, pairs))
    except json.JSONDecodeError:
        for node in _nodes(yaml.compose(text, Loader=_Loader), set()):
            _check_node(path, node)


def _check_pairs(path: str | Path, pairs: list[tuple]) -> None:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"{path}: the key '{key}' is given twice; rename or remove one")


def _nodes(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.Node]:
    """Yield a node and all below it, once each: an anchor's node stands in several places."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    yield node
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from _nodes(part, seen)


def _check_node(path: str | Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        _check_keys(path, [key for key, _ in node.value if key.tag != _MERGE])
    is_number = node.tag in _NUMBERS and isinstance(node, yaml.ScalarNode)
    if is_number and _MISREAD.fullmatch(node.value):
        read = yaml.safe_load(node.value)
        raise ValueError(
            f"{_place(path, node)}: YAML reads {node.value} as {read}; write the number in decimal "
            "digits without a leading zero, or a text in quotes"
        )


def _check_keys(path: str | Path, keys: list[yaml.Node]) -> None:
    first: dict[str, yaml.Node] = {}
    for key in keys:
        if key.tag != _TEXT:
            raise ValueError(
                f"{_place(path, key)}: YAML does not read the key {key.value} as text; write it in "
                "quotes"
            )
        if first.setdefault(key.value, key) is not key:
            line = first[key.value].start_mark.line + 1
            raise ValueError(
                f"{_place(path, key)}: the key '{key.value}' is given twice, first in line {line}; "
                "rename or remove one, as the last would silently replace the first"
            )


def _place(path: str | Path, node: yaml.Node) -> str:
    return f"{path}, line {node.start_mark.line + 1}"


def check_names(what: str, names: Collection[str], reserved: Collection[str] = ()) -> None:
    """Raise ValueError for names that cannot all be names of files side by side.

    Parameters
    ----------
    what : str
        What they are the names of.
    names : collection of str
    reserved : collection of str
        Names in lower case that stand for something else.
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(
                f"the {what} '{other}' and '{name}' differ in case only, and some file systems "
                "would take their files for one; rename one"
            )
        if name.lower() in _DEVICES.union(_VALUES, reserved):
            raise ValueError(
                f"'{name}' cannot be the name of one of the {what}: the workflow, its tables or "
                "the system have another use for it; choose another name"
            )


def standard(section: str, value: Any, key: str = "") -> Any:
    """Return a section of the config, or an entry in it, in which the same is the same.

    Numbers are (1 and 1.0, 16.0 and 16), and a default that is written out goes, where the schema
    does not fill it in.

    Raises
    ------
    ValueError
        For a number that is not finite.
    """
    if isinstance(value, dict):
        entries = {name: standard(section, entry, name) for name, entry in value.items()}
        implied = _IMPLIED.get(section, {}) | {"tuning_seeds": entries.get("seeds")}
        return {name: entry for name, entry in entries.items() if not _is_in(implied, name, entry)}
    if isinstance(value, list):
        return [standard(section, entry, key) for entry in value]
    return _number(key, value) if type(value) in (int, float) else value


def _is_in(defaults: dict, name: str, entry) -> bool:
    return name in defaults and not isinstance(entry, dict) and entry == defaults[name]


def _number(key: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{key} must be a finite number, got {value}; correct it in the config")
    return float(value) if key in REALS else int(value)


def folder(key: str, text: str) -> str:
    """Return the path of a folder in the config, with `~` and environment variables filled in.

    Raises
    ------
    ValueError
        For an unknown user or variable.
    """
    path = os.path.expandvars(os.path.expanduser(text))
    if path.startswith("~") or "$" in path:
        raise ValueError(
            f"{key} is '{text}', in which a user or an environment variable is unknown; write the "
            "folder out"
        )
    return os.path.normpath(path)


def check_place(project: str) -> None:
    """Raise ValueError for a project in a folder where Snakemake does not find its scripts."""
    if set(project) & set("{}"):
        raise ValueError(
            f"the project is in {project}, and Snakemake takes what is in braces for a wildcard; "
            "move it to a folder without braces"
        )


def results_folder(text: str) -> str:
    """Return the folder of the results, as :func:`folder` does; within the working one, from there.

    Raises
    ------
    ValueError
        As :func:`folder`, and for characters that mean something else to Snakemake, and for the
        working directory itself or a folder around it.
    """
    path = folder("results, in pathvars,", text)
    if found := sorted(set(path) & set("{}<>*?[]\n\r\t\0")):
        raise ValueError(f"results is {text!r}, with {found[0]!r} in it; choose another folder")
    here, place = Path.cwd(), Path(os.path.abspath(path))
    if here.is_relative_to(place):
        raise ValueError(
            f"results is '{text}', which is the working directory itself or holds it; choose a "
            "folder of its own"
        )
    # Snakemake knows files by their paths: one folder has one.
    return str(place.relative_to(here)) if place.is_relative_to(here) else path
