"""The lines that a keepalived configuration needs for havrrpd to hear and to move a router."""

from __future__ import annotations

from typing import Any

_LEVER = ("track_file {", "    havrrpd", "}")


def generic(notify_dir: str, lever_dir: str, router: str = "ROUTER") -> str:
    """For a router that the daemon does not know: the reader fills the names in."""
    note = (
        "# ROUTER: the UUID of a qrouter- or snat- namespace, else the namespace's name, else the\n"
        "# name of the configuration file without .conf\n"
        if router == "ROUTER"
        else ""
    )
    return note + _stanza(notify_dir, lever_dir, router, [_block("vrrp_instance INSTANCE", _LEVER)])


def for_router(notify_dir: str, lever_dir: str, router: dict[str, Any]) -> str:
    """For one router of /status, with the names of its instances and sync groups."""
    plain, groups = [], []
    for instance in router["instances"]:
        group = instance["sync_group"]
        if group is None:
            plain.append(_block(f"vrrp_instance {instance['vrrp_instance']}", _LEVER))
        elif group not in groups:
            groups.append(group)
    if not plain and not groups:
        return generic(notify_dir, lever_dir, router["router"])
    # In a member of a group keepalived 2.2.7 takes the weight for 0: any standing is then FAULT.
    lines = ("sync_group_tracking_weight", *_LEVER)
    blocks = [_block(f"vrrp_sync_group {group}", lines) for group in groups]
    return _stanza(notify_dir, lever_dir, router["router"], blocks + plain)


def _stanza(notify_dir: str, lever_dir: str, router: str, blocks: list[str]) -> str:
    fifo = _block("global_defs", (f"vrrp_notify_fifo {notify_dir}/{router} root",))
    lever = (f"file {lever_dir}/{router}", "weight 1", "init_file 0")
    return "\n".join([fifo, _block("track_file havrrpd", lever), *blocks])


def _block(head: str, lines: tuple[str, ...]) -> str:
    return "\n".join([f"{head} {{", *(f"    {line}" for line in lines), "}", ""])
