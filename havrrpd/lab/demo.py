"""The demo: the whole lab on this machine, a live table, and keys to break things.

`python -m havrrpd.lab.demo` to try it by hand, with `--once` to see it play by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from havrrpd.lab.lab import Lab
from havrrpd.lab.plan import whole
from havrrpd.lab.play import play
from havrrpd.lab.relay import Relay, relay_of
from havrrpd.lab.table import rows, statuses, table
from havrrpd.lab.waiting import LabError
from havrrpd.terminal.keyboard import keyboard

_REFRESH = 0.5  # seconds
_KEYS = (
    "[g] gateway of the MASTER's node off/on   [a] gateway of all nodes off/on\n"
    "[k] kill -9 keepalived of the MASTER's node / start it   "
    "[h] kill -9 havrrpd there / start it   [q] quit"
)


def main(once: bool) -> int:
    """Run the demo; returns the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(width=None if sys.stdout.isatty() else 120)
    if os.geteuid() != 0:
        console.print("the demo needs root: it makes network namespaces (sudo make demo)")
        return 1
    lab = Lab(whole(routers=1), keep_logs=once)
    try:
        console.print("building three network nodes, a compute node and what is around them ...")
        with lab:
            if once:
                _play(lab, console)
            else:
                _show(lab, console)
    except LabError as error:
        console.print(f"FAILED: {error}", style="bold red", soft_wrap=True)
        if once:
            console.print(f"the logs are in {lab.logs}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("everything is taken down")
        return 130 if once else 0
    return 0


def _play(lab: Lab, console: Console) -> None:
    def say(line: str, seconds: float) -> None:
        console.print(f"{seconds:6.2f} s  {line}", highlight=False, soft_wrap=True)

    try:
        play(lab, say)
    finally:
        console.print(table(statuses(lab)))


def _show(lab: Lab, console: Console) -> None:
    with relay_of(lab, lab.any_node) as relay:
        help_text = _help(lab, relay)
        if not console.is_terminal:
            console.print(help_text, soft_wrap=True)
            _print_changes(lab, console)
            return
        keys = Keys(lab)
        with keyboard() as pressed, Live(console=console, screen=True) as live:
            while (key := pressed(_REFRESH)) != "q":
                keys.press(key)
                note = Text(keys.note, style="bold")
                live.update(Group(note, table(statuses(lab)), Text(help_text)), refresh=True)


def _print_changes(lab: Lab, console: Console) -> None:
    """For a pipe or a file: a line for each row whenever its state, problems or gateways change."""
    shown: dict[tuple[str, str], tuple[str, ...]] = {}
    while True:
        for row in rows(statuses(lab)):
            facts = (row[2], *row[4:])
            if shown.get((row[0], row[1])) != facts:
                shown[row[0], row[1]] = facts
                console.print("  ".join(cell for cell in row if cell), soft_wrap=True)
        time.sleep(_REFRESH)


def _help(lab: Lab, relay: Relay) -> str:
    name, node = next(iter(lab.nodes.items()))
    enter = f"nsenter -t {node.pid} -m -n -p -u"
    lines = [f"{name}  {url}" for name, url in relay.urls.items()]
    pids = [f"{name}: {node.pid}" for name, node in lab.nodes.items()]
    namespace = lab.routers[0].namespace
    return "\n".join(
        (
            *lines,
            _KEYS,
            f"or by hand, on {name} (the nodes' pids: {', '.join(pids)}):",
            f"  {enter} ip -n {namespace} address",
            f"  {enter} ip link set eth-prov down   # its provider cable; eth-ovl: the overlay",
            f"  {enter} {sys.executable} -m havrrpd status",
            f"logs: {lab.logs}",
        )
    )


class Keys:
    """What the keys do, and undo when pressed again."""

    def __init__(self, lab: Lab) -> None:
        self.note = ""
        self._lab = lab
        self._undo: dict[str, Callable[[], str]] = {}

    def press(self, key: str) -> None:
        """An unknown key does nothing; what fails is said in `note`."""
        try:
            if key in self._undo:
                self.note = self._undo.pop(key)()
            elif key in ("g", "k", "h", "a"):
                holders = self._lab.holders()
                self.note = self._break(key, holders[0]) if holders else "no node is MASTER now"
        except LabError as error:
            self.note = str(error)

    def _break(self, key: str, name: str) -> str:
        lab = self._lab
        match key:
            case "g":
                lab.break_gateway(name)
                self._undo[key] = lambda: self._done(lab.heal_gateway, name, "gateway is back")
                return f"the gateway of {name} is off"
            case "a":
                lab.break_gateway()
                self._undo[key] = self._heal_all
                return "the gateway is off for all nodes"
            case "k":
                lab.kill_keepalived(name)
                self._undo[key] = lambda: self._done(lab.start_keepalived, name, "keepalived runs")
                return f"keepalived of {name} is killed"
            case _:
                lab.kill_havrrpd(name)
                self._undo[key] = lambda: self._done(lab.start_havrrpd, name, "havrrpd runs")
                return f"havrrpd of {name} is killed"

    def _heal_all(self) -> str:
        self._lab.heal_gateway()
        return "the gateway is back for all nodes"

    @staticmethod
    def _done(undo: Callable[[str], None], name: str, note: str) -> str:
        undo(name)
        return f"{name}: {note}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(once="--once" in sys.argv[1:]))
