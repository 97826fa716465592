# The table and the figures of the theory, each drawn from its table alone.


rule tabulate_theorems:
    input:
        theorems=[f"<results>/theory/theorems/{name}.csv" for name in PROGRAMS],
        code=rests_on("tabulate_theorems"),
    output:
        theorems="<results>/tables/theorems.csv",
        html=report(
            "<results>/tables/theorems.html",
            caption="../report/theorems.rst",
            category="Tables",
            labels={"table": "theorems"},
        ),
    log:
        "<logs>/tabulate_theorems.log",
    conda:
        "../../environment.yml"
    script:
        "../scripts/tabulate_theorems.py"


rule plot_duality:
    input:
        tables=duality_tables,
        code=rests_on("plot_theory"),
    output:
        pdf="<results>/figures/theory/duality.pdf",
        png=report(
            "<results>/figures/theory/duality.png",
            caption="../report/duality.rst",
            category="Figures",
            subcategory="theory",
            labels={"figure": "1 strong duality"},
        ),
    log:
        "<logs>/plot_duality.log",
    conda:
        "../../environment.yml"
    params:
        figure="duality",
    script:
        "../scripts/plot_theory.py"


rule plot_depth:
    input:
        tables=["<results>/theory/depth.csv"],
        code=rests_on("plot_theory"),
    output:
        pdf="<results>/figures/theory/depth.pdf",
        png=report(
            "<results>/figures/theory/depth.png",
            caption="../report/depth.rst",
            category="Figures",
            subcategory="theory",
            labels={"figure": "2 closed form, depths"},
        ),
    log:
        "<logs>/plot_depth.log",
    conda:
        "../../environment.yml"
    params:
        figure="depth",
    script:
        "../scripts/plot_theory.py"


rule plot_counting:
    input:
        tables=["<results>/theory/counting.csv"],
        code=rests_on("plot_theory"),
    output:
        pdf="<results>/figures/theory/counting.pdf",
        png=report(
            "<results>/figures/theory/counting.png",
            caption="../report/counting.rst",
            category="Figures",
            subcategory="theory",
            labels={"figure": "3 arrangements"},
        ),
    log:
        "<logs>/plot_counting.log",
    conda:
        "../../environment.yml"
    params:
        figure="counting",
    script:
        "../scripts/plot_theory.py"


rule plot_sampling:
    input:
        tables=["<results>/theory/sampling.csv"],
        code=rests_on("plot_theory"),
    output:
        pdf="<results>/figures/theory/sampling.pdf",
        png=report(
            "<results>/figures/theory/sampling.png",
            caption="../report/sampling.rst",
            category="Figures",
            subcategory="theory",
            labels={"figure": "4 sampled arrangements"},
        ),
    log:
        "<logs>/plot_sampling.log",
    conda:
        "../../environment.yml"
    params:
        figure="sampling",
    script:
        "../scripts/plot_theory.py"


rule plot_interpolation:
    input:
        tables=["<results>/theory/interpolation.csv"],
        code=rests_on("plot_theory"),
    output:
        pdf="<results>/figures/theory/interpolation.pdf",
        png=report(
            "<results>/figures/theory/interpolation.png",
            caption="../report/interpolation.rst",
            category="Figures",
            subcategory="theory",
            labels={"figure": "5 functions learned"},
        ),
    log:
        "<logs>/plot_interpolation.log",
    conda:
        "../../environment.yml"
    params:
        figure="interpolation",
    script:
        "../scripts/plot_theory.py"
