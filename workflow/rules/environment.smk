# What the workflow runs in, whatever surrounds it: which files count as changed, which Python runs
# the scripts, and which package they import.
from snakemake.pathvars import Pathvars
from snakemake.settings.types import DeploymentMethod, RerunTrigger

from convexbn.pipeline import configs, dependencies, interpreters

# Files count by what is in them, so that nothing is made again after `git checkout`, `touch` or a
# copy: scripts as a digest in the parameters of their rules, inputs of any size by their checksums.
if workflow.dag_settings:
    SETTINGS = workflow.dag_settings
    SETTINGS.rerun_triggers = set(SETTINGS.rerun_triggers) - {RerunTrigger.CODE}
    SETTINGS.max_checksum_file_size = max(SETTINGS.max_checksum_file_size, 2**50)

sys.executable = interpreters.Quoted(sys.executable)


def checked(function, *arguments):
    """Call a function, and show its ValueError or OSError as an error of the workflow."""
    try:
        return function(*arguments)
    except (ValueError, OSError) as error:
        raise WorkflowError(str(error))


checked(dependencies.check_package, workflow.basedir)
if DeploymentMethod.CONDA in getattr(
    workflow.deployment_settings, "deployment_method", ()
):
    raise WorkflowError(
        "--sdm conda is not supported: jobs run in the environment of Snakemake itself. Make that "
        "with conda, by the commands at the head of environment.yml, and leave out --sdm."
    )
for PATH in workflow.configfiles:
    checked(configs.check_text, PATH)
