"""Compare the methods at their chosen settings on test images like, and unlike, training images."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.headline.likeness import comparisons, images
from convexbn.experiments.headline.run import Run
from convexbn.pipeline import artifacts
from convexbn.pipeline.devices import pick_device
from convexbn.reporting import selection
from convexbn.reporting.methods import SOLVED
from convexbn.training.sweeps import Sweep

torch.set_num_threads(snakemake.threads)
device, made, params = pick_device(snakemake.params.device), snakemake.input, snakemake.params
programs = dict(zip(params.solved, zip(made.gates, made.solutions, strict=True), strict=True))
networks = dict(zip(params.trained, made.networks, strict=True))


def of_program(setting: pd.Series) -> dict[int, np.ndarray]:
    """Return by seed which test images a program has right; its data are let go of."""
    gates, solutions = programs[setting["run"]]
    entry = params.solved[setting["run"]]
    run = Run.read(made.features, made.whitening, gates, entry, device)
    return images.correct_of_solutions(run, artifacts.load_tensors(solutions), setting["beta"])


def of_network(setting: pd.Series) -> dict[int, np.ndarray]:
    """Return by seed which test images a network has right."""
    sweep = Sweep.of(params.trained[setting["run"]], params.seeds[setting["run"]])
    parameters = artifacts.load_tensors(networks[setting["run"]])
    chosen = setting["beta"], setting["learning_rate"]
    return images.correct_of_networks(features, sweep, parameters, *chosen, device)


chosen = selection.chosen(
    selection.collect(*(artifacts.read_all(paths) for paths in (made.evaluations, made.histories)))
)
solved = [method for method in chosen if method in SOLVED]
correct = {method: of_program(chosen[method].iloc[0]) for method in solved}
features = artifacts.load_tensors(made.features)  # once no program has them besides
correct |= {m: of_network(rows.iloc[0]) for m, rows in chosen.items() if m not in solved}
for method, rows in chosen.items():
    images.check(correct[method], rows)

likeness = images.likeness(features["X_test"], features["X_train"], device)
certified = {name: not selection.not_certified(rows).any() for name, rows in chosen.items()}
table = comparisons.table(snakemake.wildcards.judged, likeness, correct, certified)
artifacts.write_table(snakemake.output[0], table, artifacts.provenance(device=device))
