# Tables and figures. Each figure is drawn from one small table beside it, made from the big ones;
# each depends on the certificates, through the table of runs.


rule tabulate:
    input:
        evaluations=[f"<results>/evaluation/{name}.csv" for name in CONVEX],
        sgd=[f"<results>/sgd/{name}.history.csv" for name in SGD],
        code=rests_on("tabulate"),
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
        code=rests_on("claims"),
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
        code=rests_on("tabulate_spectrum"),
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
        code=rests_on("tabulate_figure"),
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
        code=rests_on("plot_figure"),
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
