# From a source of images to whitened features.
DATASETS = section("datasets")
IMAGES = {sheet.images_of(*item): sheet.source_of(item[1]) for item in DATASETS.items()}


wildcard_constraints:
    dataset="|".join(DATASETS),
    images="|".join(IMAGES),


rule ingest:
    input:
        code=rests_on("ingest"),
    output:
        "<results>/images/{images}.safetensors",
    log:
        "<logs>/ingest/{images}.log",
    benchmark:
        "<benchmarks>/ingest/{images}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=lambda wc: footprint.images(IMAGES[wc.images]),
        runtime=60,
    params:
        source=lambda wc: IMAGES[wc.images],
        data_dir=config["data_dir"],
        download_to="results/data/raw",
    script:
        "../scripts/ingest.py"


rule preprocess:
    input:
        images=lambda wc: f"<results>/images/{sheet.images_of(wc.dataset, DATASETS[wc.dataset])}.safetensors",
        code=rests_on("preprocess"),
    output:
        "<results>/data/{dataset}/features.safetensors",
    log:
        "<logs>/preprocess/{dataset}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=lambda wc: footprint.features(DATASETS[wc.dataset]),
        runtime=20,
    params:
        dataset=lambda wc: sheet.view_of(DATASETS[wc.dataset]),
        seed=config["seed"],
    script:
        "../scripts/preprocess.py"


rule whiten:
    input:
        features="<results>/data/{dataset}/features.safetensors",
        code=rests_on("whiten"),
    output:
        "<results>/whitening/{dataset}.safetensors",
    log:
        "<logs>/whiten/{dataset}.log",
    benchmark:
        "<benchmarks>/whiten/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: config["threads"]
    resources:
        mem_mb=lambda wc: footprint.whitening(DATASETS[wc.dataset]),
        runtime=120,
    script:
        "../scripts/whiten.py"
