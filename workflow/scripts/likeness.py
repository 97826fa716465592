"""Compare the methods at their chosen settings on test images like, and unlike, training images."""

from convexbn.pipeline import artifacts, logs

logs.start(snakemake.log[0], snakemake.threads)

import torch

from convexbn.experiments.headline.likeness import comparisons, images
from convexbn.experiments.headline.run import Run
from convexbn.pipeline.devices import pick_device
from convexbn.reporting import selection
from convexbn.reporting.methods import SOLVED
from convexbn.training.sweeps import Sweep

torch.set_num_threads(snakemake.threads)
device, made, params = pick_device(snakemake.params.device), snakemake.input, snakemake.params
programs = dict(zip(params.solved, zip(made.gates, made.solutions, strict=True), strict=True))
networks = dict(zip(params.trained, made.networks, strict=True))
features = artifacts.load_tensors(made.features)
chosen = selection.chosen(
    selection.collect(*(artifacts.read_all(paths) for paths in (made.evaluations, made.histories)))
)
correct = {}
for method, rows in chosen.items():
    run, beta, learning_rate = rows.iloc[0][selection.SETTING]
    if method in SOLVED:
        gates, solutions = programs[run]
        solved = Run.read(made.features, made.whitening, gates, params.solved[run], device)
        found = images.correct_of_solutions(solved, artifacts.load_tensors(solutions), beta)
    else:
        sweep = Sweep.of(params.trained[run], params.seeds[run])
        parameters = artifacts.load_tensors(networks[run])
        setting = beta, learning_rate
        found = images.correct_of_networks(features, sweep, parameters, *setting, device)
    images.check(found, rows)
    correct[method] = found

likeness = images.likeness(features["X_test"], features["X_train"], device)
certified = {name: not selection.not_certified(rows).any() for name, rows in chosen.items()}
table = comparisons.table(snakemake.wildcards.compared, likeness, correct, certified)
artifacts.write_table(snakemake.output[0], table, artifacts.provenance(device=device))
