# What the workflow runs in, whatever surrounds it: which Python runs the scripts, which package they
# import, and which config it reads.
from snakemake.pathvars import Pathvars
from snakemake.settings.types import DeploymentMethod

# The project's own package, also after the project was moved, and no other that PYTHONPATH names.
sys.path.insert(0, f"{workflow.basedir}/src")
from convexbn.pipeline import configs, dependencies, interpreters

interpreters.find_first(sys.path[0])
sys.executable = interpreters.Quoted(sys.executable)


def checked(function, *arguments):
    """Call a function, and show its ValueError or OSError as an error of the workflow."""
    try:
        return function(*arguments)
    except (ValueError, OSError) as error:
        raise WorkflowError(str(error))


checked(configs.check_place, workflow.basedir)
if DeploymentMethod.CONDA in getattr(
    workflow.deployment_settings, "deployment_method", ()
):
    raise WorkflowError(
        "--sdm conda is not supported: jobs run in the environment of Snakemake itself. Make that "
        "with conda, by the commands at the head of environment.yml, and leave out --sdm."
    )
for PATH in workflow.configfiles:
    checked(configs.check_text, PATH)
