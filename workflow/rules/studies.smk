# How things move across data sets that differ in one thing. A config without studies makes none.

# What varies in each kind of study, and its value for a data set.
VARIED = {
    "samples": ("train", lambda entry: footprint.size_of(entry).n),
    "noise": ("label_noise", lambda entry: entry["label_noise"]),
}


def study_values(kind, study):
    """Return what varies in a study, by data set; refuse a study in which more does."""
    varied, value = VARIED[kind]
    names = config["studies"][kind][study]
    if unknown := [name for name in names if name not in DATASETS]:
        raise WorkflowError(
            f"study '{study}' names the dataset '{unknown[0]}', which is not in the config; "
            f"choose of {', '.join(DATASETS)}, or add it under datasets:"
        )
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


rule tabulate_study:
    input:
        runs=["<results>/tables/runs.csv"],
        code=library(*DRAWING_MODULES),
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
        code=library(*DRAWING_MODULES),
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
