"""The run sheet: what the rules need to know of a config, as plain functions of its entries.

Each wrong entry raises a ValueError that names it; Snakemake shows the same words. Imports nothing
heavy, as every Snakemake process reads it.
"""

from typing import Any

from convexbn.pipeline import checks, footprint

# Folders beside those of the data sets, which no data set can be named after.
FOLDERS = (
    *("benchmark", "bias", "convex_layers", "cross_iteration", "knobs", "learned_filters"),
    *("learning_rates", "likeness", "raw", "rescaling", "ridge", "studies", "theory"),
)
# The key that varies in each kind of study, and its value for a data set.
VARIED = {
    "samples": ("train", footprint.samples_of),
    "noise": ("label_noise", lambda entry: entry["label_noise"]),
    "draws": ("draw", lambda entry: entry["draw"]),
}

_SEEDS_OF_A_DRAW = 1000  # those of the next draw of the images begin after as many

# Figures that show published accuracies, too.
COMPARED = ("accuracy", "rank")
# The tables that the figures of a data set are made from, where it is not that of the runs alone.
FIGURE_TABLES = {
    "accuracy": ("runs", "convex", "sgd"),
    "curves": ("runs", "convex", "sgd"),
    "filters": ("runs", "spectrum"),
    "certificates": ("runs", "convex"),
}


def images_of(name: str, datasets: dict) -> str:
    """Return the name of the images that a data set is a view of; these are read only once.

    The images of a folder are named after the first data set that reads them at that size.
    """
    dataset = datasets[name]
    if dataset["source"] == "image_folder":
        keys = ("source", "path", "size")
        alike = (key for key, e in datasets.items() if _some(e, keys) == _some(dataset, keys))
        return f"image_folder-{next(alike)}"
    if dataset["source"] == "cifar100":
        return f"cifar100-{dataset.get('labels', 'fine')}"
    return dataset["source"]


def source_of(dataset: dict) -> dict:
    """Return the settings that the images of a data set depend on, beside the files themselves."""
    return _some(dataset, ("source", "labels", "size"))


def view_of(dataset: dict) -> dict:
    """Return a data set's entry without the settings that do not change its data.

    Nor is the path of its images among them: they are told by what is in them.
    """
    return _without(dataset, "figures", "path")


def sized(datasets: dict) -> dict:
    """Return the views of the data sets with their numbers n of training samples, for claims.

    n is None where the images have to be read to know it.
    """
    return {
        name: {**view_of(entry), "n": footprint.samples_of(entry)}
        for name, entry in datasets.items()
    }


def runs_on(dataset: str, runs: dict) -> dict:
    """Return the runs on a data set."""
    return {name: run for name, run in runs.items() if run["dataset"] == dataset}


def candidates_on(dataset: str, runs: dict) -> dict:
    """Return the candidates on a data set by name: the solved programs, or SGD with BN."""
    return {
        name: run
        for name, run in sorted(runs_on(dataset, runs).items())
        if run["candidate"] and run.get("network", "bn") == "bn"
    }


def seeds_of(config: dict, run: dict) -> list[int]:
    """Return the seeds of a run: more of them leave the earlier ones as they are.

    Each draw of the images has its own: gates and initial weights that all draws share would favour
    the same method on all of them, and an interval over the draws would not show it.
    """
    first = config["seed"] + _SEEDS_OF_A_DRAW * config["datasets"][run["dataset"]]["draw"]
    return list(range(first, first + run["seeds"]))


def labels_of(name: str, run: dict, method: str, *settings: str) -> dict:
    """Return the columns that tell a run's rows from those of others, some settings among them."""
    labels = {"dataset": run["dataset"], "run": name, "method": method}
    return labels | {key: run[key] for key in settings}


def recipe_of(run: dict) -> str:
    """Return in words what an SGD run fixes for all its networks, beside its labels."""
    keys = ("width", "epochs", "momentum", "schedule", "flip", "shift")
    return ", ".join(f"{key} {run[key]}" for key in keys if key in run)


def data_of(dataset: str, *kinds: str) -> dict[str, str]:
    """Return the artifacts of a data set by kind: `features` and `whitening`, or some of them."""
    paths = {
        "features": f"<results>/data/{dataset}/features.safetensors",
        "whitening": f"<results>/whitening/{dataset}.safetensors",
    }
    return {kind: paths[kind] for kind in kinds or paths}


def trained_on(run: dict) -> list[str]:
    """Return the artifacts of its data set that SGD needs: a convex program sees whitened data."""
    return ["features", "whitening"] if run["network"] == "convex" else ["features"]


def lasting(run: dict) -> dict:
    """Return the settings that solutions and trained networks depend on.

    Being a candidate is none of them, nor is on how many nodes the processes are.
    """
    return _without(run, "candidate", "nodes")


def gpus_of_node(run: dict, gpus: int) -> str:
    """Return the GPUs that a run takes on each node, `gpus` for each process, as Slurm has them."""
    count = gpus * run["processes"] // run["nodes"]
    return f"gpu:{count}" if count else ""


def gate_settings(run: dict) -> dict:
    """Return the settings that gates depend on, so that no other change samples them again."""
    return _some(run, ("gates", "rank", "energy", "filter"))


def of_one_seed(run: dict, *others: str) -> dict:
    """Return the settings that the results of one seed depend on: how many there are is none.

    `others` are settings of other jobs of the seed.
    """
    return _without(run, "seeds", *others)


def seed_tables(config: dict, section: str, name: str, kind: str = "") -> list[str]:
    """Return the tables of a run with a job for each seed; `kind` where a job has several."""
    end = f".{kind}.csv" if kind else ".csv"
    seeds = seeds_of(config, config[section][name])
    return [f"<results>/{section}/{name}/{seed}{end}" for seed in seeds]


def figures_of(dataset: str, datasets: dict, runs: dict, figures: dict) -> list[str]:
    """Return the names of a data set's figures: `filters` needs a filter, all need a candidate."""
    if not (datasets[dataset]["figures"] and candidates_on(dataset, runs)):
        return []
    has_filters = any("filter" in run for run in runs_on(dataset, runs).values())
    return [name for name in figures if name != "filters" or has_filters]


def figure_tables(figure: str, dataset: str, convex: dict, sgd: dict) -> dict:
    """Return the tables that a figure's own table is made from, by the argument they become.

    Parameters
    ----------
    figure, dataset : str
    convex, sgd : dict
        Sections of the config.
    """
    tables = {
        "runs": ["<results>/tables/runs.csv"],
        "spectrum": [f"<results>/figures/{dataset}/spectrum.csv"],
    }
    for kind, runs in (("convex", convex), ("sgd", sgd)):
        names = runs_on(dataset, runs)
        tables[kind] = [f"<results>/{kind}/{name}.history.csv" for name in names]
    return {name: tables[name] for name in FIGURE_TABLES.get(figure, ["runs"])}


def figure_settings(figure: str, dataset: str, runs: dict) -> dict:
    """Return the settings that a figure's table is made from, beside other tables."""
    settings: dict[str, Any] = {"dataset": dataset}
    if figure == "certificates":
        found = runs_on(dataset, runs).items()
        settings["tolerance"] = {name: run["tolerance"] for name, run in found}
    return settings


def claim_tables(claims: dict) -> dict[str, list[str]]:
    """Return the tables that claims are judged on, by name.

    Parameters
    ----------
    claims : dict
        By the name of the function that judges, with its `tables`: name to paths.

    Raises
    ------
    ValueError
        If one name stands for different tables.
    """
    found: dict[str, list[str]] = {}
    for judge, claim in claims.items():
        for name, paths in claim["tables"].items():
            if found.setdefault(name, paths) != paths:
                raise ValueError(
                    f"{judge} names a table '{name}' that another function of claims has for a "
                    "different one; choose another name"
                )
    return found


def by_program(theorems: dict) -> dict[str, dict]:
    """Return the entries of the theorems about each program, in the order of the programs."""
    programs = sorted({entry["program"] for entry in theorems.values()})
    return {
        program: {name: entry for name, entry in theorems.items() if entry["program"] == program}
        for program in programs
    }


def study_values(datasets: dict, studies: dict) -> dict:
    """Return the value of what varies, by kind of study, study and data set.

    Parameters
    ----------
    datasets, studies : dict
        Sections of the config.

    Raises
    ------
    ValueError
        If a study names a data set that is missing, or one for which what varies is not known, or
        its data sets do not differ in that alone, each from each.
    """
    return {
        kind: {study: _values(kind, study, names, datasets) for study, names in named.items()}
        for kind, named in studies.items()
    }


def _values(kind: str, study: str, names: list[str], datasets: dict) -> dict:
    varied, value = VARIED[kind]
    for name in names:
        checks.check_dataset(datasets, f"study '{study}'", name)
    others = [_without(datasets[name], "figures", varied) for name in names]
    values = {name: value(datasets[name]) for name in names}
    unknown = [name for name in names if values[name] is None]
    if unknown:
        raise ValueError(
            f"study '{study}' compares numbers of samples, which are not known before the images "
            f"of '{unknown[0]}' are read; set its 'train'"
        )
    if any(other != others[0] for other in others) or len(set(values.values())) < len(names):
        raise ValueError(
            f"the data sets of study '{study}' must differ in '{varied}', each from each, and in "
            "nothing else; set all other keys alike"
        )
    return values


def _some(entry: dict, keys: tuple[str, ...]) -> dict:
    return {key: entry[key] for key in keys if key in entry}


def _without(entry: dict, *keys: str) -> dict:
    return {name: value for name, value in entry.items() if name not in keys}
