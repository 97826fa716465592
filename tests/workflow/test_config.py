"""The configs and their schema, and the pins of the environment."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from workflow_runs import ROOT, edited, jobs, refusal, snakemake

CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
TILES = {"size": 4, "stride": 4}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_makes_a_dag(config, tmp_path):
    """A dry run also computes every job's memory."""
    listed = jobs(snakemake("--dry-run", "--configfile", config, directory=tmp_path))
    runs = yaml.safe_load(config.read_text())
    for rules, section in ({"solve", "certify"}, "convex"), ({"train_sgd"}, "sgd"):
        assert {listed.get(rule, 0) for rule in rules} == {len(runs.get(section, {}))}
    theory = runs.get("theory", {"duality": {}, "theorems": {}})
    assert listed.get("duality", 0) == len(theory["duality"])
    programs = {entry["program"] for entry in theory["theorems"].values()}
    assert listed.get("theorems", 0) == len(programs)
    once = {"depth", "counting", "sampling", "interpolation", "tabulate_theorems"}
    assert once & listed.keys() == (once if "theory" in runs else set())
    layers = {name.removeprefix("layer_") for name in listed if name.startswith("layer_")}
    assert layers == runs.get("convex_layers", {}).keys()
    parts = runs.get("ridge", {})
    assert {name for name in listed if name.startswith("ridge_")} == {f"ridge_{p}" for p in parts}
    assert listed.get("ridge_images", 0) == len(parts.get("images", {}))
    rescaled = runs.get("rescaling", {})
    seeds = sum(entry["seeds"] for name, entry in rescaled.items() if name != "identities")
    assert listed.get("rescaling_runs", 0) == seeds
    assert listed.get("rescaling_identities", 0) == ("identities" in rescaled)
    parts = runs.get("learning_rates", {})
    seeds = {f"learning_rates_{name}": part.get("seeds", 1) for name, part in parts.items()}
    assert {name: n for name, n in listed.items() if name.startswith("learning_rates_")} == seeds
    assert {name for name in listed if name.startswith("plot_benchmark_")} == (
        {f"plot_benchmark_{name}" for name in benchmark_figures(runs)}
    )


def benchmark_figures(runs) -> list[str]:
    """Return the figures of the benchmark, of which two need sections of their own."""
    figures = ["curves", "times", "memory", "scaling", "passes"]
    parts = runs.get("benchmark", {})
    return [*figures, *({"engine", "columns"} & parts.keys())] if parts else []


def theorem(config) -> dict:
    return config["theory"]["theorems"]["relu-hinge"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["convex"]["full"].update(seedz=1), "'seedz' was unexpected"),
        (lambda c: c.update(epochs=1), "'epochs' was unexpected"),
        (lambda c: c["convex"]["full"].update(dataset="mnist"), "names the dataset 'mnist'"),
        (lambda c: c["datasets"]["patches"]["patches"].pop("size"), "'size' is a required"),
        (lambda c: c["studies"].update(draws={"s": ["digits", "small"]}), "differ in 'draw'"),
        (lambda c: c["studies"]["noise"].update(s=["digits", "x"]), "names the dataset 'x'"),
        (lambda c: c["studies"]["noise"].update(s=["digits", "small"]), "differ in 'label_noise'"),
        (lambda c: c["convex"]["full"].update(tuning_seeds=3), "run 'full': tuning_seeds must be"),
        (lambda c: c["sgd"]["bn"].update(tuning_seeds=3), "run 'bn': tuning_seeds must be"),
        (lambda c: c["sgd"]["bn-patches"].update(shift=1), "with flip or shift, names the dataset"),
        (lambda c: c["cross_iteration"]["digits"].update(dataset="patches"), "of cross_iteration"),
        (lambda c: c["rescaling"]["dense"].update(dataset="patches"), "rescaling: dense names the"),
        (lambda c: c["learning_rates"]["training"].update(dataset="patches"), "names the dataset"),
        (lambda c: c["ridge"]["gap"].update(samples=[3, 64]), "3 is not a multiple of 2"),
        (lambda c: c["ridge"]["images"].update(mnist=c["ridge"]["images"]["digits"]), "'mnist'"),
        (lambda c: c["ridge"]["images"].update(patches=c["ridge"]["images"]["digits"]), "patches"),
    ],
)
def test_a_wrong_config_is_refused_by_name(change, words, tmp_path):
    assert words in refusal(edited("test.yaml", change, tmp_path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["datasets"]["digits"].update(patches=TILES), "'digits' of patches"),
        (lambda c: c["benchmark"]["engine"]["tiny"].update(dataset="x"), "names the dataset 'x'"),
    ],
)
def test_a_wrong_benchmark_is_refused_by_name(change, words, tmp_path):
    assert words in refusal(edited("benchmark-smoke.yaml", change, tmp_path))


def test_the_number_1e_3_without_a_point_is_caught(tmp_path):
    """YAML 1.1 reads 1e-3 as a string; the schema says so instead of failing later."""
    text = (ROOT / "config" / "test.yaml").read_text().replace("1.0e-4", "1e-4")
    (tmp_path / "config.yaml").write_text(text)
    assert "'1e-4' is not of type" in refusal(tmp_path / "config.yaml")


def test_images_are_read_once_per_source(tmp_path):
    """Views and draws of one source share its images; two folders are two sources."""
    sources = {
        "again": {"draw": 1},
        "tiles": {"source": "cifar10", "patches": TILES},
        "whole": {"source": "cifar10"},
        "fine": {"source": "cifar100"},
        "coarse": {"source": "cifar100", "labels": "coarse"},
        "left": {"source": "image_folder", "path": "left"},
        "right": {"source": "image_folder", "path": "right"},
    }

    def change(config):
        for name, source in sources.items():
            config["datasets"][name] = config["datasets"]["digits"] | source
        config["studies"]["draws"] = {"s": ["digits", "again"]}

    for name in ("left", "right"):
        (tmp_path / name / "train").mkdir(parents=True)
    config = edited("test.yaml", change, tmp_path)
    names = ["digits", "noisy", "small", "patches", *sources]
    targets = [f"results/test/data/{name}/features.safetensors" for name in names]
    targets.append("results/test/figures/studies/draws-s.pdf")
    output = snakemake(*targets, "--dry-run", "--configfile", config, directory=tmp_path)
    read = {"digits", "cifar10", "cifar100-fine", "cifar100-coarse"}
    read |= {"image_folder-left", "image_folder-right"}
    assert set(re.findall(r"wildcards: images=(\S+)", output)) == read
    assert jobs(output)["ingest"] == len(read)
    assert jobs(output)["preprocess"] == len(names)
    assert {name for name in jobs(output) if "draws" in name} == {"tabulate_draws", "plot_draws"}


@pytest.mark.parametrize("config", CONFIGS, ids=[config.stem for config in CONFIGS])
def test_runs_have_the_rank_that_their_names_say(config):
    """A run that copies another's settings copies its rank, too, unless it says another."""
    runs = yaml.safe_load(config.read_text("utf-8")).get("convex", {})
    for name, run in runs.items():
        if re.search(r"(^|-)full$", name):
            assert not {"rank", "energy"} & run.keys(), name
        elif found := re.search(r"(^|-)k(\d+)", name):
            assert run["rank"] == int(found[2]), name


def test_a_sweep_makes_a_run_of_every_combination(tmp_path):
    def change(config):
        over = {"rank": [3, None], "filter": [{"kind": "ridge", "value": 0.1}, None]}
        run = config["convex"]["full"]
        nets = {"section": "sgd", "over": {"width": [8, 16]}, "run": config["sgd"]["bn"]}
        nets["run"].pop("width")
        config |= {"sweep": {"a": {"over": over, "run": dict(run)}, "b": nets}}
        config |= {"convex": {"full": run}, "sgd": {"bn": {**nets["run"], "width": 4}}}
        config.pop("studies")

    config = edited("test.yaml", change, tmp_path)
    listed = jobs(snakemake("--dry-run", "--configfile", config, directory=tmp_path))
    assert listed["evaluate"] == listed["sample_gates"] == 1 + 4
    assert listed["train_sgd"] == 1 + 2
    edited("test.yaml", lambda c: [change(c), c["sweep"]["a"]["run"].update(seedz=1)], tmp_path)
    assert "convex.a-no-rank-no-filter: Additional properties" in refusal(config)


def test_every_key_of_the_schema_is_documented():
    files = (ROOT / "workflow" / "schemas").glob("*.yaml")
    found = {key for file in files for key in keys(yaml.safe_load(file.read_text()))}
    text = (ROOT / "config" / "README.md").read_text()
    documented = set(re.findall(r"`([A-Za-z_]+)[`:]", text))
    assert not found - documented, f"document {sorted(found - documented)} in config/README.md"
    # The set is not empty by mistake.
    assert {"seed", "rank", "widths", "trials", "stride"} <= found


def keys(schema):
    """Yield the names of all properties anywhere in a schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for part in schema.values():
            yield from keys(part)


def pins(lines) -> dict:
    found = (re.match(r"\s*-?\s*([A-Za-z0-9._-]+)==([^\s;]+)", line) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2] for match in found if match}


def requirements(extras=("workflow", "test")) -> list[Requirement]:
    """Return what the package and some of its extras ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [project["optional-dependencies"][extra] for extra in extras]
    return [Requirement(line) for lines in [project["dependencies"], *asked] for line in lines]


def lock_of_the_benchmark() -> list[str]:
    return (ROOT / "requirements-benchmark.lock").read_text().splitlines()


def test_conda_and_pip_users_get_the_same_versions():
    lock = pins((ROOT / "requirements.lock").read_text().splitlines())
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = pins(environment["dependencies"][-1]["pip"])
    assert conda == {requirement.name: lock[requirement.name] for requirement in requirements()}


def test_the_pins_satisfy_the_package_s_own_requirements():
    lock = pins((ROOT / "requirements.lock").read_text().splitlines())
    for requirement in requirements():
        assert requirement.specifier.contains(lock[requirement.name]), requirement


def test_the_peers_pins_are_on_top_of_the_others():
    first, *rest = lock_of_the_benchmark()
    lock, peers = pins((ROOT / "requirements.lock").read_text().splitlines()), pins(rest)
    assert first == "-r requirements.lock"
    assert len(peers) == len(rest)
    assert not peers.keys() & lock.keys()
    for requirement in requirements(["benchmark"]):
        assert requirement.specifier.contains((lock | peers)[requirement.name]), requirement
