"""As whom Postgres runs: it refuses to be root, and to initialise for a user without an account.

Both are cured by a user namespace in which this user goes by another, existing name; files and processes stay this
user's own, so it works even under a private home. Where namespaces are forbidden (most containers), root drops to an
unprivileged account instead.
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
    """How to run a Postgres program: put `prefix` before its command, or drop to `uid` and `gid` first."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def run(self, command: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end, standard output and error together. Raises OSError if it cannot start."""
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

    def own(self, path: Path) -> None:
        """Make the whole of `path` belong to the user that Postgres will be, if root left it to another."""
        if os.geteuid() != 0:
            return
        uid, gid = (self.uid, self.gid) if self.uid is not None and self.gid is not None else (0, 0)
        if path.stat().st_uid == uid:
            return
        os.chown(path, uid, gid)
        for parent, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(os.path.join(parent, name), uid, gid, follow_symlinks=False)

    def reach(self, root: Path) -> None:
        """Let Postgres pass through the data folder. Raises StackError if it cannot come that far."""
        if self.uid is None:
            return
        # The parts inside are private each: passing through shows nothing.
        root.chmod(root.stat().st_mode | 0o011)
        if self.run(["test", "-x", str(root)]).returncode != 0:
            account = pwd.getpwuid(self.uid).pw_name
            raise StackError(
                f"Postgres refuses to run as root, user namespaces are not allowed here, and the account {account} "
                f"cannot reach {root}: choose a data folder outside private folders such as /root, "
                "or run tracemill as an ordinary user."
            )


def identity() -> Identity:
    """As whom Postgres can run here. Raises StackError if nobody fits."""
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
