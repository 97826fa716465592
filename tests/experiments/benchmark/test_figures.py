"""The figures of the benchmark."""

import pandas as pd
import pytest
from benchmark_cases import TOY
from sweep_features import make_features

from convexbn.experiments.benchmark import cases, engine, figures, tables
from convexbn.experiments.benchmark.passes import passes
from convexbn.experiments.benchmark.problems import small
from convexbn.pipeline.names import named
from convexbn.reporting import plotting

ENGINE = {"width": 2, "batch_size": 5, "epochs": 1, "networks": [1, 2]}


def columns_table() -> pd.DataFrame:
    """Two rounds of column generation and a solve over sampled gates, made by hand."""
    ways = [(tables.GENERATED, 2, 0.1, 1e-2), (tables.GENERATED, 3, 0.2, 0.0)]
    ways += [(tables.SAMPLED, 8, 0.3, 1e-3)]
    table = pd.DataFrame(ways, columns=["method", "gates", "seconds", "relative_excess"])
    last = [False, True, True]
    known = {"n": 20, "rank": 3, "share": 0.1, "neurons": table["gates"]}
    return table.assign(**known, last=last, converged=last)


def test_every_figure_is_drawn_from_its_table(tmp_path):
    points = {("n", 10): "toy", ("n", 20): "other"}
    both = pd.concat([TOY, TOY.assign(problem="other")])
    made = {
        "curves": tables.curves(both),
        "times": tables.times(both, [1e-2, 1e-4]),
        "memory": tables.memory(both),
        "scaling": tables.scaling(both, points, 1e-2),
        "passes": passes({"toy": small("gated", 1)}, repeats=1, seconds=0.001),
        "columns": columns_table(),
        "engine": engine.compare("tiny", ENGINE, make_features(), repeats=1),
    }
    sections = {"problems": {}, "scaling": {}, "engine": {}, "columns": {}}
    functions = {name: named(f) for name, f in cases.figures(sections).items()}
    assert made.keys() == functions.keys()
    columns = {"scaling": "size", "passes": "pass", "columns": "method", "engine": "method"}
    for name, table in made.items():
        column = columns.get(name, "solver")
        changed = table.replace({column: {table[column].iloc[0]: "brand-new"}})
        with pytest.raises(ValueError, match="'brand-new'"):
            functions[name](changed)
    for name, table in made.items():
        paths = tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"
        plotting.save(functions[name](table), *paths, {})
        assert all(path.stat().st_size > 1000 for path in paths)


def test_memory_of_a_solver_that_was_stopped_says_so():
    table = tables.memory(TOY).assign(status="solved")
    texts = [text.get_text() for text in figures.memory(table).axes[0].texts]
    assert all(text.endswith("x") for text in texts)
    stopped = figures.memory(table.assign(status="time limit 60 s, before it started"))
    assert [text.get_text() for text in stopped.axes[0].texts] == [
        f"{text} time limit 60 s, before it started" for text in texts
    ]
