# Tables and figures. Each figure is drawn from one small table beside it, made from the big ones;
# each depends on the certificates, through the table of runs.

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
DRAWING_MODULES = [
    "figures/__init__",
    "figures/accuracy",
    "figures/calibration",
    "figures/certificates",
    "figures/curves",
    "figures/filters",
    "figures/rank",
    "figures/sensitivity",
    "figures/spectrum",
    "figures/studies",
    "histories",
    "inputs",
    "plotting",
    "significance",
    "tables",
    "whitening",
]


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
        name: {**entry, "n": footprint.size_of(entry).n}
        for name, entry in DATASETS.items()
    }


rule tabulate:
    input:
        evaluations=[f"<results>/evaluation/{name}.csv" for name in CONVEX],
        sgd=[f"<results>/sgd/{name}.history.csv" for name in SGD],
        code=library("pages", "tables"),
    output:
        runs="<results>/tables/runs.csv",
        methods="<results>/tables/methods.csv",
        html=report(
            "<results>/tables/methods.html",
            caption="../report/methods.rst",
            category="Tables",
            labels={"table": "methods"},
        ),
    log:
        "<logs>/tabulate.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/tabulate.py"


rule claims:
    input:
        unpack(theory_claims),
        bias=bias_courses,
        runs="<results>/tables/runs.csv",
        code=library(
            "bias_claims",
            "claims",
            "pages",
            "significance",
            "study_claims",
            "tables",
            "theory/__init__",
            "theory/claims",
        ),
    output:
        claims="<results>/tables/claims.csv",
        html=report(
            "<results>/tables/claims.html",
            caption="../report/claims.rst",
            category="Tables",
            labels={"table": "claims"},
        ),
    log:
        "<logs>/claims.log",
    conda:
        "../../environment.yml"
    params:
        datasets=claimed_datasets,
        studies=lambda wc: STUDIES,
    script:
        "../scripts/claims.py"


rule tabulate_spectrum:
    input:
        whitening="<results>/whitening/{dataset}.safetensors",
        code=library(*DRAWING_MODULES),
    output:
        "<results>/figures/{dataset}/spectrum.csv",
    log:
        "<logs>/tabulate_spectrum/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        dataset="{dataset}",
        runs=lambda wc: {name: CONVEX[name] for name in runs_of(CONVEX, wc.dataset)},
    script:
        "../scripts/tabulate_spectrum.py"


rule tabulate_figure:
    input:
        unpack(figure_inputs),
        code=library(*DRAWING_MODULES),
    output:
        "<results>/figures/{dataset}/{figure}.csv",
    log:
        "<logs>/tabulate_figure/{dataset}.{figure}.log",
    wildcard_constraints:
        figure="|".join(name for name in FIGURES if name != "spectrum"),
    conda:
        "../../environment.yml"
    params:
        figure="{figure}",
        settings=figure_settings,
    script:
        "../scripts/tabulate_figure.py"


rule plot_figure:
    input:
        table="<results>/figures/{dataset}/{figure}.csv",
        code=library(*DRAWING_MODULES),
    output:
        pdf="<results>/figures/{dataset}/{figure}.pdf",
        png=report(
            "<results>/figures/{dataset}/{figure}.png",
            caption="../report/figures.rst",
            category="Figures",
            subcategory="{dataset}",
            labels=lambda wc: {"figure": FIGURES[wc.figure]},
        ),
    log:
        "<logs>/plot_figure/{dataset}.{figure}.log",
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        "../../environment.yml"
    params:
        figure="{figure}",
        settings=lambda wc: {"dataset": wc.dataset},
    script:
        "../scripts/plot_figure.py"
