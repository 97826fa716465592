"""Names, folders and images of a config: what they may be, and what is refused by name."""

import pytest
from snakemake.iocontainers import Wildcards
from workflow_runs import ROOT, edited, jobs, refusal, rules, snakemake

FOLDER = {"source": "image_folder", "path": "~no-such-user/images"}


def doubled(entries, name, other):
    entries[other] = entries[name]


def renamed(config, section, old, new):
    config[section] = {new if key == old else key: run for key, run in config[section].items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: renamed(c, "convex", "full", "Patches"), "'Patches' and 'patches' differ in ca"),
        (lambda c: renamed(c, "convex", "full", "con"), "'con' cannot be the name of one"),
        (lambda c: renamed(c, "sgd", "bn", "Adam"), "sgd runs 'Adam' and 'adam' differ in"),
        (lambda c: renamed(c, "datasets", "small", "theory"), "'theory' cannot be the name of one"),
        (lambda c: renamed(c, "datasets", "small", "Studies"), "'Studies' cannot be the name of"),
        (lambda c: renamed(c, "datasets", "small", "raw"), "'raw' cannot be the name of one"),
        (lambda c: renamed(c, "datasets", "small", "a/b"), "'a/b' does not match"),
        (lambda c: renamed(c, "convex", "full", "../../x"), "'../../x' does not match"),
        (lambda c: c["pathvars"].update(logs="../x"), "'logs' was unexpected"),
        (lambda c: renamed(c, "convex", "full", "a b"), "'a b' does not match"),
        (lambda c: renamed(c, "convex", "full", "-n"), "'-n' does not match"),
        (lambda c: renamed(c, "convex", "full", "a.b"), "'a.b' does not match"),
        (lambda c: renamed(c, "convex", "full", "{run}"), "'{run}' does not match"),
        (lambda c: renamed(c, "convex", "full", "größe"), "'größe' does not match"),
        (lambda c: renamed(c, "convex", "full", "full\n"), "does not match"),
        (lambda c: renamed(c, "convex", "full", "a" * 101), "is too long"),
        (lambda c: renamed(c, "bias", "digits", "aux"), "'aux' cannot be the name of one"),
        (
            lambda c: c["learned_filters"]["digits"].update(dataset="patches"),
            "run 'digits' of learned_filters names the dataset 'patches' of patches",
        ),
        (
            lambda c: c["theory"]["theorems"].update(Deep=c["theory"]["theorems"]["deep"]),
            "'deep' and 'Deep' differ in",
        ),
        (lambda c: c["convex"]["full"].update(tolerance=float("nan")), "tolerance must be a"),
        (lambda c: c["pathvars"].update(results="~no-such-user/x"), "variable is unknown"),
        (lambda c: c["pathvars"].update(results="out/{run}"), "is 'out/{run}', with '{' in"),
        (lambda c: c["pathvars"].update(results="."), "choose a folder of its own"),
        (lambda c: c.update(data_dir="$NO_SUCH_VARIABLE"), "data_dir is '$NO_SUCH_VARIABLE'"),
        (lambda c: c["datasets"]["small"].update(FOLDER), "path of 'small' is '~no-such-user"),
        # Not mixed with the default config, which has some.
        (lambda c: c.pop("datasets"), "'datasets' is a required property"),
        (
            lambda c: c["rescaling"]["identities"].update(batch_size=41, samples=40),
            "rescaling: identities: batch_size must be at most 40",
        ),
        (lambda c: c["rescaling"]["identities"].update(time=1.0e-3), "time must be at least the"),
    ],
)
def test_names_and_folders_that_cannot_be_are_refused_by_name(change, words, tmp_path):
    assert words in refusal(edited("test.yaml", change, tmp_path))


def test_a_name_twice_in_the_text_is_refused(tmp_path):
    text = (ROOT / "config" / "test.yaml").read_text()
    text = text.replace("  gates08:", "  filtered:")
    (tmp_path / "config.yaml").write_text(text)
    assert "the key 'filtered' is given twice, first in line" in refusal(tmp_path / "config.yaml")


def test_yaml_that_would_run_something_is_refused(tmp_path):
    text = (ROOT / "config" / "test.yaml").read_text()
    text += f"\nx: !!python/object/apply:os.mkdir [{tmp_path}/sprung]\n"
    (tmp_path / "config.yaml").write_text(text)
    assert "not valid JSON or YAML" in refusal(tmp_path / "config.yaml")
    assert not (tmp_path / "sprung").exists()


def test_a_problem_of_the_benchmark_cannot_hide_one_of_its_scaling(tmp_path):
    def change(config):
        problems = config["benchmark"]["problems"]
        problems["scaling-base"] = next(iter(problems.values()))

    words = "'scaling-base' cannot be the name of one of the benchmark problems"
    assert words in refusal(edited("benchmark-smoke.yaml", change, tmp_path))


@pytest.mark.parametrize("folder", ["~/my out/", "$HOME/my out", "{home}/my out//"])
def test_results_may_be_at_home(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = folder.format(home=tmp_path)
    config = edited("test.yaml", lambda c: c["pathvars"].update(results=folder), tmp_path)
    outputs = [str(path) for rule in rules(config) for path in rule.output]
    assert len(outputs) > 20
    assert {path for path in outputs if not path.startswith(f"{tmp_path}/my out/")} == set()


def test_a_key_of_the_command_line_is_taken(tmp_path):
    """Also over a file, in which it is then no doubled key."""
    arguments = ["results/test/images/digits.safetensors", "--config", "seed=1", "device=cpu"]
    config = ROOT / "config" / "test.yaml"
    output = snakemake(*arguments, "--dry-run", "--configfile", config, directory=tmp_path)
    assert jobs(output)["ingest"] == 1


def test_images_in_a_folder_are_a_parameter_of_their_job(tmp_path):
    """Or the accuracies of the old images would stand after they were replaced."""
    (tmp_path / "train" / "cat").mkdir(parents=True)
    change = {"source": "image_folder", "path": str(tmp_path)}
    config = edited("test.yaml", lambda c: c["datasets"]["patches"].update(change), tmp_path)
    (ingest,) = (rule for rule in rules(config) if rule.name == "ingest")
    content, images = ingest.params.content, Wildcards(fromdict={"images": "image_folder-patches"})
    before = content(images)
    (tmp_path / "train" / "cat" / "1.png").write_bytes(b"an image")
    assert content(images) != before
