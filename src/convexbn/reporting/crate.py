"""A run as an RO-Crate: one zip file with its results, and what made them, for machines to read.

Research Object Crates (https://www.researchobject.org/ro-crate/) are folders with a description in
JSON-LD. In this one an action made the figures and tables (its results) from a config and data sets
(its objects) by the workflow (its instrument); software and versions are those of the run, as its
tables say, and each claim is a review with a verdict.
"""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexbn.files import atomic
from convexbn.imports import PACKAGE
from convexbn.pipeline import artifacts
from convexbn.pipeline.tables import provenance

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".png": "image/png",
}


def pack(
    path: str | Path,
    outputs: Iterable[str | Path],
    config: dict[str, Any],
    sources: Iterable[str | Path] = (),
) -> None:
    """Write the crate of a run.

    Parameters
    ----------
    path : str or Path
        The zip file, in the folder of the run's results.
    outputs : iterable of str or Path
        Figures and tables of the run, in that folder; claims.csv is among them if it judged any.
    config : dict
        The config of the run, as it was read; it is packed as config.json.
    sources : iterable of str or Path
        The files that the config was read from, packed too.
    """
    from rocrate.rocrate import ROCrate

    results, paths = Path(path).parent, sorted(map(Path, outputs))
    crate = ROCrate()
    crate.name = f"Run of convexbn: {', '.join(Path(source).name for source in sources) or results}"
    crate.description = "Figures, tables and claims of a run, with its config, data and software."
    crate.root_dataset["license"] = "MIT"
    made = [_file(crate, output, output.relative_to(results)) for output in paths]
    tables = [output for output in paths if output.suffix == ".csv"]
    workflow = crate.add_workflow(
        PACKAGE.parents[1] / "Snakefile", "Snakefile", main=True, lang="snakemake"
    )
    workflow["name"] = "convexbn"
    workflow["softwareRequirements"] = _software(crate, tables)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "config.json"
        written.write_text(json.dumps(config, indent=2), encoding="utf-8")
        given = [_file(crate, written, written.name)]
        given += [_file(crate, source, Path("config") / Path(source).name) for source in sources]
        action = crate.add_action(
            workflow, "#run", object=[*given, *_data(crate, config)], result=made
        )
        crate.root_dataset["mentions"] = [action, *_claims(crate, tables)]
        with atomic(path) as partial:
            crate.write_zip(partial)


def _file(crate: "ROCrate", source: str | Path, name: str | Path) -> "Entity":
    properties = {"name": str(name)}
    if encoding := _TYPES.get(Path(name).suffix):
        properties["encodingFormat"] = encoding
    return crate.add_file(source, str(name), properties=properties, record_size=True)


def _entity(crate: "ROCrate", key: str, kind: str, **properties: Any) -> "Entity":
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, f"#{key}", {"@type": kind, **properties}))


def _data(crate: "ROCrate", config: dict[str, Any]) -> list["Entity"]:
    """Return the data sets of a config, each with its entry there."""
    return [
        _entity(crate, f"data-{name}", "Dataset", name=name, description=json.dumps(entry))
        for name, entry in config["datasets"].items()
    ]


def _software(crate: "ROCrate", tables: Iterable[Path]) -> list["Entity"]:
    """Return the software that made some tables, in each of the versions that they name.

    A table whose first line was deleted, so that it is read as edited, names none.
    """
    records = [record for record in map(provenance, tables) if record]
    found = {("Python", record["python"]) for record in records}
    for record in records:
        found |= set(record["versions"].items())
        if record["commit"]:
            state = ", with changes" if record["dirty"] else ""
            found.add(("convexbn checkout", record["commit"] + state))
    return [
        _entity(
            crate,
            f"software-{name}-{number}".replace(" ", "-"),
            "SoftwareApplication",
            name=name,
            softwareVersion=number,
        )
        for name, number in sorted(found)
    ]


def _claims(crate: "ROCrate", tables: Iterable[Path]) -> list["Entity"]:
    """Return the claims among some tables, each as the review of a statement."""
    claims = next((table for table in tables if table.name == "claims.csv"), None)
    if claims is None:
        return []
    return [
        _entity(
            crate,
            f"claim-{row.Index}-{row.id}",
            "ClaimReview",
            name=f"{row.id} on {row.dataset}",
            claimReviewed=row.statement,
            reviewAspect=row.expected,
            reviewBody=str(row.measured),
            reviewRating=_verdict(crate, row.verdict),
        )
        for row in artifacts.read_table(claims).itertuples()
    ]


def _verdict(crate: "ROCrate", verdict: str) -> "Entity":
    return _entity(crate, f"verdict-{verdict.replace(' ', '-')}", "Rating", name=verdict)
