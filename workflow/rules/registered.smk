# The sections of the config, claims and figures that the other rules files have registered.
checked(sheet.check_keys, config, SECTIONS)
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
    localrule: True
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


# Draws only: `make figures` allows no rule but this one and the plots.
rule figures:
    input:
        [path for path in OUTPUTS if path.endswith((".pdf", ".png"))],
