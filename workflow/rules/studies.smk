# Studies: the best rank and the advantage of truncation across data sets that differ in one thing.
STUDIES = checked(sheet.study_values, DATASETS, section("studies"))
for KIND, NAMED in STUDIES.items():
    checked(configs.check_names, f"studies of {KIND}", NAMED)
if CONVEX:
    OUTPUTS += figures(
        *(f"studies/{kind}-{study}" for kind in STUDIES for study in STUDIES[kind])
    )
    CLAIMS["convexbn.experiments.studies.statements.studies"] = {
        "tables": {"runs": ["<results>/tables/runs.csv"]},
        "settings": {"studies": STUDIES, "datasets": sheet.sized(DATASETS)},
    }


use rule tabulate_figure as tabulate_study with:
    input:
        runs=["<results>/tables/runs.csv"],
    output:
        "<results>/figures/studies/{kind}-{study}.csv",
    log:
        "<logs>/tabulate_study/{kind}-{study}.log",
    wildcard_constraints:
        kind="|".join(sheet.VARIED),
    params:
        code=code_of("tabulate_figure", "convexbn.experiments.studies.figures"),
        function="convexbn.experiments.studies.figures.table",
        settings=lambda wc: Unordered(values=STUDIES[wc.kind][wc.study], kind=wc.kind),


use rule plot as plot_study with:
    input:
        table="<results>/figures/studies/{kind}-{study}.csv",
    output:
        **drawn("studies/{kind}-{study}", "studies", "studies", "{kind}: {study}"),
    log:
        "<logs>/plot_study/{kind}-{study}.log",
    wildcard_constraints:
        kind="|".join(sheet.VARIED),
    params:
        code=code_of("plot", "convexbn.experiments.studies.figures"),
        function="convexbn.experiments.studies.figures.draw",
        settings=lambda wc: {"title": wc.study, "kind": wc.kind},
