"""Where Slurm keeps accounts, as sites do, `sacct` answers too."""

import pytest
from slurm.accounting import DAEMONS, PACKAGES, AccountedCluster
from slurm.cluster import missing, running
from slurm.runs import check_done, late


@pytest.fixture(scope="module")
def cluster(cluster):
    if programs := missing(DAEMONS):
        pytest.skip(f"no {', '.join(programs)} here; apt-get install {PACKAGES}")
    with running(AccountedCluster) as made:
        yield made


def test_scancel_costs_one_attempt_whatever_sacct_says(start):
    """By the words of sacct the plugin would take the job for running, and wait for ever."""
    run = start(304)
    job, *_ = late(run)
    run.cluster.run("scancel", job)
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in run.finish()
    check_done(run)
    state = run.cluster.run("sacct", "-X", "-n", "-P", "-j", job, "-o", "State").strip()
    assert state.startswith("CANCELLED by ")
