# Studies: the best rank and the advantage of truncation across data sets that differ in one thing,
# and the methods on other draws of the same images.
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
TRENDS, DRAWS = (
    f"convexbn.experiments.studies.figures.{name}" for name in ("trends", "draws")
)


use rule tabulate_figure as tabulate_study with:
    input:
        runs=["<results>/tables/runs.csv"],
    output:
        "<results>/figures/studies/{kind}-{study}.csv",
    log:
        "<logs>/tabulate_study/{kind}-{study}.log",
    wildcard_constraints:
        kind="samples|noise",
    params:
        code=code_of("tabulate_figure", TRENDS),
        function=f"{TRENDS}.table",
        settings=lambda wc: Unordered(values=STUDIES[wc.kind][wc.study], kind=wc.kind),


use rule plot as plot_study with:
    input:
        table="<results>/figures/studies/{kind}-{study}.csv",
    output:
        **drawn("studies/{kind}-{study}", "studies", "studies", "{kind}: {study}"),
    log:
        "<logs>/plot_study/{kind}-{study}.log",
    wildcard_constraints:
        kind="samples|noise",
    params:
        code=code_of("plot", TRENDS),
        function=f"{TRENDS}.draw",
        settings=lambda wc: {
            "title": titles.study_words(STUDIES[wc.kind][wc.study], DATASETS),
            "kind": wc.kind,
        },


use rule tabulate_figure as tabulate_draws with:
    input:
        runs=["<results>/tables/runs.csv"],
    output:
        "<results>/figures/studies/draws-{study}.csv",
    log:
        "<logs>/tabulate_draws/{study}.log",
    params:
        code=code_of("tabulate_figure", DRAWS),
        function=f"{DRAWS}.table",
        settings=lambda wc: Unordered(values=STUDIES["draws"][wc.study]),


use rule plot as plot_draws with:
    input:
        table="<results>/figures/studies/draws-{study}.csv",
    output:
        **drawn("studies/draws-{study}", "draws", "studies", "draws: {study}"),
    log:
        "<logs>/plot_draws/{study}.log",
    params:
        code=code_of("plot", DRAWS),
        function=f"{DRAWS}.draw",
        settings=lambda wc: {
            "title": titles.study_words(STUDIES["draws"][wc.study], DATASETS)
        },
