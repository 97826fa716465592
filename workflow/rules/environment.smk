# What the workflow runs in, whatever surrounds it: which Python runs the scripts, which package they
# import, and which config it reads.
from snakemake.pathvars import Pathvars

# The project's folder, also where another workflow's Snakefile imports this one as a module.
PROJECT = os.path.normpath(f"{workflow.current_basedir}/../..")
# Its own package, and no other that PYTHONPATH names. Conda environments of --sdm conda lack it, and
# the scripts find it here as well: Snakemake hands its search path on to them.
sys.path.insert(0, f"{PROJECT}/src")
from convexbn.pipeline import configs, dependencies, interpreters

interpreters.find_first(sys.path[0])
sys.executable = interpreters.Quoted(sys.executable)


def checked(function, *arguments):
    """Call a function, and show its ValueError or OSError as an error of the workflow."""
    try:
        return function(*arguments)
    except (ValueError, OSError) as error:
        raise WorkflowError(str(error))


checked(configs.check_place, PROJECT)
# Another workflow's config is not ours to judge.
for PATH in workflow.configfiles if workflow.basedir == PROJECT else []:
    checked(configs.check_text, PATH)
