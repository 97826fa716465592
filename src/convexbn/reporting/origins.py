"""Where results come from: code, versions and machine, numbers of seeds, and times of jobs."""

import platform
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from convexbn.pipeline import artifacts
from convexbn.pipeline.processors import cpu_name

_PACKAGES = (
    *("convexbn", "numpy", "scipy", "torch", "cvxpy", "scikit-learn", "pandas"),
    *("matplotlib", "seaborn", "snakemake"),
)


class Origin(NamedTuple):
    """What made some tables; all is "" where a table does not say."""

    commit: str
    python: str
    versions: str
    machine: str
    device: str


def origins(paths: Iterable[str | Path]) -> list[tuple[Origin, int]]:
    """Return the origins of some tables and how many tables each has, the most frequent first."""
    return Counter(map(_origin, paths)).most_common()


def _origin(path: str | Path) -> Origin:
    try:
        record = artifacts.read_provenance(path)
    except ValueError:  # no table of ours, or its first line was deleted
        return Origin(*[""] * len(Origin._fields))
    commit = (record["commit"] or "no checkout")[:12]
    dirty = " with changes" if record["dirty"] else ""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return Origin(commit + dirty, record["python"], versions, record["machine"], record["device"])


def seeds(config: dict[str, Any]) -> dict[str, str]:
    """Return the numbers of seeds that a config asks for, in words, by its section."""
    found = {name: sorted(_numbers_of_seeds(section)) for name, section in config.items()}
    return {name: " or ".join(map(str, numbers)) for name, numbers in found.items() if numbers}


def _numbers_of_seeds(section: Any) -> set[int]:
    if not isinstance(section, dict):
        return set()
    own = {int(section["seeds"])} if "seeds" in section else set()
    return own.union(*map(_numbers_of_seeds, section.values()))


def times(folder: Path) -> pd.DataFrame:
    """Return what the jobs took that Snakemake has measured, by their rule.

    Parameters
    ----------
    folder : Path
        Of Snakemake's benchmark files, one folder or file for each rule.

    Returns
    -------
    DataFrame
        Columns rule, jobs, seconds (of all jobs), longest (seconds) and memory (the largest
        resident memory of a job, in MB), the longest rule first.
    """
    rows = [
        (path.relative_to(folder).with_suffix("").parts[0], job["s"], job["max_rss"])
        for path in sorted(folder.rglob("*.tsv"))
        for _, job in pd.read_csv(path, sep="\t", na_values="-").iterrows()
    ]
    jobs = pd.DataFrame(rows, columns=["rule", "seconds", "memory"])
    spent = jobs.groupby("rule").agg(
        jobs=("seconds", "size"),
        total=("seconds", "sum"),
        longest=("seconds", "max"),
        memory=("memory", "max"),
    )
    spent = spent.rename(columns={"total": "seconds"}).sort_values("seconds", ascending=False)
    return spent.reset_index()


def surroundings() -> dict[str, str]:
    """Return the machine and the environment of this process, in words."""
    packages = {name: _version(name) for name in _PACKAGES}
    return {
        "processor": cpu_name(),
        "system": platform.platform(),
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {number}" for name, number in packages.items()),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def judged(claims: str | Path) -> dict[str, list[str]]:
    """Return the ids of the claims by the experiment that judged them, as their table records.

    A table that does not say gives {}.
    """
    try:
        parameters = artifacts.read_provenance(claims)["parameters"]
    except ValueError:
        return {}
    found: dict[str, list[str]] = {}
    for judge, ids in parameters.get("judged", {}).items():  # an experiment may have several
        found.setdefault(judge.split(".")[2], []).extend(ids)
    return found
