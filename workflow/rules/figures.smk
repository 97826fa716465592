# Tables and figures. Each figure depends on the certificates, through the table of runs.


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
        runs="<results>/tables/runs.csv",
        code=library("claims", "pages", "tables", "theory/__init__", "theory/claims"),
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
        sources={name: dataset["source"] for name, dataset in DATASETS.items()},
    script:
        "../scripts/claims.py"


rule plot_accuracy:
    input:
        runs="<results>/tables/runs.csv",
        convex=convex_histories,
        sgd=sgd_histories,
        published=f"{workflow.basedir}/config/published.csv",
        code=library("figures", "plotting", "tables"),
    output:
        pdf="<results>/figures/{dataset}/accuracy.pdf",
        png=report(
            "<results>/figures/{dataset}/accuracy.png",
            caption="../report/accuracy.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"figure": "1 accuracy against time and weight decay"},
        ),
    log:
        "<logs>/plot_accuracy/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        dataset="{dataset}",
    script:
        "../scripts/plot_accuracy.py"


rule plot_rank:
    input:
        runs="<results>/tables/runs.csv",
        published=f"{workflow.basedir}/config/published.csv",
        code=library("figures", "plotting", "tables"),
    output:
        pdf="<results>/figures/{dataset}/rank.pdf",
        png=report(
            "<results>/figures/{dataset}/rank.png",
            caption="../report/rank.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"figure": "2 accuracy against truncation rank"},
        ),
    log:
        "<logs>/plot_rank/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        dataset="{dataset}",
    script:
        "../scripts/plot_rank.py"


rule plot_certificates:
    input:
        runs="<results>/tables/runs.csv",
        histories=convex_histories,
        code=library("figures", "plotting", "tables"),
    output:
        pdf="<results>/figures/{dataset}/certificates.pdf",
        png=report(
            "<results>/figures/{dataset}/certificates.png",
            caption="../report/certificates.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"figure": "3 certificates"},
        ),
    log:
        "<logs>/plot_certificates/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        dataset="{dataset}",
        tolerance={name: run["tolerance"] for name, run in CONVEX.items()},
    script:
        "../scripts/plot_certificates.py"


rule plot_spectrum:
    input:
        whitening="<results>/whitening/{dataset}.safetensors",
        code=library("figures", "inputs", "plotting", "tables", "whitening"),
    output:
        pdf="<results>/figures/{dataset}/spectrum.pdf",
        png=report(
            "<results>/figures/{dataset}/spectrum.png",
            caption="../report/spectrum.rst",
            category="Figures",
            subcategory="{dataset}",
            labels={"figure": "4 spectrum"},
        ),
    log:
        "<logs>/plot_spectrum/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        dataset="{dataset}",
        runs=lambda wc: {name: CONVEX[name] for name in runs_of(CONVEX, wc.dataset)},
    script:
        "../scripts/plot_spectrum.py"
