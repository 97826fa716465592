"""Trainings one after another, as one job that can be interrupted."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from convexbn.progress import progress
from convexbn.training.checkpoints import Checkpoint

Result = TypeVar("Result")


def run_each(
    trainings: Mapping[str, Callable[[Path | None], Result]],
    work: str,
    checkpoint: str | Path | None = None,
) -> dict[str, Result]:
    """Run trainings in turn; return their results by name.

    Parameters
    ----------
    trainings : dict of callable
        From the file that a training may keep its own state in, or None, to its result: numbers,
        texts, tensors, and lists and dicts of these.
    work : str
        What the results depend on, see :func:`convexbn.training.checkpoints.fingerprint`.
    checkpoint : str or Path, optional
        A file for the results so far, written about every half minute and removed at the end. If it
        exists and is of this work, the trainings in it are not run again. The one that runs has the
        file with `.training` after its name beside it.

    Raises
    ------
    ValueError
        If the file is not a checkpoint.
    """
    store = Checkpoint(checkpoint, work)
    inner = None if checkpoint is None else Path(f"{checkpoint}.training")
    finished: dict[str, Result] = store.load() or {}
    with progress(len(trainings), "trainings") as bar:
        for name, training in trainings.items():
            if name not in finished:
                finished[name] = training(inner)
                store.save(lambda: finished)
            bar.step(name)
    store.remove()
    return {name: finished[name] for name in trainings}
