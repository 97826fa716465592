"""Read raw images from their source, once for all data sets that are made from them."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

import os

from convexbn.data.sources import load_images
from convexbn.pipeline.artifacts import provenance, save_tensors

source, path = snakemake.params.source, snakemake.params.path
folder = snakemake.params.data_dir or os.environ.get("CIFAR_DIR") or None
download_to = snakemake.params.download_to
images = load_images(**source, path=path, folder=folder, download_to=download_to)
origin = provenance(**source, path=path, content=snakemake.params.content) | {
    "classes": list(images.classes),
    "white": images.white,
}
save_tensors(snakemake.output[0], images.tensors(), origin)
