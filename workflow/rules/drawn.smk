# What is drawn, and from which tables: data sets, studies, the bias of gradient descent.

# Per data set, in the report's order. `filters` is drawn only where there are some.
FIGURES = {
    "accuracy": "1 accuracy against time and weight decay",
    "rank": "2 accuracy against truncation rank",
    "curves": "3 accuracy and loss while training",
    "filters": "4 soft filters against truncation",
    "sensitivity": "5 sensitivity",
    "calibration": "6 calibration",
    "certificates": "7 certificates",
    "spectrum": "8 spectrum",
}


def figures_of(dataset):
    """Return the names of the figures of a data set, none without a convex run."""
    runs = runs_of(CONVEX, dataset) if DATASETS[dataset]["figures"] else []
    has_filters = any("filter" in CONVEX[name] for name in runs)
    names = [name for name in FIGURES if name != "filters" or has_filters]
    return names if runs else []


def dataset_figures(wildcards):
    """Return the figures of every data set."""
    return [
        f"<results>/figures/{dataset}/{figure}.{kind}"
        for dataset in DATASETS
        for figure in figures_of(dataset)
        for kind in ("pdf", "png")
    ]


def figure_inputs(wildcards):
    """Return the tables that a figure's own one is made from, by the argument they are."""
    tables = {
        "runs": ["<results>/tables/runs.csv"],
        "convex": convex_histories(wildcards),
        "sgd": sgd_histories(wildcards),
        "published": [f"{workflow.basedir}/config/published.csv"],
        "spectrum": [f"<results>/figures/{wildcards.dataset}/spectrum.csv"],
    }
    needed = {
        "accuracy": ("runs", "convex", "sgd", "published"),
        "rank": ("runs", "published"),
        "curves": ("runs", "convex", "sgd"),
        "filters": ("runs", "spectrum"),
        "certificates": ("runs", "convex"),
    }
    return {name: tables[name] for name in needed.get(wildcards.figure, ["runs"])}


def figure_settings(wildcards):
    """Return what else a figure's table is made from."""
    settings = {"dataset": wildcards.dataset}
    if wildcards.figure == "certificates":
        names = runs_of(CONVEX, wildcards.dataset)
        settings["tolerance"] = {name: CONVEX[name]["tolerance"] for name in names}
    return settings


def claimed_datasets(wildcards):
    """Return the data sets as the statements about them need to know them."""
    return {
        name: {**view_of(name), "n": footprint.size_of(entry).n}
        for name, entry in DATASETS.items()
    }


# What varies in each kind of study, and its value for a data set.
VARIED = {
    "samples": ("train", lambda entry: footprint.size_of(entry).n),
    "noise": ("label_noise", lambda entry: entry["label_noise"]),
}


def study_values(kind, study):
    """Return what varies in a study, by data set; refuse a study in which more does."""
    varied, value = VARIED[kind]
    names = config["studies"][kind][study]
    for name in names:
        check_dataset(f"study '{study}'", name)
    entries = [view_of(name) for name in names]
    others = [{key: e[key] for key in e if key != varied} for e in entries]
    values = {name: value(entry) for name, entry in zip(names, entries)}
    if any(other != others[0] for other in others) or len(set(values.values())) < len(
        names
    ):
        raise WorkflowError(
            f"the data sets of study '{study}' must differ in '{varied}', each from each, and in "
            "nothing else; set all other keys alike"
        )
    return values


STUDIES = {
    kind: {study: study_values(kind, study) for study in studies}
    for kind, studies in config.get("studies", {}).items()
}


def study_figures(wildcards):
    """Return the figures of the studies."""
    return [
        f"<results>/figures/studies/{kind}-{study}.{ending}"
        for kind in STUDIES
        for study in STUDIES[kind]
        for ending in ("pdf", "png")
    ]


def bias_outputs(wildcards):
    """Return what the bias of gradient descent adds to the figures of the DAG."""
    return [
        f"<results>/figures/bias/{name}.{kind}"
        for name in BIAS
        for kind in ("pdf", "png")
    ]


def bias_courses(wildcards):
    """Return the tables that the claims about the bias are judged on."""
    return [f"<results>/bias/{name}.history.csv" for name in BIAS]
