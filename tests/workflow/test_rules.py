"""The rules as Snakemake reads them: which script each runs, on which functions, on which code."""

import re
from pathlib import Path

import pytest
import workflow_runs
from snakemake.iocontainers import Wildcards
from workflow_runs import ROOT

from convexbn.pipeline.dependencies import code_of
from convexbn.pipeline.names import named

SCRIPTS = ROOT / "workflow" / "scripts"


@pytest.fixture(scope="module", params=["test.yaml", "benchmark.yaml"])
def rules(request):
    """The rules of a config, but for templates: those have no output."""
    return [rule for rule in workflow_runs.rules(ROOT / "config" / request.param) if rule.output]


def instances(rule):
    """Yield the names of the functions that a rule's script is given, and the code's digest."""
    params = dict(rule.params.items())
    code, function = params["code"], params.get("function")
    if not callable(code):
        yield [function] if function else list(params.get("tables", ())), code
        return
    ((wildcard, values),) = rule.wildcard_constraints.items()
    for value in re.sub(r"\W", " ", values).split():
        found = Wildcards(fromdict={wildcard: value})
        name = function(found) if callable(function) else function.format(**found)
        yield [name], code(found)


def test_every_rule_has_the_code_it_rests_on_as_a_parameter_and_no_other(rules):
    """Snakemake does not see an edited module by itself; some are only named in parameters."""
    for rule in rules:
        for names, code in instances(rule):
            script = SCRIPTS / Path(rule.script).name
            assert code == code_of(script, *names), rule.name


def test_no_input_is_named_by_a_path_from_the_root(rules):
    """A project that was moved would have other inputs, and every job would run again."""
    paths = [str(path) for rule in rules for path in rule.input if not callable(path)]
    assert len(paths) > 10
    assert not [path for path in paths if Path(path).is_absolute()]


def test_every_log_is_named_after_its_rule(rules):
    """So `make status` knows the jobs of a rule, and a record the minutes of its stage."""
    found = {rule.name: str(log).split("/logs/")[1] for rule in rules for log in rule.log}
    assert len(found) > 5
    for name, log in found.items():
        assert log.removesuffix(".log").split("/")[0] == name


def test_every_function_that_a_rule_names_exists(rules):
    found = [name for rule in rules for names, _ in instances(rule) for name in names]
    assert len(found) > 5
    assert all(callable(named(name)) for name in found)


def test_every_script_has_a_rule(rules):
    assert {Path(rule.script).stem for rule in rules} == {
        path.stem for path in SCRIPTS.glob("*.py")
    }


def test_every_plot_is_found_by_make_figures(rules):
    """By its name, of which the Makefile knows the beginning."""
    drawn = [rule.name for rule in rules if Path(rule.script).stem == "plot"]
    assert len(drawn) >= 7
    assert all(name.startswith("plot_") for name in drawn)


def test_every_figure_of_the_tiny_config_is_asked_for():
    """A rules file that does not add to OUTPUTS would make nothing, without a word."""
    rules = {rule.name: rule for rule in workflow_runs.rules(ROOT / "config" / "test.yaml")}
    asked = [str(path) for path in rules.pop("all").input]
    plots = [rule for name, rule in rules.items() if name.startswith("plot_")]
    # What has no input is drawn from a part that the config leaves out.
    drawn = [rule.output.png for rule in plots if all(paths for _, paths in rule.input.items())]
    drawn = [png for png in drawn if "/benchmark/" not in png]  # has a config of its own
    assert len(drawn) >= 15
    missing = [png for png in drawn if not any(map(png.match, asked))]
    # Draws of the images take a job for each of three data sets: a larger config has them.
    assert ["/studies/draws-" in png for png in missing] == [True]
    larger = workflow_runs.rules(ROOT / "config" / "cifar10.yaml")
    asked = [str(path) for rule in larger if rule.name == "all" for path in rule.input]
    assert any("/studies/draws-cifar10.png" in path for path in asked)


def test_every_figure_has_a_caption(rules):
    outputs = (rule.output.png for rule in rules if rule.name.startswith("plot_"))
    captions = [
        output.flags["report"].caption.get_path_or_uri(secret_free=True) for output in outputs
    ]
    assert len(captions) >= 15
    assert all(Path(caption).exists() for caption in captions)
