"""Train networks on the features of a data set with one seed: one table."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import torch

from convexbn.pipeline.artifacts import load_tensors, provenance, write_table
from convexbn.pipeline.devices import pick_device
from convexbn.pipeline.names import named
from convexbn.training.checkpoints import Parts

params = snakemake.params
torch.set_num_threads(snakemake.threads)
device = pick_device(params.device)
features = load_tensors(snakemake.input.features)
parts = Parts.beside(snakemake.output[0])

table = named(params.function)(features, params.settings, params.seed, device, parts)

labelled = table.assign(**params.labels)[[*params.labels, *table.columns]]
write_table(snakemake.output[0], labelled, provenance(params.seed, device, **params.settings))
parts.remove()
