"""Records: the small tables of a run that git keeps, and the check of one's own run against them.

`make record` copies the tables of claims, methods and runs of a finished run, and those of a
benchmark, to `results/record/<name of the config>/`, and writes run.json beside them: the config,
the processor and the minutes of each stage. The page of :mod:`convexbn.reporting.papers` is filled
in from there. `make verify` compares one's own run of the same config with its record, by the rules
of :mod:`convexbn.reporting.comparison`; the times of a benchmark it does not compare.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from convexbn.files import atomic
from convexbn.pipeline import artifacts, configs, elapsed
from convexbn.pipeline.processors import cpu_name
from convexbn.reporting import comparison, papers

RECORDS = Path("results/record")
CLAIMS = "claims.csv"
# By their folder in the results. A finished run has the first of a folder, or none of its tables.
TABLES = {
    "tables": ("claims", "methods", "runs"),
    "benchmark": ("times", "memory", "scaling", "passes", "columns", "engine", "versions"),
}
ABOUT = "run.json"
# Keys of the config that say where and on what a run is made, and change no number.
_PLACES = ("pathvars", "data_dir", "device", "threads")


def write(config: Path, folder: Path = RECORDS) -> Path:
    """Record the finished run of a config; return the folder of the record.

    Raises
    ------
    FileNotFoundError
        If there is no such run.
    ValueError
        If a table was edited since it was made.
    """
    content = _content(config)
    results = _results(content)
    found = {kind: _paths(results / kind, kind) for kind in TABLES}
    races, judges = "benchmark" in content, "convex" in content or "benchmark" not in content
    if (races and not found["benchmark"]) or (judges and not found["tables"]):
        raise FileNotFoundError(_no_run(config, results))
    paths = [path for kind in TABLES for path in found[kind]]
    record = folder / config.stem
    for path in paths:
        artifacts.read_table(path)  # whole, as it was written
        artifacts.read_provenance(path)  # a record says where it came from
    for names in TABLES.values():
        for name in set(names) - {path.stem for path in paths}:
            (record / f"{name}.csv").unlink(missing_ok=True)
    for path in paths:
        with atomic(record / path.name) as partial:
            shutil.copyfile(path, partial)
    about = {"config": content, "processor": cpu_name()}
    about["stages"] = elapsed.of_stages(results / "logs")
    origin = artifacts.read_provenance(paths[0])  # of the run, not of now
    kept = {key: origin[key] for key in artifacts.provenance() if key in origin}
    artifacts.write_document(record / ABOUT, about, kept)
    return record


def verify(config: Path, folder: Path = RECORDS) -> tuple[str, bool]:
    """Compare the run of a config with its record.

    Returns
    -------
    words : str
        The comparison, for readers.
    held : bool
        Whether every recorded claim has its verdict, and every recorded method is there.

    Raises
    ------
    FileNotFoundError
        If there is no record or no run; the message says what to do.
    """
    content = _content(config)
    results, record = _results(content), folder / config.stem
    kept = sorted(path.parent.name for path in folder.glob("*/claims.csv"))
    recorded = _judged(
        record,
        f"there is no record of {config.name}: {record / CLAIMS} is missing; recorded are "
        f"{', '.join(kept) or 'no runs'}; make record CONFIG={config} makes one of your own run, "
        "if it judges claims (a benchmark does not)",
    )
    found = _judged(results / "tables", _no_run(config, results))
    origin = artifacts.read_provenance(record / CLAIMS)
    about = artifacts.read_document(record / ABOUT)
    parts = [_heading(config, record, origin, about, content)]
    judged = comparison.claims(recorded[CLAIMS], found[CLAIMS])
    parts.append(comparison.claims_words(judged))
    outcomes = list(judged["outcome"])
    if "methods.csv" in recorded:
        empty = recorded["methods.csv"].iloc[:0]
        compared = comparison.methods(recorded["methods.csv"], found.get("methods.csv", empty))
        parts.append(comparison.methods_words(compared))
        outcomes += list(compared["outcome"])
    return "\n\n".join(parts), not set(outcomes) & set(comparison.FAILURES)


def _content(config: Path) -> dict[str, Any]:
    configs.check_text(config)
    return yaml.safe_load(config.read_text(encoding="utf-8"))


def _results(content: dict) -> Path:
    return Path(configs.results_folder(content.get("pathvars", {}).get("results", "results")))


def _no_run(config: Path, results: Path) -> str:
    return (
        f"there is no finished run of {config.name}: its tables in {results} are missing; "
        f"make it by make reproduce CONFIG={config}"
    )


def _paths(folder: Path, kind: str) -> list[Path]:
    """Return the tables of a kind in a folder; none where the first is missing."""
    paths = [folder / f"{name}.csv" for name in TABLES[kind]]
    return [path for path in paths if path.exists()] if paths[0].exists() else []


def _judged(folder: Path, otherwise: str) -> dict[str, pd.DataFrame]:
    """Return the tables of a run by their names; raise in the words given if it has no claims."""
    if not (paths := _paths(folder, "tables")):
        raise FileNotFoundError(otherwise)
    return {path.name: artifacts.read_table(path) for path in paths}


def _heading(config: Path, record: Path, origin: dict, about: dict, content: dict) -> str:
    commit = origin["commit"] or "unknown"
    words = f"{config.name} against {record}, of commit {commit[:12]} on {about['processor']}."
    keys = {*content, *about["config"]} - set(_PLACES)
    # As JSON has it, in which the record keeps it.
    now = {key: json.loads(json.dumps(content.get(key))) for key in sorted(keys)}
    changed = [key for key, value in now.items() if value != about["config"].get(key)]
    if changed:
        words += f"\nThe config has changed since, in {', '.join(changed)}."
    return words


def main(arguments: list[str] | None = None) -> int:
    """Record a run or compare one with its record; return the exit status."""
    parser = argparse.ArgumentParser(description="Recorded runs, see results/record/README.md.")
    parser.add_argument("action", choices=["record", "verify"])
    parser.add_argument("config", type=Path, help="the config file of the run")
    asked = parser.parse_args(arguments)
    try:
        if asked.action == "record":
            record = write(asked.config)
            papers.fill(papers.PAGE, RECORDS)
            print(f"Recorded in {record}, verdicts and minutes in {papers.PAGE}.")
            return 0
        words, held = verify(asked.config)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(words)
    print("Every recorded verdict stands." if held else "Not every recorded verdict stands.")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
