"""A cluster that keeps accounts, so that `sacct` answers: by slurmdbd and a MariaDB of its own."""

import subprocess
from getpass import getuser
from socket import gethostname

from slurm.cluster import Cluster, ended, free_ports

DAEMONS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacct")
PACKAGES = "slurmdbd mariadb-server"

SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStoreFlags=job_comment
"""
DATABASE_CNF = """
[mariadbd]
datadir={folder}/database
socket={folder}/database.socket
pid-file={folder}/database.pid
log-error={folder}/database.log
bind-address=127.0.0.1
port={database_port}
user={user}
skip-name-resolve
"""
# The address is one of this machine, and the data are gone with the tests.
GRANT = """
create database slurm_acct_db; create user slurm@127.0.0.1 identified by 'slurm';
grant all on slurm_acct_db.* to slurm@127.0.0.1;
"""


class AccountedCluster(Cluster):
    """A cluster with accounts, of the user who starts it."""

    def __init__(self, folder):
        super().__init__(folder)
        port, database_port = free_ports(2)
        names = {"folder": folder, "user": getuser(), "host": gethostname()}
        self._names = names | {"port": port, "database_port": database_port}
        self.ACCOUNTING = ACCOUNTING.format(**self._names)

    def start_accounting(self):
        configured = f"--defaults-file={self._file('database.cnf', DATABASE_CNF)}"
        (self.folder / "database").mkdir()
        options = ("--auth-root-authentication-method=normal", "--skip-test-db")
        self.run("mariadb-install-db", configured, *options)
        subprocess.Popen(["mariadbd", configured], stderr=subprocess.DEVNULL)
        socket = f"--socket={self.folder}/database.socket"
        self.wait(lambda: self._is_up("mariadb-admin", socket, "-u", "root", "ping"), "database")
        self.run("mariadb", socket, "-u", "root", "-e", GRANT)
        self._file("slurmdbd.conf", SLURMDBD_CONF).chmod(0o600)
        self.run("slurmdbd")
        self.wait(lambda: self._is_up("sacctmgr", "-n", "show", "cluster"), "accounts")
        for words in ("cluster tests", "account test", f"user {getuser()} account=test"):
            self.run("sacctmgr", "-i", "add", *words.split())

    def stop(self):
        super().stop()
        for name in ("slurmdbd", "database"):
            ended(self.folder / f"{name}.pid")

    def _file(self, name, text):
        path = self.folder / name
        path.write_text(text.format(**self._names))
        return path

    def _is_up(self, *words) -> bool:
        return not subprocess.run(words, env=self.environment, capture_output=True).returncode
