# SGD against ridge regression in least squares.
RIDGE = section("ridge")
RIDGE_ENTRIES = lambda wc: (DATASETS[wc.ridge], RIDGE["images"][wc.ridge])
for NAME in RIDGE.get("images", {}):
    checked(checks.check_dataset, DATASETS, "ridge: images", NAME, True)
RIDGE_TABLES = {
    f"ridge_{part}": [f"<results>/ridge/{part}.csv"]
    for part in ("agreement", "panels", "gap")
    if part in RIDGE
}
if "images" in RIDGE:
    RIDGE_TABLES["ridge_images"] = [
        f"<results>/ridge/images/{name}.csv" for name in RIDGE["images"]
    ]
if RIDGE:
    OUTPUTS += figures(
        *(f"ridge/{part}" for part in ("panels", "gap") if part in RIDGE)
    )
    OUTPUTS += figures(*(f"ridge/images-{name}" for name in RIDGE.get("images", {})))
    CLAIMS["convexbn.experiments.ridge.statements.ridge"] = {
        "tables": RIDGE_TABLES,
        "settings": {},
    }


wildcard_constraints:
    ridge="|".join(RIDGE.get("images", {})),


use rule measure as ridge_panels with:
    output:
        "<results>/ridge/panels.csv",
    log:
        "<logs>/ridge_panels.log",
    params:
        code=code_of("measure", "convexbn.experiments.ridge.measure"),
        function="convexbn.experiments.ridge.measure.panels",
        arguments=lambda wc: Unordered(settings=RIDGE["panels"]),


# The exact risks of SGD against simulated ones.
use rule measure as ridge_agreement with:
    output:
        "<results>/ridge/agreement.csv",
    log:
        "<logs>/ridge_agreement.log",
    params:
        code=code_of("measure", "convexbn.experiments.ridge.measure"),
        function="convexbn.experiments.ridge.measure.agreement",
        arguments=lambda wc: Unordered(
            settings=RIDGE["agreement"]
            | {
                key: RIDGE["panels"][key]
                for key in ("d", "decays", "targets", "step_sizes")
            }
        ),


use rule measure as ridge_gap with:
    output:
        "<results>/ridge/gap.csv",
    log:
        "<logs>/ridge_gap.log",
    params:
        code=code_of("measure", "convexbn.experiments.ridge.measure"),
        function="convexbn.experiments.ridge.measure.gap",
        arguments=lambda wc: Unordered(settings=RIDGE["gap"]),


use rule measure as ridge_images with:
    input:
        unpack(lambda wc: sheet.data_of(wc.ridge)),
    output:
        "<results>/ridge/images/{ridge}.csv",
    log:
        "<logs>/ridge_images/{ridge}.log",
    resources:
        mem_mb=megabytes(footprint.ridge, RIDGE_ENTRIES),
        runtime=lambda wc, attempt: attempt * 240,
    params:
        code=code_of("measure", "convexbn.experiments.ridge.measure"),
        function="convexbn.experiments.ridge.measure.images",
        arguments=lambda wc: Unordered(
            name=wc.ridge, settings=RIDGE["images"][wc.ridge]
        ),


use rule plot as plot_ridge_panels with:
    input:
        table="<results>/ridge/panels.csv",
    output:
        **drawn("ridge/panels", "ridge/panels", "SGD against ridge", "1 samples needed"),
    log:
        "<logs>/plot_ridge_panels.log",
    params:
        code=code_of("plot", "convexbn.experiments.ridge.figures"),
        function="convexbn.experiments.ridge.figures.panels",


use rule plot as plot_ridge_gap with:
    input:
        table="<results>/ridge/gap.csv",
    output:
        **drawn("ridge/gap", "ridge/gap", "SGD against ridge", "2 quadratic gap"),
    log:
        "<logs>/plot_ridge_gap.log",
    params:
        code=code_of("plot", "convexbn.experiments.ridge.figures"),
        function="convexbn.experiments.ridge.figures.gap",


use rule plot as plot_ridge_images with:
    input:
        table="<results>/ridge/images/{ridge}.csv",
    output:
        **drawn(
            "ridge/images-{ridge}", "ridge/images", "SGD against ridge", "3 {ridge}"
        ),
    log:
        "<logs>/plot_ridge_images/{ridge}.log",
    params:
        code=code_of("plot", "convexbn.experiments.ridge.figures"),
        function="convexbn.experiments.ridge.figures.images",
        settings=lambda wc: {"title": titles.data_words(wc.ridge, DATASETS)},
