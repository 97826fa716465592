"""Train a BN network and its whitened equivalent by gradient descent from the same starts."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import torch

from convexbn.experiments.bias.measure import descent_of, measure
from convexbn.pipeline.artifacts import load_tensors, provenance, write_table
from convexbn.pipeline.devices import pick_device
from convexbn.training.checkpoints import Parts
from convexbn.whitening import Whitening

torch.set_num_threads(snakemake.threads)
entry, seeds = snakemake.params.entry, snakemake.params.seeds
device = pick_device(snakemake.params.device)
features, whitening = (load_tensors(snakemake.input[key]) for key in ("features", "whitening"))

design = Whitening.from_tensors(whitening)
parts = Parts.beside(snakemake.output.cosines)
tables = measure(features, design, descent_of(entry), entry["width"], seeds, device, parts)

labels = {"dataset": entry["dataset"], "run": snakemake.wildcards.bias}
for key, table in zip(("cosines", "history"), tables, strict=True):
    labelled = table.assign(**labels)[[*labels, *table.columns]]
    write_table(snakemake.output[key], labelled, provenance(seeds, device, **entry))
parts.remove()
