# The headline's comparison image by image, where SGD and a program to compare with it were run.
from convexbn.reporting.methods import COMPARISONS

SOLVED_ON = lambda name: sheet.candidates_on(name, CONVEX)
TRAINED_ON = lambda name: sheet.candidates_on(name, SGD)
ON_IMAGES = []  # the data sets
for NAME in DATASETS:
    RUNS = (*SOLVED_ON(NAME).values(), *TRAINED_ON(NAME).values())
    METHODS = set(map(method_of, RUNS))
    if any(set(pair) <= METHODS for pair in COMPARISONS if pair.worse == "SGD"):
        ON_IMAGES.append(NAME)
OUTPUTS += figures(
    *(f"likeness/{name}" for name in ON_IMAGES if DATASETS[name]["figures"])
)
if ON_IMAGES:
    CLAIMS["convexbn.experiments.headline.likeness.statements.likeness"] = {
        "tables": {"images": [f"<results>/likeness/{name}.csv" for name in ON_IMAGES]},
        "settings": {
            "datasets": sheet.sized(DATASETS),
            "draws": STUDIES.get("draws", {}),
        },
    }


wildcard_constraints:
    judged="|".join(ON_IMAGES),


rule likeness:
    input:
        unpack(lambda wc: sheet.data_of(wc.judged)),
        gates=lambda wc: [
            f"<results>/gates/{name}.safetensors" for name in SOLVED_ON(wc.judged)
        ],
        solutions=lambda wc: [
            f"<results>/convex/{name}.safetensors" for name in SOLVED_ON(wc.judged)
        ],
        evaluations=lambda wc: [
            f"<results>/evaluation/{name}.csv" for name in SOLVED_ON(wc.judged)
        ],
        networks=lambda wc: [
            f"<results>/sgd/{name}.safetensors" for name in TRAINED_ON(wc.judged)
        ],
        histories=lambda wc: [
            f"<results>/sgd/{name}.history.csv" for name in TRAINED_ON(wc.judged)
        ],
    output:
        "<results>/likeness/{judged}.csv",
    log:
        "<logs>/likeness/{judged}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(
            footprint.likeness,
            lambda wc: (
                DATASETS[wc.judged],
                SOLVED_ON(wc.judged).values(),
                TRAINED_ON(wc.judged).values(),
            ),
        ),
        gpu=GPU,
        runtime=minutes(
            durations.likeness,
            lambda wc: (DATASETS[wc.judged], SOLVED_ON(wc.judged).values()),
            GPU,
        ),
    params:
        code=code_of("likeness"),
        # In the order of the inputs.
        solved=lambda wc: Unordered(
            {name: sheet.lasting(run) for name, run in SOLVED_ON(wc.judged).items()}
        ),
        trained=lambda wc: Unordered(
            {name: sheet.lasting(run) for name, run in TRAINED_ON(wc.judged).items()}
        ),
        seeds=lambda wc: Unordered(
            {
                name: sheet.seeds_of(config, run)
                for name, run in TRAINED_ON(wc.judged).items()
            }
        ),
        device=config["device"],
    script:
        "../scripts/likeness.py"


use rule plot as plot_likeness with:
    input:
        table="<results>/likeness/{judged}.csv",
    output:
        **drawn("likeness/{judged}", "likeness", "likeness", "{judged}"),
    log:
        "<logs>/plot_likeness/{judged}.log",
    params:
        code=code_of("plot", "convexbn.experiments.headline.likeness.figures"),
        function="convexbn.experiments.headline.likeness.figures.likeness",
        settings=lambda wc: {"title": title_on(wc.judged)},
