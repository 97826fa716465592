"""Evaluate a run's solutions, and set them beside their certificates."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import pandas as pd
import torch

from convexbn.experiments.headline.run import Run
from convexbn.experiments.headline.stages import evaluate_run
from convexbn.pipeline.artifacts import load_tensors, provenance, read_document, write_table
from convexbn.pipeline.devices import pick_device

torch.set_num_threads(snakemake.threads)
device = pick_device(snakemake.params.device)
data = (snakemake.input[key] for key in ("features", "whitening", "gates"))
run = Run.read(*data, snakemake.params.run, device)

rows = pd.DataFrame(evaluate_run(run, load_tensors(snakemake.input.solutions)))

certificates = pd.DataFrame(read_document(snakemake.input.certificates)["certificates"])
certificates = certificates.rename(columns={"converged": "certified"})
shown = ["seed", "beta", "objective", "relative_gap", "certified", "seconds"]
table = rows.merge(certificates[shown], on=["seed", "beta"], validate="one_to_one")
table = pd.DataFrame({**snakemake.params.labels, **table})
write_table(snakemake.output[0], table, provenance(run.seeds, device, **snakemake.params.run))
