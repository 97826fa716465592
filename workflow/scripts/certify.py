"""Have the referee certify a run's solutions, in float64 and from their weights alone."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import torch

from convexbn.experiments.headline.run import Run
from convexbn.experiments.headline.stages import certify_run
from convexbn.pipeline.artifacts import load_tensors, provenance, write_document
from convexbn.pipeline.devices import pick_device

torch.set_num_threads(snakemake.threads)
device = pick_device(snakemake.params.device)
data = (snakemake.input[key] for key in ("features", "whitening", "gates"))
run = Run.read(*data, snakemake.params.run, device)

certificates = certify_run(run, load_tensors(snakemake.input.solutions))

record = provenance(run.seeds, device, **snakemake.params.run)
write_document(snakemake.output[0], {"certificates": certificates}, record)
