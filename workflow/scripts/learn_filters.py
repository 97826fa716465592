"""Learn spectral filters and the weight decay with one seed of gates, beside a grid of both."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import torch

from convexbn.experiments.learned_filters.measure import measure
from convexbn.experiments.learned_filters.settings import Settings
from convexbn.pipeline.artifacts import load_tensors, provenance, write_table
from convexbn.pipeline.devices import pick_device
from convexbn.training.checkpoints import Parts
from convexbn.whitening import Whitening

torch.set_num_threads(snakemake.threads)
entry, seed = snakemake.params.entry, snakemake.params.seed
device = pick_device(snakemake.params.device)
features, whitening = (load_tensors(snakemake.input[key]) for key in ("features", "whitening"))

design = Whitening.from_tensors(whitening)
parts = Parts.beside(snakemake.output.solves)
tables = measure(features, design, Settings.of(entry), seed, device, parts)

labels = {"dataset": entry["dataset"], "run": snakemake.wildcards.learned}
for key, table in zip(("solves", "gains"), tables, strict=True):
    labelled = table.assign(**labels)[[*labels, *table.columns]]
    write_table(snakemake.output[key], labelled, provenance(seed, device, **entry))
parts.remove()
