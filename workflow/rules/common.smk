# What several rules need: the run sheet, and the code that a script rests on.
from convexbn.pipeline import dependencies, footprint
from convexbn.training.tuning import check_tuning

DATASETS = config["datasets"]
CONVEX, SGD = config.get("convex", {}), config.get("sgd", {})
GPU = 0 if config["device"] == "cpu" else 1
LONG = 1  # the priority of long jobs: short ones are left for beside the last of them


def check_dataset(what, dataset, is_whole=False):
    """Refuse a data set that is not there, or one of patches where whole images are needed."""
    if dataset not in DATASETS:
        raise WorkflowError(
            f"{what} names the dataset '{dataset}', which is not in the config; "
            f"choose one of {', '.join(DATASETS)}, or add it under datasets:"
        )
    if is_whole and "patches" in DATASETS[dataset]:
        raise WorkflowError(
            f"{what} names the dataset '{dataset}' of patches, and is for "
            "fully connected networks; name one without patches"
        )


def check_seeds(name, run):
    """Refuse a run that cannot be tuned as it says."""
    validation = DATASETS[run["dataset"]]["validation"] != 0  # null: all that are left
    try:
        check_tuning(run.get("tuning_seeds"), run["seeds"], validation)
    except ValueError as error:
        raise WorkflowError(f"run '{name}': {error}")


for name, run in [*CONVEX.items(), *SGD.items()]:
    is_augmented = run.get("flip", False) or run.get("shift", 0) > 0
    words = f"run '{name}'" + (", with flip or shift," if is_augmented else "")
    check_dataset(words, run["dataset"], is_whole=is_augmented)
    check_seeds(name, run)


def images_of(dataset):
    """Name the images that a data set is a view of: those of a source are read only once."""
    entry = DATASETS[dataset]
    if entry["source"] == "image_folder":  # what it holds is this data set's own
        return f"image_folder-{dataset}"
    if entry["source"] == "cifar100":
        return f"cifar100-{entry.get('labels', 'fine')}"
    return entry["source"]


def view_of(dataset):
    """Return the entry of a data set, less what does not change its data."""
    entry = DATASETS[dataset]
    return {key: value for key, value in entry.items() if key != "figures"}


def source_of(dataset):
    """Return what the images of a data set depend on."""
    entry = DATASETS[dataset]
    keys = ("source", "labels", "path", "size")
    return {key: entry[key] for key in keys if key in entry}


IMAGES = {images_of(dataset): source_of(dataset) for dataset in DATASETS}


wildcard_constraints:
    dataset="|".join(DATASETS),
    images="|".join(IMAGES),
    run="|".join({**CONVEX, **SGD}),


def rests_on(script):
    """Return the modules that a script rests on: Snakemake does not see what a script imports."""
    return dependencies.rests_on(f"{workflow.basedir}/workflow/scripts/{script}.py")


def runs_of(sheet, dataset):
    """Return the names of the runs on a dataset."""
    return [name for name, run in sheet.items() if run["dataset"] == dataset]


def seeds_of(run):
    """Seed i of a run is the config's seed + i: more seeds leave the earlier ones as they are."""
    return list(range(config["seed"], config["seed"] + run["seeds"]))


def convex_inputs(wildcards):
    """Return the data that a run of the convex program works on."""
    dataset = CONVEX[wildcards.run]["dataset"]
    return {
        "features": f"<results>/data/{dataset}/features.safetensors",
        "whitening": f"<results>/whitening/{dataset}.safetensors",
    }


def labels_of(name, run, method):
    """Return the columns that tell a run's rows from those of others."""
    return {"dataset": run["dataset"], "run": name, "method": method}


def program_method(run):
    """Return what a convex program is called, by what it keeps of the spectrum."""
    if "filter" in run:
        return "convex-filtered"
    return "convex-truncated" if {"rank", "energy"} & run.keys() else "convex"


def convex_labels(wildcards):
    run = CONVEX[wildcards.run]
    return labels_of(wildcards.run, run, program_method(run))


def evaluation_labels(wildcards):
    """Return the same, and whether the run may be chosen as its method's setting."""
    candidate = CONVEX[wildcards.run]["candidate"]
    return convex_labels(wildcards) | {"candidate": candidate}


def convex_params(wildcards):
    """Return what solutions depend on: nothing is solved again to be a candidate, or to be none."""
    run = CONVEX[wildcards.run]
    return {key: run[key] for key in run if key != "candidate"}


def gate_params(wildcards):
    """Return what gates depend on, so that no other change samples them again."""
    run = CONVEX[wildcards.run]
    keys = ("gates", "rank", "energy", "filter")
    return {key: run[key] for key in keys if key in run}


def gates_memory(wildcards):
    run = CONVEX[wildcards.run]
    return footprint.gates(DATASETS[run["dataset"]], run)


def convex_memory(wildcards):
    run = CONVEX[wildcards.run]
    return footprint.convex(DATASETS[run["dataset"]], run)


def sgd_inputs(wildcards):
    """Return the data that a run is trained on; the convex program sees them whitened."""
    run = SGD[wildcards.run]
    features = f"<results>/data/{run['dataset']}/features.safetensors"
    whitening = f"<results>/whitening/{run['dataset']}.safetensors"
    needed = {"whitening": whitening} if run["network"] == "convex" else {}
    return {"features": features} | needed


def sgd_labels(wildcards):
    """Return the columns that tell a run's rows from those of others."""
    run = SGD[wildcards.run]
    methods = {
        "bn": "SGD",
        "plain": "SGD without BN",
        "convex": f"{program_method(run)} by SGD",
    }
    settings = {key: run[key] for key in ("candidate", "optimizer", "batch_size")}
    return labels_of(wildcards.run, run, methods[run["network"]]) | settings


def sgd_memory(wildcards):
    run = SGD[wildcards.run]
    return footprint.sgd(DATASETS[run["dataset"]], run)


def convex_histories(wildcards):
    """Return the histories of the convex runs on a dataset."""
    return [
        f"<results>/convex/{run}.history.csv"
        for run in runs_of(CONVEX, wildcards.dataset)
    ]


def sgd_histories(wildcards):
    """Return the histories of the SGD runs on a dataset."""
    return [
        f"<results>/sgd/{run}.history.csv" for run in runs_of(SGD, wildcards.dataset)
    ]


# The theory is optional: a config without it makes none of it.
THEORY = config.get("theory", {})


def theory_outputs(wildcards):
    """Return what the theory adds to the tables and figures of the DAG."""
    figures = ["duality", "depth", "counting", "sampling", "interpolation"]
    stems = ["tables/theorems.csv"]
    stems += [
        f"figures/theory/{name}.{kind}" for name in figures for kind in ("pdf", "png")
    ]
    return [f"<results>/{stem}" for stem in stems] if THEORY else []


def theory_claims(wildcards):
    """Return the tables that the claims about the theory are judged on."""
    if not THEORY:
        return {}
    return {
        "theorems": ["<results>/tables/theorems.csv"],
        "duality": duality_tables(wildcards),
        "depth": ["<results>/theory/depth.csv"],
        "counting": ["<results>/theory/counting.csv"],
    }


def duality_tables(wildcards):
    """Return the tables of trained networks, one per problem."""
    return [f"<results>/theory/duality/{problem}.csv" for problem in THEORY["duality"]]


def theory_settings(*names, shared=("tolerance", "descent")):
    """Return the settings under these keys, and those that it shares with others."""
    entry = THEORY
    for name in names:
        entry = entry[name]
    common = {key: THEORY[key] for key in shared}
    return common | entry if names else common


def theorems_of(wildcards):
    """Return the entries of the theorems about a program; each program is a job."""
    entries = THEORY["theorems"].items()
    return {
        name: entry for name, entry in entries if entry["program"] == wildcards.program
    }


# So is the benchmark.
def benchmark_outputs(wildcards):
    """Return the tables and figures of the benchmark."""
    figures = ["curves", "times", "memory", "scaling", "passes"]
    figures += [name for name in ("columns", "engine") if name in BENCHMARK]
    stems = [f"benchmark/{name}.csv" for name in [*figures, "versions"]]
    stems += [
        f"figures/benchmark/{name}.{kind}"
        for name in figures
        for kind in ("pdf", "png")
    ]
    return [f"<results>/{stem}" for stem in stems] if BENCHMARK else []


def benchmark_inputs(wildcards):
    """Return the data that a problem of the benchmark is made from."""
    dataset = CASES[wildcards.case]["dataset"]
    return {
        "features": f"<results>/data/{dataset}/features.safetensors",
        "whitening": f"<results>/whitening/{dataset}.safetensors",
    }


def ours_first(wildcards):
    """Return what tells when a peer is there: the dual bound that this library has found."""
    own = f"<results>/benchmark/races/{wildcards.case}.convexbn.csv"
    return [] if wildcards.solver == "convexbn" else [own]


def races_of(cases):
    """Return the measurements of this library and its peers on some problems."""
    return [
        f"<results>/benchmark/races/{name}.{solver}.csv"
        for name in CASES
        if name in cases
        for solver in ["convexbn", *CASES[name]["peers"]]
    ]


def columns_input(stem):
    """Return an artifact of the data set on which column generation is compared."""
    dataset = BENCHMARK["columns"]["dataset"]
    return f"<results>/{stem.format(dataset)}.safetensors"
