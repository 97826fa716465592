"""The run sheet: what rules ask of a config."""

import subprocess
import sys

import pytest

from convexbn.pipeline import sheet

DIGITS = {"source": "digits", "train": 300, "validation": 100, "test": None, "pool": 1}
DIGITS |= {"label_noise": 0, "draw": 0, "figures": True}
TILES = DIGITS | {"patches": {"size": 4}}
DATASETS = {"digits": DIGITS, "tiles": TILES, "hidden": DIGITS | {"figures": False}}
RUNS = {
    "full": {"dataset": "digits", "seeds": 3, "gates": 8, "tolerance": 0.1},
    "low": {"dataset": "digits", "seeds": 2, "gates": 8, "tolerance": 0.2, "rank": 3},
    "cut": {"dataset": "tiles", "seeds": 2, "gates": 8, "tolerance": 0.3},
    "out": {"dataset": "hidden", "seeds": 2, "gates": 8, "tolerance": 0.3},
}
RUNS = {name: run | {"candidate": True} for name, run in RUNS.items()}
FILTERED = {"dataset": "digits", "filter": {"kind": "ridge", "value": 0.1}, "candidate": True}


def test_it_imports_nothing_heavy():
    """Each job of Snakemake is a process that reads it."""
    code = "import sys; import convexbn.pipeline.sheet; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "scipy", "matplotlib"} & set(run.stdout.split())


@pytest.mark.parametrize(
    ("entry", "images"),
    [
        ({"source": "digits"}, "digits"),
        ({"source": "cifar10", "patches": {"size": 3}}, "cifar10"),
        ({"source": "cifar10", "draw": 2}, "cifar10"),
        ({"source": "cifar100"}, "cifar100-fine"),
        ({"source": "cifar100", "labels": "coarse"}, "cifar100-coarse"),
        ({"source": "image_folder", "path": "left"}, "image_folder-mine"),
    ],
)
def test_views_of_the_same_images_share_their_name(entry, images):
    assert sheet.images_of("mine", {"other": DIGITS, "mine": entry}) == images


def test_images_of_a_folder_are_shared_by_the_data_sets_that_read_it_alike():
    folder = {"source": "image_folder", "path": "p"}
    datasets = {
        **{"first": folder | {"draw": 0}, "again": folder | {"draw": 1}},
        **{"small": folder | {"size": [4, 4]}, "left": folder | {"path": "left"}},
        "less": folder | {"size": [4, 4], "train": 5},
    }
    found = {name: sheet.images_of(name, datasets) for name in datasets}
    shared = {"again": "first", "less": "small"}
    assert found == {name: f"image_folder-{shared.get(name, name)}" for name in datasets}


UNREAD = {"train": None, "validation": 0, "test": 0}  # of a folder: all images that it has


def test_settings_are_cut_down_to_what_results_depend_on():
    folder = {"source": "image_folder", "path": "p", "size": [4, 4], "train": 3, "figures": True}
    # Images are told by what is in their files, and not by where these are.
    assert sheet.source_of(folder) == {"source": "image_folder", "size": [4, 4]}
    assert sheet.view_of(folder) == {
        key: folder[key] for key in folder if key not in ("figures", "path")
    }
    assert sheet.gate_settings(RUNS["low"]) == {"gates": 8, "rank": 3}
    assert sheet.gate_settings(FILTERED) == {"filter": FILTERED["filter"]}
    run = RUNS["full"]
    for change in ({"candidate": False}, {"nodes": 2}):
        assert sheet.lasting(run) == sheet.lasting(run | change)
    assert sheet.lasting(run).keys() == run.keys() - {"candidate"}
    assert sheet.sized(DATASETS)["digits"]["n"] == 300
    assert "figures" not in sheet.sized(DATASETS)["digits"]
    assert sheet.sized({"mine": folder | UNREAD})["mine"]["n"] is None


def test_more_seeds_leave_the_earlier_ones():
    config = {"seed": 5, "datasets": {"d": {"draw": 0}}}
    assert sheet.seeds_of(config, {"dataset": "d", "seeds": 2}) == [5, 6]
    assert sheet.seeds_of(config, {"dataset": "d", "seeds": 3}) == [5, 6, 7]


def test_candidates_on_a_data_set_are_what_is_compared_image_by_image():
    runs = {
        "bn": {"dataset": "d", "candidate": True, "network": "bn"},
        "weak": {"dataset": "d", "candidate": False, "network": "bn"},
        "program": {"dataset": "d", "candidate": True, "network": "convex"},
        "plain": {"dataset": "d", "candidate": True, "network": "plain"},
        "other": {"dataset": "e", "candidate": True, "network": "bn"},
        "solved": {"dataset": "d", "candidate": True},
    }
    assert list(sheet.candidates_on("d", runs)) == ["bn", "solved"]
    assert list(sheet.candidates_on("d", dict(reversed(runs.items())))) == ["bn", "solved"]


def test_draws_of_the_images_share_no_seeds():
    """Nor gates and initial weights, of which an interval over the draws is to speak."""
    config = {"seed": 5, "datasets": {f"d{draw}": {"draw": draw} for draw in range(3)}}
    seeds = [sheet.seeds_of(config, {"dataset": name, "seeds": 2}) for name in config["datasets"]]
    assert seeds == [[5, 6], [1005, 1006], [2005, 2006]]


def test_labels_tell_the_rows_of_a_run():
    expected = {"dataset": "digits", "run": "low", "method": "convex-truncated", "gates": 8}
    labels = sheet.labels_of("low", RUNS["low"], "convex-truncated", "gates")
    assert labels == expected
    assert list(labels) == list(expected)


def test_a_dataset_has_its_artifacts():
    features = "<results>/data/digits/features.safetensors"
    whitening = "<results>/whitening/digits.safetensors"
    assert sheet.data_of("digits") == {"features": features, "whitening": whitening}
    assert sheet.data_of("digits", "features") == {"features": features}


def test_functions_of_claims_may_share_a_table_but_not_a_name():
    claims = {"a": {"tables": {"runs": ["r"]}}, "b": {"tables": {"runs": ["r"], "x": ["y"]}}}
    assert sheet.claim_tables(claims) == {"runs": ["r"], "x": ["y"]}
    with pytest.raises(ValueError, match="c names a table 'x'"):
        sheet.claim_tables(claims | {"c": {"tables": {"x": ["z"]}}})


def test_the_convex_program_is_trained_on_whitened_data():
    assert sheet.trained_on({"network": "convex"}) == ["features", "whitening"]
    assert sheet.trained_on({"network": "bn"}) == ["features"]


def test_figures_need_a_convex_candidate_and_filters_a_filter():
    figures, other = {"rank": "", "filters": ""}, FILTERED | {"candidate": False}
    assert sheet.figures_of("digits", DATASETS, RUNS, figures) == ["rank"]
    assert sheet.figures_of("digits", DATASETS, {"f": FILTERED}, figures) == ["rank", "filters"]
    assert sheet.figures_of("digits", DATASETS, RUNS | {"f": other}, figures) == [*figures]
    assert sheet.figures_of("digits", DATASETS, {"f": other}, figures) == []
    assert sheet.figures_of("hidden", DATASETS, RUNS, figures) == []
    assert sheet.figures_of("tiles", DATASETS, {"f": FILTERED}, figures) == []


def test_a_figure_s_table_is_made_from_the_tables_of_its_dataset():
    sgd = {"bn": {"dataset": "digits"}}
    tables = sheet.figure_tables("accuracy", "digits", RUNS, sgd)
    assert tables == {
        "runs": ["<results>/tables/runs.csv"],
        "convex": [f"<results>/convex/{name}.history.csv" for name in ("full", "low")],
        "sgd": ["<results>/sgd/bn.history.csv"],
    }
    assert sheet.figure_tables("calibration", "digits", RUNS, sgd).keys() == {"runs"}
    assert sheet.COMPARED == ("accuracy", "rank")
    filters = sheet.figure_tables("filters", "digits", RUNS, sgd)
    assert filters["spectrum"] == ["<results>/figures/digits/spectrum.csv"]


def test_the_figure_of_certificates_knows_tolerances():
    assert sheet.figure_settings("rank", "digits", RUNS) == {"dataset": "digits"}
    settings = sheet.figure_settings("certificates", "digits", RUNS)
    assert settings["tolerance"] == {"full": 0.1, "low": 0.2}


def test_each_program_has_its_theorems():
    entries = {"b": {"program": "relu"}, "a": {"program": "cnn"}, "c": {"program": "relu"}}
    found = sheet.by_program(entries)
    assert list(found) == ["cnn", "relu"]
    assert found["relu"] == {"b": entries["b"], "c": entries["c"]}
    assert sheet.by_program({}) == {}


def test_a_study_has_the_values_of_what_varies():
    datasets = DATASETS | {"few": DIGITS | {"train": 50}, "noisy": DIGITS | {"label_noise": 0.2}}
    datasets["again"] = DIGITS | {"draw": 1}
    studies = {"samples": {"s": ["few", "digits"]}, "noise": {"s": ["digits", "noisy"]}}
    studies["draws"] = {"s": ["digits", "again"]}
    assert sheet.study_values(datasets, studies) == {
        "samples": {"s": {"few": 50, "digits": 300}},
        "noise": {"s": {"digits": 0, "noisy": 0.2}},
        "draws": {"s": {"digits": 0, "again": 1}},
    }


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["digits", "mnist"], "study 's' names the dataset 'mnist'"),
        (["digits", "tiles"], "must differ in 'train', each from each"),
        (["digits", "hidden"], "must differ in 'train', each from each"),  # the same data
        (["left", "right"], "must differ in 'train', each from each"),  # of two folders
        (["digits", "other"], "must differ in 'train', each from each"),  # of another draw
    ],
)
def test_a_study_of_something_else_is_refused(names, words):
    folder = DIGITS | {"source": "image_folder"}
    datasets = DATASETS | {
        "left": folder | {"path": "l", "train": 5},
        "right": folder | {"path": "r"},
        "other": DIGITS | {"train": 5, "draw": 1},
    }
    with pytest.raises(ValueError, match=words):
        sheet.study_values(datasets, {"samples": {"s": names}})


def test_numbers_of_samples_that_nobody_knows_are_not_compared():
    folder = DIGITS | {"source": "image_folder", "path": "p"}
    datasets = {"few": folder | {"train": 5}, "all": folder | UNREAD}
    with pytest.raises(ValueError, match="not known before the images of 'all' are read; set its"):
        sheet.study_values(datasets, {"samples": {"s": ["few", "all"]}})


def test_learned_filters_have_a_table_of_each_seed():
    config = {"seed": 3, "datasets": {"d": {"draw": 0}}}
    config["learned_filters"] = {"a": {"dataset": "d", "seeds": 2}}
    paths = [f"<results>/learned_filters/a/{seed}.gains.csv" for seed in (3, 4)]
    assert sheet.seed_tables(config, "learned_filters", "a", "gains") == paths


def test_gpus_of_a_node_are_those_of_its_processes():
    assert sheet.gpus_of_node({"processes": 4, "nodes": 2}, 1) == "gpu:2"
    assert sheet.gpus_of_node({"processes": 4, "nodes": 2}, 0) == ""


def test_what_a_training_fixes_is_said_in_words():
    run = {"dataset": "d", "width": 8, "epochs": 3, "momentum": 0.9, "flip": False, "betas": [1.0]}
    assert sheet.recipe_of(run) == "width 8, epochs 3, momentum 0.9, flip False"
