# The headline's comparison image by image, where both of its methods were run.
from convexbn.reporting import methods

COMPARED = [
    name
    for name in DATASETS
    if {methods.TRUNCATED, methods.SGD}
    <= {
        method_of(run)
        for runs in (CONVEX, SGD)
        for run in sheet.candidates_on(name, runs).values()
    }
]
SOLVED_ON = lambda wc: sheet.candidates_on(wc.compared, CONVEX)
TRAINED_ON = lambda wc: sheet.candidates_on(wc.compared, SGD)
OUTPUTS += figures(
    *(f"likeness/{name}" for name in COMPARED if DATASETS[name]["figures"])
)
if COMPARED:
    CLAIMS["convexbn.experiments.headline.likeness.statements.likeness"] = {
        "tables": {"images": [f"<results>/likeness/{name}.csv" for name in COMPARED]},
        "settings": {
            "datasets": sheet.sized(DATASETS),
            "draws": {
                study: values
                for study, values in STUDIES.get("draws", {}).items()
                if set(values) <= set(COMPARED)
            },
        },
    }


wildcard_constraints:
    compared="|".join(COMPARED),


rule likeness:
    input:
        unpack(lambda wc: sheet.data_of(wc.compared)),
        gates=lambda wc: [
            f"<results>/gates/{name}.safetensors" for name in SOLVED_ON(wc)
        ],
        solutions=lambda wc: [
            f"<results>/convex/{name}.safetensors" for name in SOLVED_ON(wc)
        ],
        evaluations=lambda wc: [
            f"<results>/evaluation/{name}.csv" for name in SOLVED_ON(wc)
        ],
        networks=lambda wc: [
            f"<results>/sgd/{name}.safetensors" for name in TRAINED_ON(wc)
        ],
        histories=lambda wc: [
            f"<results>/sgd/{name}.history.csv" for name in TRAINED_ON(wc)
        ],
    output:
        "<results>/likeness/{compared}.csv",
    log:
        "<logs>/likeness/{compared}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(
            footprint.likeness,
            lambda wc: (DATASETS[wc.compared], SOLVED_ON(wc).values()),
        ),
        gpu=GPU,
        runtime=minutes(
            durations.likeness,
            lambda wc: (DATASETS[wc.compared], SOLVED_ON(wc).values()),
            GPU,
        ),
    params:
        code=code_of("likeness"),
        # In the order of the inputs.
        solved=lambda wc: {
            name: Unordered(sheet.lasting(run)) for name, run in SOLVED_ON(wc).items()
        },
        trained=lambda wc: {
            name: Unordered(sheet.lasting(run)) for name, run in TRAINED_ON(wc).items()
        },
        seeds=lambda wc: {
            name: sheet.seeds_of(config, run) for name, run in TRAINED_ON(wc).items()
        },
        device=config["device"],
    script:
        "../scripts/likeness.py"


use rule plot as plot_likeness with:
    input:
        table="<results>/likeness/{compared}.csv",
    output:
        **drawn("likeness/{compared}", "likeness", "likeness", "{compared}"),
    log:
        "<logs>/plot_likeness/{compared}.log",
    params:
        code=code_of("plot", "convexbn.experiments.headline.likeness.figures"),
        function="convexbn.experiments.headline.likeness.figures.likeness",
        settings=lambda wc: {
            "title": titles.title_of(
                wc.compared,
                DATASETS,
                dict(enumerate([*CONVEX.values(), *SGD.values()])),
            )
        },
