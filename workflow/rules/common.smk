# Shared by all rules files: sections of the config, the lists that `rule all` and `rule claims`
# read, the code that a script rests on, and what the report shows.
from convexbn.pipeline import checks, devices, durations, footprint, sheet, titles
from convexbn.pipeline.parameters import Unordered
from convexbn.pipeline.schemas import Schemas
from convexbn.reporting.methods import method_of

SCHEMAS = Schemas(f"{PROJECT}/workflow/schemas")
checked(SCHEMAS.validate, "config", config)
for KEY in ("seed", "threads"):
    config[KEY] = int(config[KEY])  # also where it was written as 1.0
if config["data_dir"]:
    config["data_dir"] = checked(configs.folder, "data_dir", config["data_dir"])
if "results" in config.get("pathvars", {}):
    RESULTS = checked(configs.results_folder, config["pathvars"]["results"])
    config["pathvars"]["results"] = RESULTS
    workflow.pathvars.update(Pathvars.from_config(config))

SECTIONS = []  # of the config; a key that no rules file reads is refused
OUTPUTS = []  # what `rule all` makes
CLAIMS = {}  # name of a function that judges: its tables (name to paths), settings
# Whether jobs run elsewhere: here is where they are submitted, or one of the nodes.
ON_CLUSTER = workflow.remote_exec or workflow.resource_settings.nodes is not None
GPU = devices.gpus_of(config["device"], ON_CLUSTER)
LONG = 1  # priority of long jobs: short ones fill the gaps beside the last of them


def section(name):
    """Validate a section of the config and set its defaults; return it, {} where it is absent."""
    checked(SCHEMAS.validate, name, config)
    SECTIONS.append(name)
    if name in config:
        config[name] = checked(configs.standard, name, config[name])
    return config.get(name, {})


def with_dataset(entry):
    """Return the entry of a run's data set, and the run's own."""
    return DATASETS[entry["dataset"]], entry


def megabytes(stage, entries):
    """Return what tells Snakemake the memory of a stage, more in each further attempt."""
    return lambda wc, attempt: attempt * stage(*entries(wc))


def minutes(stage, entries, gpus=0):
    """Return what tells Snakemake the time of a stage, more in each further attempt."""
    threads = config["threads"]
    return lambda wc, attempt: durations.minutes(
        stage(*entries(wc)), threads, gpus, attempt
    )


def code_of(script, *names):
    """Return a digest of the code that a script and the functions it is given by name rest on."""
    path = f"{PROJECT}/workflow/scripts/{script}.py"
    return dependencies.code_of(path, *names)


def labels_of(name, run, *settings):
    """Return the columns that tell a run's rows from those of others, some settings among them."""
    return sheet.labels_of(name, run, method_of(run), *settings)


def title_on(dataset):
    """Return the title of a figure of all methods on a data set."""
    # Runs of the two sections may share a name.
    runs = dict(enumerate([*CONVEX.values(), *SGD.values()]))
    return titles.title_of(dataset, DATASETS, runs)


def published(wc, function):
    """Return a function of the file with published values; None for a figure without them."""
    path = f"{PROJECT}/config/published.csv"
    return checked(function, path) if wc.get("figure") in sheet.COMPARED else None


def drawn(stem, caption, subcategory, label):
    """Return the outputs of a plot: a .pdf, and a .png with its caption for the report."""
    page = {"caption": f"../report/{caption}.rst", "subcategory": subcategory}
    page |= {"category": "Figures", "labels": {"figure": label}}
    png = report(f"<results>/figures/{stem}.png", **page)
    return {"pdf": f"<results>/figures/{stem}.pdf", "png": png}


def tabled(name):
    """Return the outputs of a table that the report shows: a .csv, and its page as .html."""
    page = {"caption": f"../report/{name}.rst", "category": "Tables"}
    html = report(f"<results>/tables/{name}.html", **page, labels={"table": name})
    return {name: f"<results>/tables/{name}.csv", "html": html}


def figures(*stems):
    """Return the files of some figures."""
    path = "<results>/figures/{}.{}"
    return [path.format(stem, end) for stem in stems for end in ("pdf", "png")]
