"""Draw the subsets of a data set and turn its images into features and targets."""

from convexbn.pipeline import logs

logs.start(snakemake.log[0], snakemake.threads)

from convexbn.data.images import Images
from convexbn.data.preprocessing import prepare
from convexbn.pipeline.artifacts import load_tensors, provenance, read_provenance, save_tensors

SUBSETS = ("train", "validation", "test", "classes", "label_noise", "draw")
VIEW = ("color", "pool", "normalize", "patches", "targets")

dataset, seed = snakemake.params.dataset, snakemake.params.seed
source = read_provenance(snakemake.input.images)
tensors = load_tensors(snakemake.input.images)
images = Images.from_tensors(tensors, source["classes"], source["white"])
options = {key: dataset[key] for key in (*SUBSETS, *VIEW) if key in dataset}
features = prepare(images, seed=seed, **options)
classes = dataset.get("classes") or source["classes"]
origin = provenance(seed=seed, **dataset) | {"classes": classes}
save_tensors(snakemake.output[0], vars(features), origin)
