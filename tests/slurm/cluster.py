"""A Slurm cluster of its own on this machine: a controller, two nodes, two partitions, one user.

It needs munge, slurmctld, slurmd and the commands, and neither privileges nor system services:
keys, sockets, state and logs are in one folder. GPUs are pretended by /dev/null.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from getpass import getuser
from pathlib import Path

import psutil

NODES = ("node1", "node2")
DAEMONS = ("munged", "slurmctld", "slurmd", "srun", "sinfo")
PACKAGES = "munge slurmctld slurmd slurm-client"

SLURM_CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
MailProg=/bin/true
# No cgroups, which take privileges: memory is looked at each second instead.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/none
PropagateResourceLimits=NONE
# Nodes may claim more than this machine has.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Without it a job that says nothing of memory takes the whole node: the srun that waits for it.
DefMemPerCPU=100
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
KillWait=3
SlurmctldTimeout=10
SlurmdTimeout=10
MessageTimeout=5
MinJobAge=3600
ReturnToService=2
"""
# A NodeHostname of its own lets several slurmd run on one machine.
NODE = (
    "NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=16000 "
    "Gres=gpu:2 State=UNKNOWN\n"
)
PARTITIONS = """
PartitionName=main Nodes=node[1-2] Default=YES MaxTime=1440 State=UP
PartitionName=gpu Nodes=node2 MaxTime=1440 State=UP
"""
# The plugin's inner srun sees no variable of Slurm, nor where the configuration is.
SRUN = '#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {srun} "$@"\n'


class Cluster:
    """A cluster in a folder, whose path must be short, as sockets' are. It keeps no accounts."""

    ACCOUNTING = "AccountingStorageType=accounting_storage/none\n"

    def __init__(self, folder: Path):
        self.folder = folder
        path = f"{folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"
        self.environment = os.environ | {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": path}

    def start(self):
        self._configure()
        kinds = {"key-file": "key", "socket": "socket", "seed-file": "seed"}
        kinds |= {"pid-file": "pid", "log-file": "log"}
        files = (f"--{option}={self.folder}/munge.{kind}" for option, kind in kinds.items())
        self.run("munged", "--force", *files)
        self.start_accounting()
        self.run("slurmctld", "-c")
        for node in NODES:
            self.start_node(node)
        self.wait(lambda: self.idle() == set(NODES), "idle nodes")

    def _configure(self):
        for name in ("state", "bin", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        ports = iter(free_ports(1 + len(NODES)))
        names = {"folder": self.folder, "user": getuser(), "host": socket.gethostname()}
        text = SLURM_CONF.format(**names, port=next(ports))
        text += "".join(NODE.format(name=node, port=next(ports)) for node in NODES)
        (self.folder / "slurm.conf").write_text(text + PARTITIONS + self.ACCOUNTING)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        for number in range(2):  # a device is wanted, or CUDA_VISIBLE_DEVICES stays unset
            (self.folder / f"nvidia{number}").symlink_to("/dev/null")
        gres = f"NodeName=node[1-2] Name=gpu File={self.folder}/nvidia[0-1]\n"
        (self.folder / "gres.conf").write_text(gres)
        srun = self.folder / "bin" / "srun"
        srun.write_text(SRUN.format(folder=self.folder, srun=shutil.which("srun")))
        srun.chmod(0o755)

    def run(self, *words: str) -> str:
        """Run a command of the cluster and return what it printed."""
        # A daemon would hold a pipe open: what it says at its start goes to a file.
        with open(self.folder / "said", "w+") as said:
            streams = {"stdout": said, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
            done = subprocess.run(words, env=self.environment, check=False, **streams)
            said.seek(0)
            text = said.read()
        assert done.returncode == 0, f"{words}: {text}"
        return text

    def wait(self, condition, what, seconds=600):
        end = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < end, f"no {what} in {seconds} s\n{self.run('squeue', '-l')}"
            time.sleep(0.2)
        return value

    def start_accounting(self):
        """Start what keeps accounts: nothing here."""

    def idle(self) -> set[str]:
        return set(self.run("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split())

    def jobs(self, folder: Path, rule: str, states: str = "R") -> list[list[str]]:
        """Return id, partition, node and rule with wildcards of jobs from a folder."""
        lines = self.run("squeue", "-h", "-t", states, "-o", "%i|%P|%N|%k|%Z").splitlines()
        found = [line.split("|") for line in lines]
        return [
            [*job, comment.removeprefix("rule_")]
            for *job, comment, place in found
            if place == str(folder) and comment.startswith(f"rule_{rule}")
        ]

    def start_node(self, node: str):
        self.run("slurmd", "-N", node)

    def crash(self, node: str, steps: bool = True):
        """Cut the power of a node; without its steps only slurmd dies, and its jobs go on."""
        slurmd = psutil.Process(int((self.folder / f"slurmd-{node}.pid").read_text()))
        doomed = [slurmd]
        if steps:
            doomed += [step for step in of_name("slurmstepd") if self._is_on(step, node)]
            doomed += [child for step in doomed[1:] for child in step.children(recursive=True)]
        # Frozen first: a dying step must not tell the controller.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in doomed:
                send(process, number)

    def _is_on(self, step, node) -> bool:
        log = str(self.folder / f"slurmd-{node}.log")
        return any(file.path == log for file in step.open_files())

    def stop(self):
        """End all that was started here, and only that."""
        self.run("scancel", f"--user={getuser()}")
        try:
            self.wait(lambda: not self.run("squeue", "-h", "-t", "R,CG"), "empty queue", 30)
        except AssertionError as error:
            print(error)
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munge"):
            ended(self.folder / f"{name}.pid")
        for process in psutil.process_iter():
            if self._is_left(process):
                send(process, signal.SIGKILL)

    def _is_left(self, process) -> bool:
        """Say whether a process is one of a job of this cluster, whose step lost it."""
        try:
            environment = process.environ()
        except psutil.Error:
            return False
        ours = environment.get("SLURM_CONF") == self.environment["SLURM_CONF"]
        return ours and "SLURM_JOB_ID" in environment


@contextlib.contextmanager
def running(kind):
    """Start a cluster of some kind, and stop it in the end."""
    made = kind(Path(tempfile.mkdtemp(prefix="slurm")))  # a short path
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.folder)


def missing(programs=DAEMONS) -> list[str]:
    """Return those of the programs that a cluster needs that are not installed."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return [name for name in programs if not shutil.which(name, path=path)]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def of_name(name: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if named(process) == name]


def named(process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def send(process: psutil.Process, number: int):
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def ended(pid_file: Path):
    """End the daemon that wrote its id to a file."""
    if pid_file.exists() and psutil.pid_exists(pid := int(pid_file.read_text())):
        process, end = psutil.Process(pid), time.monotonic() + 10
        send(process, signal.SIGTERM)
        while alive(process) and time.monotonic() < end:
            time.sleep(0.1)
        send(process, signal.SIGKILL)


def alive(process: psutil.Process) -> bool:
    """Say whether a process runs; what nobody has waited for does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
