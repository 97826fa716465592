# From a source of images to whitened features.
from convexbn.pipeline import fingerprints

DATASETS = section("datasets")
checked(configs.check_names, "datasets", DATASETS, sheet.FOLDERS)
for NAME, ENTRY in DATASETS.items():
    checked(checks.check_images, NAME, ENTRY)
    if "path" in ENTRY:
        ENTRY["path"] = checked(configs.folder, f"path of '{NAME}'", ENTRY["path"])
DATASET = lambda wc: [DATASETS[wc.dataset]]
IMAGES = {sheet.images_of(name, DATASETS): entry for name, entry in DATASETS.items()}


wildcard_constraints:
    dataset="|".join(DATASETS),
    images="|".join(IMAGES),


rule ingest:
    output:
        "<results>/images/{images}.safetensors",
    log:
        "<logs>/ingest/{images}.log",
    benchmark:
        "<benchmarks>/ingest/{images}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=megabytes(footprint.images, lambda wc: [IMAGES[wc.images]]),
        runtime=lambda wc, attempt: attempt * 60,
    params:
        code=code_of("ingest"),
        source=lambda wc: Unordered(sheet.source_of(IMAGES[wc.images])),
        content=lambda wc: checked(
            fingerprints.of_images, IMAGES[wc.images].get("path")
        ),
        # A parameter with `output` is not compared: images that were moved are the same.
        path=lambda wc, output: IMAGES[wc.images].get("path"),
        data_dir=lambda wc, output: config["data_dir"],
        download_to="results/data/raw",
    script:
        "../scripts/ingest.py"


rule preprocess:
    input:
        images=lambda wc: f"<results>/images/{sheet.images_of(wc.dataset, DATASETS)}.safetensors",
    output:
        "<results>/data/{dataset}/features.safetensors",
    log:
        "<logs>/preprocess/{dataset}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=megabytes(footprint.features, DATASET),
        runtime=lambda wc, attempt: attempt * 20,
    params:
        code=code_of("preprocess"),
        dataset=lambda wc: Unordered(sheet.view_of(DATASETS[wc.dataset])),
        seed=config["seed"],
    script:
        "../scripts/preprocess.py"


rule whiten:
    input:
        features="<results>/data/{dataset}/features.safetensors",
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
        mem_mb=megabytes(footprint.whitening, DATASET),
        runtime=minutes(durations.whitening, DATASET),
    params:
        code=code_of("whiten"),
    script:
        "../scripts/whiten.py"
