# The convex programs: gates, solutions, certificates, accuracies.


rule sample_gates:
    input:
        unpack(convex_inputs),
        code=rests_on("sample_gates"),
    output:
        "<results>/gates/{run}.safetensors",
    log:
        "<logs>/sample_gates/{run}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=gates_memory,
        runtime=30,
    params:
        run=gate_params,
        seeds=lambda wc: seeds_of(CONVEX[wc.run]),
    script:
        "../scripts/sample_gates.py"


rule solve:
    input:
        unpack(convex_inputs),
        gates="<results>/gates/{run}.safetensors",
        code=rests_on("solve"),
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
    threads: config["threads"]
    resources:
        mem_mb=convex_memory,
        gpu=GPU,
        runtime=720,
    params:
        run=convex_params,
        labels=convex_labels,
        device=config["device"],
    script:
        "../scripts/solve.py"


rule certify:
    input:
        unpack(convex_inputs),
        gates="<results>/gates/{run}.safetensors",
        solutions="<results>/convex/{run}.safetensors",
        code=rests_on("certify"),
    output:
        "<results>/certificates/{run}.json",
    log:
        "<logs>/certify/{run}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=convex_memory,
        gpu=GPU,
        runtime=120,
    params:
        run=convex_params,
        device=config["device"],
    script:
        "../scripts/certify.py"


rule evaluate:
    input:
        unpack(convex_inputs),
        gates="<results>/gates/{run}.safetensors",
        solutions="<results>/convex/{run}.safetensors",
        certificates="<results>/certificates/{run}.json",
        code=rests_on("evaluate"),
    output:
        "<results>/evaluation/{run}.csv",
    log:
        "<logs>/evaluate/{run}.log",
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=convex_memory,
        gpu=GPU,
        runtime=120,
    params:
        run=convex_params,
        labels=evaluation_labels,
        device=config["device"],
    script:
        "../scripts/evaluate.py"
