"""Schemas: their defaults, and what they refuse in which words."""

import copy
from pathlib import Path

import pytest
import yaml

from convexbn.pipeline import configs
from convexbn.pipeline.schemas import Schemas

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "workflow/schemas"
SCHEMAS = Schemas(FOLDER)
TEST = yaml.safe_load((ROOT / "config/test.yaml").read_text())


def theorem(config) -> dict:
    return config["theory"]["theorems"]["relu-hinge"]


def check(config):
    """Apply the schemas of all sections."""
    for path in sorted(FOLDER.glob("*.schema.yaml")):
        SCHEMAS.validate(path.name.removesuffix(".schema.yaml"), config)


def test_defaults_are_filled_in_where_they_are_missing():
    config = {
        "seed": 3,
        "convex": {"full": {"dataset": "a", "gates": 8, "betas": [1.0]}},
        "sgd": {},
    }
    config["convex"]["full"] |= {"seeds": 1, "tolerance": 0.1, "loss": "logistic"}
    config["convex"]["low"] = {**config["convex"]["full"], "rank": 2}
    SCHEMAS.validate("config", config)
    SCHEMAS.validate("convex", config)
    assert config["seed"] == 3
    assert config["threads"] == 1
    assert config["device"] == "auto"
    assert config["convex"]["low"]["loss"] == "logistic"
    assert config["convex"]["full"]["penalty"] == "group"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c["convex"]["full"].update(seedz=1),
            "convex.full: Additional .*'seedz' was unexpected.; did you mean 'seeds'",
        ),
        (
            lambda c: c["convex"]["full"].update(tolerance="1e-6"),
            "convex.full.tolerance: '1e-6' is not of type 'number': .* write 1.0e-6$",
        ),
        (lambda c: c["sgd"]["bn"].update(betas=["2E3"]), r"sgd.bn.betas.0: .* write 2.0e\+3$"),
        (lambda c: c["convex"]["full"].update(tolerance="small"), "is not of type 'number'$"),
        (lambda c: [c.pop("convex"), c.pop("sgd")], "is missing, which .* needs"),
        (lambda c: c["convex"]["full"].update(betas=[0.0]), "0.0 is less than or equal to"),
        (
            lambda c: c["convex"]["full"].update(rank=3, energy=0.5),
            "convex.full: energy and rank do not go together; leave one of them out$",
        ),
        (lambda c: c["convex"]["filtered"].update(rank=3, energy=0.5), "do not go together"),
        (lambda c: c.update(convex=None), "convex: it is empty$"),
        (lambda c: c["convex"]["full"].update(betas=1.0), r"'array'; write \[1.0\]$"),
        (lambda c: c["convex"].update({"my run": {}}), "a name begins with a letter and has"),
        (lambda c: c["convex"]["full"].update(tolerance=1.0), "greater than or equal to the max"),
        (lambda c: c["datasets"]["digits"].update(path="x"), "digits: path has no meaning here;"),
        (lambda c: c["convex"]["filtered"]["filter"].pop("value"), "'value' is a required"),
        (lambda c: c["convex"]["filtered"]["filter"].update(kind="cut"), "'cut' is not one of"),
        (lambda c: c["datasets"]["noisy"].update(label_noise=1), "1 is greater than or equal to"),
        (lambda c: c["datasets"]["noisy"].update(draw=-1), "-1 is less than the minimum of 0"),
        # Seeds of jobs are made of both, and must fit in 32 bits.
        (lambda c: c["datasets"]["noisy"].update(draw=20261201), "greater than the maximum"),
        (lambda c: c.update(seed=2**32 - 1), "greater than the maximum of 200000000"),
        (lambda c: c["studies"].update(width={}), "'width' was unexpected"),
        (lambda c: c["studies"]["noise"].update(s=["digits"]), "is too short"),
        (lambda c: c["sgd"]["bn"].pop("width"), "'width' is a required property"),
        (lambda c: c["sgd"]["bn"].update(gates=3), "sgd.bn: gates has no meaning here; leave it"),
        (lambda c: c["sgd"]["program"].update(width=3), "width has no meaning here"),
        (lambda c: c["sgd"]["program"].update(flip=True), "False was expected"),
        (lambda c: c["sgd"]["program"].pop("gates"), "'gates' is a required property"),
        (lambda c: c["datasets"]["digits"].update(source="mnist"), "'mnist' is not one of"),
        (lambda c: c["theory"].update(widths=[1]), "'widths' was unexpected"),
        (lambda c: c["cross_iteration"]["digits"].update(window=1), "1 is less than the minimum"),
        (lambda c: c["cross_iteration"]["digits"].update(burn_in=2), "2 is greater than the max"),
        (lambda c: c["cross_iteration"]["digits"].pop("accuracies"), "'accuracies' is a required"),
        (lambda c: c["rescaling"]["dense"].update(plan=[8]), "one of plan, widths, got plan and"),
        (lambda c: c["rescaling"]["dense"].pop("widths"), "plan, widths, got none of them$"),
        (lambda c: c["rescaling"]["identities"].update(time=0), "0 is less than or equal to"),
        (lambda c: c["learning_rates"]["training"].update(depth=9), "9 is not one of"),
        (lambda c: c["learning_rates"]["stability"].update(steps=[1.0]), "'steps' was unexpected"),
        (lambda c: c["ridge"]["gap"].update(energy=0), "0 is less than or equal to"),
        (lambda c: c["ridge"]["gap"].update(tails=3), "'tails' was unexpected"),
        (lambda c: c["ridge"].pop("panels"), "'panels' is missing, which 'agreement' needs"),
        (lambda c: c["theory"]["depth"].update(trials=1), "'trials' was unexpected"),
        (lambda c: c["theory"]["depth"].pop("beta"), "'beta' is a required property"),
        (lambda c: c["theory"]["descent"].update(optimizer="sgd"), "'sgd' is not one of"),
        (lambda c: c["convex_layers"].pop("control"), "'control' is a required property"),
        (
            lambda c: c["convex_layers"]["agreement"]["large"].update(classes=2),
            "2 is less than the",
        ),
        (lambda c: c["convex_layers"]["control"].update(width=1), "'width' was unexpected"),
        (lambda c: c["convex_layers"]["gradients"].update(step=0.0), "0.0 is less than or equal"),
        (lambda c: theorem(c).update(width=0), "0 is less than the minimum"),
        (lambda c: theorem(c).update(widths=[1]), "'widths' was unexpected"),
        (lambda c: theorem(c).update(gates=3), "has no meaning here; leave it out$"),
        (lambda c: theorem(c).update(kernel=[1, 1]), "has no meaning here; leave it out$"),
        (lambda c: theorem(c).update(loss="cross_entropy"), "'C' is a required property"),
        (lambda c: theorem(c).update(program="cnn"), "'size' is a required property"),
        (lambda c: c["datasets"].update({"a/b": c["datasets"]["digits"]}), "'a/b' does not match"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(change, words):
    config = copy.deepcopy(TEST)
    change(config)
    with pytest.raises(ValueError, match=words):
        check(config)


def test_the_config_of_the_tests_is_refused_nowhere():
    check(copy.deepcopy(TEST))


def test_names_have_one_pattern():
    types = yaml.safe_load((FOLDER / "types.yaml").read_text())
    assert types["name"]["pattern"] == f"^{configs.NAME}\\Z"
