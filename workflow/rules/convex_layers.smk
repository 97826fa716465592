# Differentiable convex layers: the experiments of Agrawal et al. (2019), by cvxpylayers, and the BN
# program as a layer.
CONVEX_LAYERS = section("convex_layers")
if CONVEX_LAYERS:
    OUTPUTS += figures(*(f"convex_layers/{name}" for name in CONVEX_LAYERS))
    CLAIMS["convexbn.experiments.convex_layers.statements.layers"] = {
        "tables": {
            name: [f"<results>/convex_layers/{name}.csv"]
            for name in sorted(CONVEX_LAYERS)
        },
        "settings": {},
    }


use rule measure as layer_gradients with:
    output:
        "<results>/convex_layers/gradients.csv",
    log:
        "<logs>/layer_gradients.log",
    params:
        code=code_of("measure", "convexbn.experiments.convex_layers.gradients"),
        function="convexbn.experiments.convex_layers.gradients.measure",
        arguments=lambda wc: Unordered(settings=CONVEX_LAYERS["gradients"]),


use rule plot as plot_layer_gradients with:
    input:
        table="<results>/convex_layers/gradients.csv",
    output:
        **drawn(
            "convex_layers/gradients",
            "convex_layers/gradients",
            "convex layers",
            "1 gradients",
        ),
    log:
        "<logs>/plot_layer_gradients.log",
    params:
        code=code_of("plot", "convexbn.experiments.convex_layers.figures"),
        function="convexbn.experiments.convex_layers.figures.gradients",


use rule measure as layer_poisoning with:
    output:
        "<results>/convex_layers/poisoning.csv",
    log:
        "<logs>/layer_poisoning.log",
    params:
        code=code_of("measure", "convexbn.experiments.convex_layers.poisoning"),
        function="convexbn.experiments.convex_layers.poisoning.measure",
        arguments=lambda wc: Unordered(settings=CONVEX_LAYERS["poisoning"]),


use rule plot as plot_layer_poisoning with:
    input:
        table="<results>/convex_layers/poisoning.csv",
    output:
        **drawn(
            "convex_layers/poisoning",
            "convex_layers/poisoning",
            "convex layers",
            "2 poisoned data",
        ),
    log:
        "<logs>/plot_layer_poisoning.log",
    params:
        code=code_of("plot", "convexbn.experiments.convex_layers.figures"),
        function="convexbn.experiments.convex_layers.figures.poisoning",


use rule measure as layer_control with:
    output:
        "<results>/convex_layers/control.csv",
    log:
        "<logs>/layer_control.log",
    params:
        code=code_of("measure", "convexbn.experiments.convex_layers.control"),
        function="convexbn.experiments.convex_layers.control.measure",
        arguments=lambda wc: Unordered(settings=CONVEX_LAYERS["control"]),


use rule plot as plot_layer_control with:
    input:
        table="<results>/convex_layers/control.csv",
    output:
        **drawn(
            "convex_layers/control",
            "convex_layers/control",
            "convex layers",
            "3 dynamic programming",
        ),
    log:
        "<logs>/plot_layer_control.log",
    params:
        code=code_of("plot", "convexbn.experiments.convex_layers.figures"),
        function="convexbn.experiments.convex_layers.figures.control",


use rule measure as layer_canonicalization with:
    output:
        "<results>/convex_layers/canonicalization.csv",
    log:
        "<logs>/layer_canonicalization.log",
    params:
        code=code_of("measure", "convexbn.experiments.convex_layers.canonicalization"),
        function="convexbn.experiments.convex_layers.canonicalization.measure",
        arguments=lambda wc: Unordered(settings=CONVEX_LAYERS["canonicalization"]),


use rule plot as plot_layer_canonicalization with:
    input:
        table="<results>/convex_layers/canonicalization.csv",
    output:
        **drawn(
            "convex_layers/canonicalization",
            "convex_layers/canonicalization",
            "convex layers",
            "4 canonicalization",
        ),
    log:
        "<logs>/plot_layer_canonicalization.log",
    params:
        code=code_of("plot", "convexbn.experiments.convex_layers.figures"),
        function="convexbn.experiments.convex_layers.figures.canonicalization",


use rule measure as layer_agreement with:
    output:
        "<results>/convex_layers/agreement.csv",
    log:
        "<logs>/layer_agreement.log",
    params:
        code=code_of("measure", "convexbn.experiments.convex_layers.agreement"),
        function="convexbn.experiments.convex_layers.agreement.measure",
        arguments=lambda wc: Unordered(settings=CONVEX_LAYERS["agreement"]),


use rule plot as plot_layer_agreement with:
    input:
        table="<results>/convex_layers/agreement.csv",
    output:
        **drawn(
            "convex_layers/agreement",
            "convex_layers/agreement",
            "convex layers",
            "5 agreement",
        ),
    log:
        "<logs>/plot_layer_agreement.log",
    params:
        code=code_of("plot", "convexbn.experiments.convex_layers.figures"),
        function="convexbn.experiments.convex_layers.figures.agreement",
