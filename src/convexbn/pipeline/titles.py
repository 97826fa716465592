"""Titles of figures: the data in words.

Imports nothing heavy, as every Snakemake process reads it.
"""

from collections.abc import Iterable

from convexbn.data.sources import source_of
from convexbn.pipeline import footprint, sheet

_JOIN = ", "


def title_of(dataset: str, datasets: dict, runs: dict, run: str = "") -> str:
    """Return the title of a figure: the data in words, and the number of seeds.

    Parameters
    ----------
    dataset : str
    datasets : dict
        Section of the config.
    runs : dict
        Those that the figure may be about, with their `seeds`.
    run : str
        The one that the figure is about, if it is one: named where others have the same data.
    """
    runs = sheet.runs_on(dataset, runs)
    seeds = {entry["seeds"] for entry in ([runs[run]] if run else runs.values())}
    words = f"{data_words(dataset, datasets)}, {_count(min(seeds), max(seeds))}"
    return f"{words} ({run})" if run and len(runs) > 1 else words


def _count(fewest: int, most: int) -> str:
    if fewest == most:
        return "1 seed" if most == 1 else f"{most} seeds"
    return f"{fewest} to {most} seeds"


def data_words(name: str, datasets: dict) -> str:
    """Return a data set in words: its images, their size, n, and what was done to them."""
    dataset = datasets[name]
    source = source_of(dataset["source"])
    words = [source.words or f"images '{name}'"]
    if dataset.get("labels") == "coarse":
        words[0] += ", superclasses"
    if dataset.get("classes"):
        words.append(f"{len(dataset['classes'])} classes")
    if dataset["source"] != "image_folder" or dataset.get("size"):
        height, width = (s // dataset["pool"] for s in dataset.get("size") or source.shape[:2])
        is_gray = source.shape[2] == 1 or dataset["color"] == "gray"
        words.append(f"{height} \u00d7 {width} {'gray' if is_gray else 'colour'} pixels")
    if "patches" in dataset:
        words.append("convolution {size} \u00d7 {size}".format(**dataset["patches"]))
    if n := footprint.samples_of(dataset):
        words.append(f"$n$ = {n:,}")
    if dataset["label_noise"]:
        words.append(f"{dataset['label_noise']:.0%} wrong labels")
    if dataset["draw"]:
        words.append(f"draw {dataset['draw']}")
    return _JOIN.join(words)


def all_words(names: Iterable[str | None], datasets: dict) -> str:
    """Return the data sets of a figure's panels in words, once each; None for one without."""
    return "; ".join(data_words(name, datasets) for name in dict.fromkeys(names) if name)


def study_words(names: Iterable[str], datasets: dict) -> str:
    """Return what the data sets of a study have in common, in words."""
    first, *others = (data_words(name, datasets).split(_JOIN) for name in names)
    return _JOIN.join(words for words in first if all(words in other for other in others))
