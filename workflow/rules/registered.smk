# The sections of the config, claims and figures that the other rules files have registered.
from convexbn.pipeline import shown

checked(checks.check_keys, config, SECTIONS)
if CLAIMS:
    OUTPUTS += ["<results>/tables/claims.csv"]


# Judged by the functions of the experiments.
rule claims:
    input:
        **checked(sheet.claim_tables, CLAIMS),
    output:
        **tabled("claims"),
    log:
        "<logs>/claims.log",
    conda:
        "../../environment.yml"
    params:
        code=code_of("claims", *CLAIMS),
        tables={judge: sorted(claim["tables"]) for judge, claim in CLAIMS.items()},
        settings=Unordered(
            {judge: claim["settings"] for judge, claim in CLAIMS.items()}
        ),
    script:
        "../scripts/claims.py"


# The report, of what has been made: it has no input, so that nothing is made for it. `make report`
# forces it.
rule page:
    output:
        "<results>/report/index.html",
    log:
        "<logs>/page.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_of("page"),
        figures=lambda wc, output: shown.figures(
            workflow.rules, OUTPUTS, Path(output[0]).parents[1]
        ),
        asked=lambda wc, output: shown.tables(OUTPUTS, Path(output[0]).parents[1]),
        texts=f"{PROJECT}/workflow/report",
        sources=lambda wc: [str(path) for path in workflow.configfiles],
    script:
        "../scripts/page.py"


# Tables and figures are made where Snakemake runs, also on a cluster: each takes seconds. They are
# known by their scripts, as a workflow that imports these rules gives them other names.
SCRIPTS = {
    made.name: os.path.basename(made.script)
    for made in workflow.rules
    if made.basedir == workflow.current_basedir
}
SHORT = ("claims", "benchmark_tables", "plot", "tabulate")
workflow.localrules(
    *(name for name, script in SCRIPTS.items() if script.startswith(SHORT))
)


# Draws only: `make figures` allows no rule but this one and the plots.
rule figures:
    input:
        [path for path in OUTPUTS if path.endswith((".pdf", ".png"))],


# For archives: `make crate`.
rule crate:
    input:
        OUTPUTS,
    output:
        "<results>/crate.zip",
    log:
        "<logs>/crate.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code_of("crate"),
        config=Unordered(config),  # which the archive holds
        sources=lambda wc: [str(path) for path in workflow.configfiles],
    script:
        "../scripts/crate.py"
