"""What is refused of a config beside what its schemas refuse: entries that do not fit together.

Each error names the entry; Snakemake shows the same words. Imports nothing heavy, as every
Snakemake process reads it.
"""

from collections.abc import Iterator, Sequence

from convexbn.data.sources import Source, source_of
from convexbn.pipeline import footprint
from convexbn.training.tuning import check_tuning

# The keys at the top level of a config, beside its sections.
SETTINGS = ("pathvars", "seed", "device", "threads", "data_dir")
# The targets that a loss is for, where it is for one kind.
_TARGETS = {
    "logistic": "plus_minus",
    "squared_hinge": "plus_minus",
    "cross_entropy": "one_hot",
}


def check_keys(config: dict, sections: list[str]) -> None:
    """Raise ValueError for a key at the top level that is neither a section nor a setting."""
    for key in config:
        if key not in (*SETTINGS, *sections):
            raise ValueError(
                f"Additional properties are not allowed ('{key}' was unexpected): the keys of a "
                f"config are {', '.join([*SETTINGS, *sections])}"
            )


def check_dataset(datasets: dict, what: str, name: str, is_whole: bool = False) -> None:
    """Raise ValueError if a data set is missing, or is of patches where whole images are needed.

    Parameters
    ----------
    datasets : dict
        The config's section.
    what : str
        The entry that names the data set.
    name : str
    is_whole : bool
        Whether the entry is for fully connected networks only.
    """
    if name not in datasets:
        raise ValueError(
            f"{what} names the dataset '{name}', which is not in the config; "
            f"choose one of {', '.join(datasets)}, or add it under datasets:"
        )
    if is_whole and "patches" in datasets[name]:
        raise ValueError(
            f"{what} names the dataset '{name}' of patches, and is for "
            "fully connected networks; name one without patches"
        )


def check_images(name: str, entry: dict) -> None:
    """Raise ValueError for a data set that its images, as far as they are known, cannot give.

    Parameters
    ----------
    name : str
    entry : dict
    """
    what, source = f"dataset '{name}'", source_of(entry["source"])
    is_known = entry["source"] != "image_folder"  # before it is read
    if is_known:
        _check_numbers(what, entry, source)
    sides = entry.get("size") or (source.shape[:2] if is_known else ())
    pool = entry["pool"]
    if any(side % pool for side in sides):
        raise ValueError(
            f"{what}: pool must divide height and width of the images, {_by(sides)}, got {pool}; "
            "choose a common divisor"
        )
    view = entry.get("patches", {"size": 1})
    padded = [side // pool + 2 * view.get("padding", 0) for side in sides]
    if any(view["size"] > side for side in padded):
        raise ValueError(
            f"{what}: the size of patches must be at most that of the padded images, {_by(padded)} "
            f"pixels, got {view['size']}; choose a smaller one, or more padding"
        )


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _check_numbers(what: str, entry: dict, source: Source) -> None:
    """Raise ValueError for more images than a source has, for training or in all."""
    train, test = (entry["train"] or 0) + entry["validation"], entry["test"] or 0
    asked = [("train + validation", train, source.train), ("test", test, source.test)]
    if not source.test:  # test images are among the others
        asked = [("train + validation + test", train + test, source.train)]
    for names, count, most in asked:
        if count > most:
            raise ValueError(
                f"{what}: {names} ask for {count} images, but '{entry['source']}' has {most}; ask "
                "for fewer"
            )


def check_entry(datasets: dict, what: str, entry: dict, is_whole: bool = True) -> None:
    """Raise ValueError if an entry names no data set it can use, or more images than that has.

    Parameters
    ----------
    datasets : dict
        The config's section.
    what : str
        What the entry is, for the error.
    entry : dict
    is_whole : bool
        Whether it is for fully connected networks only.
    """
    check_dataset(datasets, what, entry["dataset"], is_whole)
    dataset = datasets[entry["dataset"]]
    if dataset["source"] == "image_folder" and dataset["train"] is None:
        return  # how many it has is not known before they are read
    n = footprint.size_of(dataset).n
    for key, count in _counts(entry):
        most = min(n, entry.get("samples", n)) if key.startswith("batch") else n
        if count > most:
            raise ValueError(
                f"{what}: {key} must be at most {most}, the number of its training images, got "
                f"{count}"
            )


def _counts(entry: dict) -> Iterator[tuple[str, int]]:
    """Yield the numbers of images that an entry, or a part of it, takes at once, by their keys."""
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from _counts(value)
        elif key in ("batch_size", "batch_sizes", "samples", "images", "n"):
            yield from ((key, count) for count in (value if isinstance(value, list) else [value]))


def check_runs(datasets: dict, runs: dict) -> None:
    """Raise ValueError if a run names no data set it can use, or cannot be tuned as it says."""
    for name, run in runs.items():
        is_augmented = run.get("flip", False) or run.get("shift", 0) > 0
        words = f"run '{name}'" + (", with flip or shift," if is_augmented else "")
        check_entry(datasets, words, run, is_whole=is_augmented)
        dataset = datasets[run["dataset"]]
        _check_program(f"run '{name}'", run, dataset)
        has_validation = dataset["validation"] != 0
        try:
            check_tuning(run.get("tuning_seeds"), run["seeds"], has_validation)
        except ValueError as error:
            raise ValueError(f"run '{name}': {error}") from error
        processes, nodes = run.get("processes", 1), run.get("nodes", 1)
        if processes % nodes:
            raise ValueError(
                f"run '{name}': expected as many processes on each of {nodes} nodes, got "
                f"{processes} in all; take processes: {nodes * -(-processes // nodes)}"
            )


def check_learned(datasets: dict, name: str, run: dict) -> None:
    """Raise ValueError if a run of learned filters names no data it can use, or has other ranks."""
    what = f"run '{name}' of learned_filters"
    check_entry(datasets, what, run)
    largest = max(run["ranks"])
    if largest > run.get("rank", largest):
        raise ValueError(
            f"{what}: ranks must be at most its rank, {run['rank']}, got {largest}; leave it out, "
            "or raise the rank"
        )
    check_rank(what, run.get("rank", largest), datasets[run["dataset"]])


def check_rank(what: str, rank: int, dataset: dict) -> None:
    """Raise ValueError for a rank that the whitened data, as far as they are known, cannot have."""
    most = footprint.directions_of(dataset)
    if most is not None and rank > most:
        raise ValueError(
            f"{what}: rank must be at most {most}, as the whitened data have no more directions "
            f"(features, and samples less one), got {rank}"
        )


def _check_program(what: str, run: dict, dataset: dict) -> None:
    """Raise ValueError for a rank that the data cannot have, or a loss that is not for its targets.

    The program of an SGD run has the squared loss, which is for targets of both kinds.
    """
    check_rank(what, run.get("rank", 1), dataset)
    targets = _TARGETS.get(run.get("loss", "squared"))
    if targets and dataset["targets"] != targets:
        raise ValueError(
            f"{what}: loss {run['loss']} is for targets: {targets}, and those of the dataset "
            f"'{run['dataset']}' are {dataset['targets']}; change one of both"
        )
