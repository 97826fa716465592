# How things move across data sets that differ in one thing. A config without studies makes none.


rule tabulate_study:
    input:
        runs=["<results>/tables/runs.csv"],
        code=rests_on("tabulate_figure"),
    output:
        "<results>/figures/studies/{kind}-{study}.csv",
    log:
        "<logs>/tabulate_study/{kind}-{study}.log",
    wildcard_constraints:
        kind="|".join(VARIED),
    conda:
        "../../environment.yml"
    params:
        figure="studies",
        settings=lambda wc: {
            "values": STUDIES[wc.kind][wc.study],
            "kind": wc.kind,
        },
    script:
        "../scripts/tabulate_figure.py"


rule plot_study:
    input:
        table="<results>/figures/studies/{kind}-{study}.csv",
        code=rests_on("plot_figure"),
    output:
        pdf="<results>/figures/studies/{kind}-{study}.pdf",
        png=report(
            "<results>/figures/studies/{kind}-{study}.png",
            caption="../report/studies.rst",
            category="Figures",
            subcategory="studies",
            labels={"figure": "{kind}: {study}"},
        ),
    log:
        "<logs>/plot_study/{kind}-{study}.log",
    wildcard_constraints:
        kind="|".join(VARIED),
    conda:
        "../../environment.yml"
    params:
        figure="studies",
        settings=lambda wc: {"title": wc.study, "kind": wc.kind},
    script:
        "../scripts/plot_figure.py"
