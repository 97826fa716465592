# Column generation against sampled gates.


ruleorder: plot_benchmark_columns > plot_benchmark


rule benchmark_columns:
    input:
        features=lambda wc: columns_input("data/{}/features"),
        whitening=lambda wc: columns_input("whitening/{}"),
        code=rests_on("benchmark_columns"),
    output:
        "<results>/benchmark/columns.csv",
    log:
        "<logs>/benchmark_columns.log",
    conda:
        "../../environment.yml"
    # All cores, so that nothing runs beside it; the solvers themselves take config["threads"].
    threads: workflow.cores
    resources:
        mem_mb=lambda wc: BENCHMARK["memory"],
        runtime=120,
    params:
        settings=lambda wc: BENCHMARK["columns"] | {"threads": config["threads"]},
        seed=config["seed"],
    script:
        "../scripts/benchmark_columns.py"


rule plot_benchmark_columns:
    input:
        table="<results>/benchmark/columns.csv",
        code=rests_on("plot_benchmark"),
    output:
        pdf="<results>/figures/benchmark/columns.pdf",
        png=report(
            "<results>/figures/benchmark/columns.png",
            caption="../report/columns.rst",
            category="Figures",
            subcategory="benchmark",
            labels={"figure": "columns"},
        ),
    log:
        "<logs>/plot_benchmark_columns.log",
    conda:
        "../../environment.yml"
    params:
        figure="columns",
    script:
        "../scripts/plot_benchmark.py"
