"""Read a data set's raw images from its source."""

from convexbn import logs

logs.start(snakemake.log[0])

import os

from convexbn.artifacts import provenance, save_tensors
from convexbn.datasets import load_images

dataset = snakemake.params.dataset
options = {key: dataset[key] for key in ("labels", "path", "size") if key in dataset}
folder = snakemake.params.data_dir or os.environ.get("CIFAR_DIR") or None
images = load_images(
    dataset["source"], folder=folder, download_to=snakemake.params.download_to, **options
)
origin = provenance(**dataset) | {
    "classes": list(images.classes),
    "white": images.white,
}
save_tensors(snakemake.output[0], images.tensors(), origin)
