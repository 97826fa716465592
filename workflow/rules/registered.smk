# What the other rules files have registered: sections of the config, claims, figures.
checked(sheet.check_keys, config, SECTIONS)
if CLAIMS:
    OUTPUTS += ["<results>/tables/claims.csv"]


# Judged by the functions of the experiments.
rule claims:
    input:
        **{
            name: paths
            for claim in CLAIMS.values()
            for name, paths in claim["tables"].items()
        },
        code=rests_on("claims", *CLAIMS),
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
        tables={judge: list(claim["tables"]) for judge, claim in CLAIMS.items()},
        settings={judge: claim["settings"] for judge, claim in CLAIMS.items()},
    script:
        "../scripts/claims.py"


# Draws only: `make figures` allows no rule but this one and the plots.
rule figures:
    input:
        [path for path in OUTPUTS if path.endswith((".pdf", ".png"))],
