"""The user that Postgres runs as. Postgres refuses to run as root or as a user without an account.

A user namespace solves both: inside it this user has the id of an existing account. Files and processes outside still
belong to this user, so it works even under a private home. If namespaces are forbidden, as in most containers, root
changes to an unprivileged account.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracemill.errors import StackError


@dataclass(frozen=True)
class Identity:
    """How to run a Postgres program: with `prefix` before its command, or as `uid` and `gid`."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def run(self, command: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command and wait for its end, with error output in stdout. Raises OSError if it cannot start."""
        return subprocess.run(
            [*self.prefix, *command],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def take_over(self, path: Path) -> None:
        """As root, change the owner of `path` and its contents to the user of Postgres."""
        if os.geteuid() != 0:
            return
        uid, gid = (self.uid, self.gid) if self.uid is not None and self.gid is not None else (0, 0)
        if path.stat().st_uid == uid:
            return
        os.chown(path, uid, gid)
        for parent, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(os.path.join(parent, name), uid, gid, follow_symlinks=False)

    def give_access(self, root: Path) -> None:
        """Give Postgres access to the data folder. Raises StackError if a parent folder prevents that."""
        if self.uid is None:
            return
        # This shows no contents, because each folder inside is private.
        root.chmod(root.stat().st_mode | 0o011)
        if self.run(["test", "-x", str(root)]).returncode != 0:
            account = pwd.getpwuid(self.uid).pw_name
            raise StackError(
                f"Postgres refuses to run as root, user namespaces are not allowed here, and the account {account} "
                f"cannot reach {root}: choose a data folder outside private folders such as /root, "
                "or run tracemill as an ordinary user."
            )


def identity() -> Identity:
    """The identity for Postgres on this machine. Raises StackError if there is none."""
    if os.geteuid() != 0 and _has_account(os.geteuid()):
        return Identity()
    account = _unprivileged_account()
    unshare = shutil.which("unshare")
    if unshare:
        prefix = (unshare, "--user", f"--map-user={account.pw_uid}", f"--map-group={account.pw_gid}")
        if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
            return Identity(prefix=prefix)
    if os.geteuid() == 0:
        return Identity(uid=account.pw_uid, gid=account.pw_gid)
    raise StackError(
        f"Postgres needs a user with an account, user {os.geteuid()} has none, and user namespaces are forbidden here. "
        "Add the user to /etc/passwd, or use a Postgres that runs elsewhere."
    )


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _unprivileged_account() -> pwd.struct_passwd:
    accounts = {account.pw_name: account for account in pwd.getpwall() if account.pw_uid != 0}
    for name in ("postgres", "nobody", *accounts):
        if name in accounts:
            return accounts[name]
    raise StackError(
        "Postgres refuses to run as root and there is no other account; add one, for example `useradd postgres`."
    )
