"""A Debian that boots systemd in a container, with a network that ends inside it.

What is written inside goes to a directory of the test, over a tree that stays as it is. When the
process that made it ends, however it ends, the kernel takes the container away.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from havrrpd.lab.process import children
from havrrpd.lab.waiting import LabError, wait_until
from tests.system import cgroups

BOOT_LIMIT = 60.0  # seconds; half a second here
COMMAND_LIMIT = 120.0
NEEDS = (
    "No container boots on this machine. systemd-nspawn needs root with every capability, control "
    "groups and overlay file systems: `make test` can't pass where these are forbidden. It said:\n"
)
# nspawn makes the container's control groups below the one in which it was started. "volatile": a
# stop does not wait for the disk; after one the kernel wants that directory removed. nspawn forbids
# pidfd_getfd(2), which no machine does.
_START = f"""
for group in $GROUPS_OF_THE_TEST; do
    mkdir "$group"
    echo $$ > "$group/cgroup.procs"
done
rm -rf "$WORK/work/work/incompat"
mount -t overlay overlay "$WORK/root" \\
    -o "lowerdir=$TREE,upperdir=$WORK/upper,workdir=$WORK/work,volatile"
exec systemd-nspawn --quiet --boot --directory "$WORK/root" \\
    --system-call-filter=pidfd_getfd --private-network --resolv-conf=off --register=no \\
    --keep-unit --console=pipe systemd.unified_cgroup_hierarchy={int(cgroups.UNIFIED)}
"""
# Whoever of these dies takes the next one along, down to the container; not so nspawn by itself.
_ISOLATED = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)


class Container:
    """Booted by `boot`; `stop` takes everything away but the files in `work`."""

    def __init__(self, tree: Path, work: Path) -> None:
        self._work = work
        self._environment = {
            **os.environ,
            "TREE": str(tree),
            "WORK": str(work),
            "GROUPS_OF_THE_TEST": " ".join(map(str, _groups())),
        }
        self._launcher: subprocess.Popen[bytes] | None = None
        self._init = 0
        for name in ("upper", "work", "root"):
            (work / name).mkdir()

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(self, inside: str, text: str) -> None:
        """A file of its own, before it boots."""
        path = self._work / "upper" / inside.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def boot(self) -> None:
        """Returns when systemd has started all that it starts at boot."""
        with (self._work / "console.log").open("ab") as console:
            self._launcher = subprocess.Popen(
                [*_ISOLATED, "sh", "-euc", _START],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._init = wait_until(self._booted, BOOT_LIMIT, f"a boot, see {console.name}")
            self.run("systemctl", "is-system-running", "--wait", check=False)
        except BaseException:
            self.stop()
            raise

    def reboot(self) -> None:
        """As `systemctl reboot` does: in order, and with an empty /run."""
        assert self._launcher is not None
        self.run("systemctl", "reboot")
        self._launcher.wait(BOOT_LIMIT)
        cgroups.remove()
        self.boot()

    def stop(self) -> None:
        """At once, as a node that loses its power."""
        if self._launcher is not None:
            self._launcher.kill()
            self._launcher.wait()
            self._launcher = None
        cgroups.remove()

    def run(
        self, *argv: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside; LabError if it fails and `check` is set."""
        done = subprocess.run(
            ["nsenter", f"--target={self._init}", *_NAMESPACES, *argv],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            timeout=COMMAND_LIMIT,
            env={"PATH": _PATH, "LANG": "C.UTF-8", "HOME": "/root", **(environment or {})},
        )
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(argv)}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def say(self, *argv: str) -> str:
        """What a command printed, without the last line's end."""
        return self.run(*argv).stdout.rstrip("\n")

    def shell(self, script: str, environment: Mapping[str, str] | None = None) -> str:
        """What a shell script printed; it ends at the first command that fails."""
        return self.run("sh", "-euc", script, environment=environment).stdout

    def path(self, inside: str) -> Path:
        """Where an absolute path of the container is found from here."""
        return Path(f"/proc/{self._init}/root{inside}")

    def _booted(self) -> int | None:
        assert self._launcher is not None
        if self._launcher.poll() is not None:
            raise AssertionError(NEEDS + (self._work / "console.log").read_text()[-2000:])
        for nspawn in children(self._launcher.pid):
            for pid in children(nspawn):
                if Path(f"/proc/{pid}/root/run/systemd/private").exists():
                    return pid
        return None


_NAMESPACES: Sequence[str] = ("--mount", "--uts", "--ipc", "--net", "--pid")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _groups() -> list[Path]:
    """In the hierarchies that systemd has for itself."""
    own = [path for path in cgroups.hierarchies() if path.name in ("systemd", "unified", "cgroup")]
    return [path / cgroups.OWN for path in own]
