# The paper's headline: tables of runs and methods, and the figures of each data set. A figure is
# drawn from one small table beside it, and depends on the certificates through the table of runs.
FIGURES = {  # label in the report
    "accuracy": "1 accuracy against time and weight decay",
    "rank": "2 accuracy against truncation rank",
    "curves": "3 accuracy and loss while training",
    "filters": "4 soft filters against truncation",
    "sensitivity": "5 sensitivity",
    "calibration": "6 calibration",
    "certificates": "7 certificates",
    "spectrum": "8 spectrum",
}
if CONVEX:
    OUTPUTS += ["<results>/tables/runs.csv", "<results>/tables/methods.csv"]
    CLAIMS["convexbn.experiments.headline.statements.headline"] = {
        "tables": {"runs": ["<results>/tables/runs.csv"]},
        "settings": {"datasets": sheet.sized(DATASETS)},
    }

for NAME in DATASETS:
    NAMES = sheet.figures_of(NAME, DATASETS, CONVEX, FIGURES)
    OUTPUTS += figures(*(f"{NAME}/{figure}" for figure in NAMES))


rule tabulate:
    input:
        evaluations=[f"<results>/evaluation/{name}.csv" for name in CONVEX],
        sgd=[f"<results>/sgd/{name}.history.csv" for name in SGD],
    output:
        **tabled("methods"),
        runs="<results>/tables/runs.csv",
    log:
        "<logs>/tabulate.log",
    conda:
        "../../environment.yml"
    params:
        code=code_of("tabulate"),
        aside=[name for name, run in SGD.items() if not run["candidate"]],
    script:
        "../scripts/tabulate.py"


rule tabulate_spectrum:
    input:
        whitening="<results>/whitening/{dataset}.safetensors",
    output:
        "<results>/figures/{dataset}/spectrum.csv",
    log:
        "<logs>/tabulate_spectrum/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        code=code_of("tabulate_spectrum"),
        dataset="{dataset}",
        runs=lambda wc: Unordered(sheet.runs_on(wc.dataset, CONVEX)),
    script:
        "../scripts/tabulate_spectrum.py"


# The other figures' tables are made from tables.
rule tabulate_figure:
    input:
        unpack(lambda wc: sheet.figure_tables(wc.figure, wc.dataset, CONVEX, SGD)),
    output:
        "<results>/figures/{dataset}/{figure}.csv",
    log:
        "<logs>/tabulate_figure/{dataset}.{figure}.log",
    wildcard_constraints:
        figure="|".join(name for name in FIGURES if name != "spectrum"),
    conda:
        "../../environment.yml"
    params:
        code=lambda wc: code_of(
            "tabulate_figure", f"convexbn.experiments.headline.figures.{wc.figure}"
        ),
        # As for images: what is in the file counts, not where the project lies.
        values=lambda wc: published(wc, fingerprints.of_file),
        published=lambda wc, output: published(wc, str),
        function="convexbn.experiments.headline.figures.{figure}.table",
        settings=lambda wc: Unordered(
            sheet.figure_settings(wc.figure, wc.dataset, CONVEX)
        ),
    script:
        "../scripts/tabulate_figure.py"


for NAME, LABEL in FIGURES.items():

    rule:
        name:
            f"plot_{NAME}"
        input:
            table=f"<results>/figures/{{dataset}}/{NAME}.csv",
        output:
            **drawn(f"{{dataset}}/{NAME}", f"headline/{NAME}", "{dataset}", LABEL),
        log:
            f"<logs>/plot_{NAME}/{{dataset}}.log",
        conda:
            "../../environment.yml"
        params:
            code=code_of("plot", f"convexbn.experiments.headline.figures.{NAME}"),
            function=f"convexbn.experiments.headline.figures.{NAME}.draw",
            settings=lambda wc: {"title": title_on(wc.dataset)},
        script:
            "../scripts/plot.py"
