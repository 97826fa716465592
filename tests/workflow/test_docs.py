"""The pages in docs/: their commands, snippets, diffs and links work."""

import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import yaml
from PIL import Image
from workflow_runs import ROOT, refusal, rules, snakemake

from convexbn.pipeline import artifacts

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
of_pages = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])


def blocks(page) -> list[str]:
    """Return the indented blocks of a page: Python, commands, or lines of a config."""
    text = (DOCS / page).read_text(encoding="utf-8")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", text, re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def fenced(page, language) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@of_pages
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_index_names_every_page():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert {f"({page.name})" for page in PAGES} - {"(README.md)"} <= set(
        re.findall(r"\([\w-]+\.md\)", index)
    )


@of_pages
def test_every_make_target_exists(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    words = re.findall(
        r"(?:^ +|`)(?:\w+=\S+ )*make ([a-z.][\w./-]*)", page.read_text(), re.MULTILINE
    )
    for target in set(words) - {".venv/slurm"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@of_pages
def test_functions_that_a_page_names_exist(page):
    """Names such as `programs.gated` or `arrangements.gates.number_of_arrangements`, and files."""
    text = page.read_text(encoding="utf-8")
    source = ROOT / "src/convexbn"
    rooms = "|".join(path.name for path in source.iterdir() if path.is_dir())
    for room, name, member in re.findall(rf"`({rooms})\.([\w.]+?)(?:\.(\w+))?`", text):
        path = source / room / f"{name.replace('.', '/')}.py"
        if not path.exists():
            path, member = source / room / f"{name.replace('.', '/')}/{member}.py", ""
        assert path.exists(), (room, name)
        assert not member or f"def {member}(" in path.read_text(encoding="utf-8"), member


def test_the_page_about_the_mathematics_runs():
    (block,) = blocks("mathematics.md")
    assert block.count("assert") >= 7
    exec(block, {})


def test_every_public_function_of_the_mathematics_is_on_its_page():
    import convexbn

    text = (DOCS / "mathematics.md").read_text(encoding="utf-8")
    without_equation = {"ClosedForm", "Solution", "arrangement_gates", "solve_path"}
    missing = {name for name in set(convexbn.__all__) - without_equation if f"`{name}" not in text}
    assert not missing


def test_the_page_about_own_data_runs():
    names: dict = {}
    first, second, _ = blocks("own-data.md")
    exec(first, names)
    assert names["accuracy"] > 0.9
    assert names["model"].certificate_.converged
    exec(second, names)
    assert len(names["accuracies"]) == 3
    assert max(names["accuracies"]) > 0.9


def own_config(tmp_path):
    """Return the page's config, of images in a folder: two classes, one bright and one dark."""
    rng = np.random.default_rng(0)
    for name, low in (("bright", 128), ("dark", 0)):
        folder = tmp_path / "images" / "train" / name
        folder.mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(low, low + 128, (10, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    (text,) = fenced("own-data.md", "yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("path/to/images", str(tmp_path / "images")))
    return path


def test_the_config_for_a_folder_of_images_is_taken(tmp_path):
    found = {rule.name for rule in rules(own_config(tmp_path))}
    assert {"solve", "train_sgd", "plot_rank", "claims"} <= found


@pytest.mark.slow  # the whole headline on a few images
def test_a_folder_of_images_gives_the_figures_of_the_headline(tmp_path):
    snakemake("--configfile", own_config(tmp_path), directory=tmp_path)
    assert (tmp_path / "results/mine/figures/mine/rank.png").exists()
    methods = artifacts.read_table(tmp_path / "results/mine/tables/methods.csv")
    assert set(methods["method"]) == {"SGD", "convex", "convex-truncated"}


# --- the diffs of extending.md --------------------------------------------------------------------


def files_of(diff) -> list[tuple[str, list[str]]]:
    """Return each path of a diff with its hunks; a new file is one hunk of added lines."""
    parts = re.split(r"^--- \S+\n\+\+\+ b/(\S+)\n", diff, flags=re.MULTILINE)[1:]
    return [
        (path, [hunk for hunk in re.split(r"^@@\n", text, flags=re.MULTILINE) if hunk])
        for path, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def sides(hunk) -> tuple[str, str]:
    """Return the text of a hunk before and after; the last line may be the beginning of one."""
    lines = hunk.splitlines()
    before = "\n".join(line[1:] for line in lines if line[:1] in "- ")
    after = "\n".join(line[1:] for line in lines if line[:1] in "+ ")
    return before, after


def apply(diff, root) -> None:
    for path, hunks in files_of(diff):
        target = root / path
        for hunk in hunks:
            before, after = sides(hunk)
            if before:
                text = target.read_text(encoding="utf-8")
                assert text.count(before) == 1, (path, before)
                target.write_text(text.replace(before, after), encoding="utf-8")
            else:
                assert not target.exists(), path
                target.parent.mkdir(exist_ok=True)
                target.write_text(after + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """Return a copy of the project with all four diffs applied."""
    root = tmp_path_factory.mktemp("extended")
    for name in ("src", "workflow", "config"):
        leave = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, root / name, ignore=leave)
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, root)
    diffs = fenced("extending.md", "diff")
    assert len(diffs) == 4
    for diff in diffs:
        apply(diff, root)
    return root


CHECKS = """
import sys
import numpy as np
import yaml
from convexbn import whiten
from convexbn.data.sources import load_images
from convexbn.experiments.benchmark import cases, figures, peers
from convexbn.experiments.evenness import measure, statements
from convexbn.pipeline.schemas import Schemas

images = load_images("stripes")
assert images.train_images.shape == (1_000, 8, 8, 1)
assert np.bincount(images.train_labels).min() > 400

X = np.random.default_rng(0).standard_normal((20, 3)) * [4, 2, 1]
gains = whiten(X).filtered("exponential", 0.1).gains
assert gains[0] == 1 and (np.diff(gains) < 0).all()

assert set(peers.SOLVERS) == set(figures.STYLES) == set(cases.CONTESTANTS)
try:
    peers.check_installed(["ecos"])
except ModuleNotFoundError as error:
    assert "cvxpy with ECOS" in str(error)

claims = statements.evenness(measure.measure({"draws": 3, "d": 5}, 0))
assert claims[["id", "verdict"]].to_numpy().tolist() == [["evenness", "reproduced"]]

schemas = Schemas(sys.argv[1] + "/workflow/schemas")
config = yaml.safe_load(sys.stdin)
for section in config:
    schemas.validate(section, config)
"""


def config_of_the_page() -> dict:
    """Return the page's sections of a config, with the benchmark's where the page has none."""
    found: dict = yaml.safe_load((ROOT / "config/benchmark-smoke.yaml").read_text())
    first = next(iter(found["benchmark"]["problems"].values()))
    first["peers"].append("ecos")
    run = "dataset: stripes, gates: 4, betas: [1.0], seeds: 1, tolerance: 1.0e-3"
    for block in blocks("extending.md"):
        found |= yaml.safe_load(block.replace("<<: *convex", run))
    found["sgd"] = yaml.safe_load((ROOT / "config/test.yaml").read_text())["sgd"]
    return {key: found[key] for key in ("datasets", "convex", "sgd", "evenness", "benchmark")}


def test_the_diffs_apply_and_do_what_they_are_for(extended):
    run = subprocess.run(
        [sys.executable, "-c", CHECKS, str(extended)],
        env={"PYTHONPATH": str(extended / "src")},
        input=yaml.safe_dump(config_of_the_page()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.slow  # Snakemake runs the new experiment
def test_the_new_experiment_runs(extended, tmp_path):
    content = yaml.safe_load((ROOT / "config/test.yaml").read_text())
    content = {key: content[key] for key in ("pathvars", "device", "datasets", "convex", "sgd")}
    added = config_of_the_page()
    content["datasets"] |= added["datasets"]
    content["evenness"] = added["evenness"]
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    assert "stripes" in refusal(path)  # without the diffs
    wanted = ["results/test/evenness.csv", "results/test/figures/evenness.png"]
    snakemake(*wanted, "--configfile", path, directory=tmp_path, root=extended)
    assert len(artifacts.read_table(tmp_path / wanted[0])) == 5
    assert (tmp_path / wanted[1]).exists()
    page = "results/test/report/index.html"
    snakemake(page, "--configfile", path, directory=tmp_path, root=extended)
    assert "How unequal are the directions of data?" in (tmp_path / page).read_text()
