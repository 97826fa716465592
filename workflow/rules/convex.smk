# The convex programs: gates, solutions, certificates, accuracies.
from convexbn.pipeline import grids

section("sweep")
config.update(checked(grids.expanded, config))
CONVEX = section("convex")
checked(checks.check_runs, DATASETS, CONVEX)
checked(configs.check_names, "convex runs", CONVEX)
CONVEX_RUN = lambda wc: with_dataset(CONVEX[wc.run])


wildcard_constraints:
    # Not the names: of thousands, each path would be searched for all.
    run=configs.NAME,


rule sample_gates:
    input:
        unpack(lambda wc: sheet.data_of(CONVEX[wc.run]["dataset"])),
    output:
        "<results>/gates/{run}.safetensors",
    log:
        "<logs>/sample_gates/{run}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(footprint.gates, CONVEX_RUN),
        runtime=minutes(durations.gates, CONVEX_RUN),
    params:
        code=code_of("sample_gates"),
        run=lambda wc: Unordered(sheet.gate_settings(CONVEX[wc.run])),
        seeds=lambda wc: sheet.seeds_of(config, CONVEX[wc.run]),
    script:
        "../scripts/sample_gates.py"


rule solve:
    input:
        unpack(lambda wc: sheet.data_of(CONVEX[wc.run]["dataset"])),
        gates="<results>/gates/{run}.safetensors",
    output:
        solutions="<results>/convex/{run}.safetensors",
        history="<results>/convex/{run}.history.csv",
    log:
        "<logs>/solve/{run}.log",
    benchmark:
        "<benchmarks>/solve/{run}.tsv"
    priority: LONG
    conda:
        "../../environment.yml"
    threads: lambda wc: CONVEX[wc.run]["processes"] * config["threads"]
    resources:
        mem_mb=megabytes(footprint.convex, CONVEX_RUN),
        gpu=lambda wc: CONVEX[wc.run]["processes"] * GPU,
        runtime=minutes(durations.convex, CONVEX_RUN, GPU),
    params:
        code=code_of("solve"),
        run=lambda wc: Unordered(sheet.lasting(CONVEX[wc.run])),
        labels=lambda wc: labels_of(wc.run, CONVEX[wc.run]),
        device=config["device"],
    script:
        "../scripts/solve.py"


# Threads, memory and GPUs are those of a node; `mpi` makes the job one of several tasks.
OVER_NODES = [name for name, run in CONVEX.items() if run["nodes"] > 1]
if OVER_NODES and ON_CLUSTER:

    ruleorder: solve_over_nodes > solve

    use rule solve as solve_over_nodes with:
        log:
            "<logs>/solve_over_nodes/{run}.log",
        wildcard_constraints:
            run="|".join(OVER_NODES),
        threads: lambda wc: CONVEX[wc.run]["processes"] * config["threads"] // CONVEX[wc.run]["nodes"]
        resources:
            mem_mb=megabytes(footprint.of_node, CONVEX_RUN),
            gres=lambda wc: sheet.gpus_of_node(CONVEX[wc.run], GPU),
            runtime=minutes(durations.convex, CONVEX_RUN, GPU),
            nodes=lambda wc: CONVEX[wc.run]["nodes"],
            tasks=lambda wc: CONVEX[wc.run]["nodes"],
            tasks_per_gpu=0,  # else the plugin takes `tasks` for it
            mpi="srun",


rule certify:
    input:
        unpack(lambda wc: sheet.data_of(CONVEX[wc.run]["dataset"])),
        gates="<results>/gates/{run}.safetensors",
        solutions="<results>/convex/{run}.safetensors",
    output:
        "<results>/certificates/{run}.json",
    log:
        "<logs>/certify/{run}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(footprint.judged, CONVEX_RUN),
        gpu=GPU,
        runtime=minutes(durations.judged, CONVEX_RUN, GPU),
    params:
        code=code_of("certify"),
        run=lambda wc: Unordered(sheet.lasting(CONVEX[wc.run])),
        device=config["device"],
    script:
        "../scripts/certify.py"


rule evaluate:
    input:
        unpack(lambda wc: sheet.data_of(CONVEX[wc.run]["dataset"])),
        gates="<results>/gates/{run}.safetensors",
        solutions="<results>/convex/{run}.safetensors",
        certificates="<results>/certificates/{run}.json",
    output:
        "<results>/evaluation/{run}.csv",
    log:
        "<logs>/evaluate/{run}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=megabytes(footprint.judged, CONVEX_RUN),
        gpu=GPU,
        runtime=minutes(durations.judged, CONVEX_RUN, GPU),
    params:
        code=code_of("evaluate"),
        run=lambda wc: Unordered(sheet.lasting(CONVEX[wc.run])),
        labels=lambda wc: labels_of(
            wc.run, CONVEX[wc.run], "candidate", "loss", "penalty"
        ),
        device=config["device"],
    script:
        "../scripts/evaluate.py"
