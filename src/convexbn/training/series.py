"""Trainings one after another, as one job that can be interrupted."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from convexbn.progress import progress
from convexbn.training.checkpoints import Parts

Result = TypeVar("Result")


def run_each(
    trainings: Mapping[str, Callable[[Path | None], Result]],
    work: str,
    parts: Parts | None = None,
) -> dict[str, Result]:
    """Run trainings in turn; return their results by name.

    Parameters
    ----------
    trainings : dict of callable
        From the file that a training may keep its own state in, or None, to its result: numbers,
        texts, tensors, and lists and dicts of these.
    work : str
        What the results depend on, see :func:`convexbn.training.checkpoints.fingerprint`.
    parts : Parts, optional
        Where each result is kept once it is there: the trainings that are found in it are not run
        again.

    Raises
    ------
    ValueError
        If a file of the parts is truncated.
    """
    parts = parts or Parts()
    results = {}
    with progress(len(trainings), "trainings") as bar:
        for name, training in trainings.items():
            result = parts.load(f"{work} {name}")
            if result is None:
                result = training(parts.running_of(f"{work} {name}"))
                parts.save(f"{work} {name}", result)
            results[name] = result
            bar.step(name)
    return results
