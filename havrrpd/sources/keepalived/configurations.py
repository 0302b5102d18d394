"""What the configuration of a known router says now, where that is news."""

from __future__ import annotations

import structlog

from havrrpd.core.messages import KeepalivedAbsent, KeepalivedReloaded
from havrrpd.core.model import KeepalivedConfig
from havrrpd.sources.keepalived.loaded import LoadedConfig, Stamp
from havrrpd.sources.keepalived.routers import KnownRouter, Process

UNREAD: Stamp = (0, 0, 0, 0)  # of a file that can't be read: another look follows

_log = structlog.get_logger(__name__)


def take(router: KnownRouter, config: KeepalivedConfig) -> None:
    """The router has this configuration from now on."""
    router.config = config
    if config.skipped:
        _log.info("config.partly_read", router=router.id, skipped=config.skipped)


def reloaded(router: KnownRouter, process: Process) -> KeepalivedReloaded | None:
    """Of a router that runs. A change counts when it holds still: keepalived may be writing.

    The first look at it sets `process.changed_stamp`, and another one should follow soon.
    """
    stamp = process.loaded.stamp()
    if stamp is None or stamp == process.stamp:
        process.changed_stamp = None
        return None
    if stamp != process.changed_stamp:
        process.changed_stamp = stamp
        return None
    try:
        config = process.loaded.read()
    except OSError as error:
        if process.stamp is not None:
            _note_unread(router, process.loaded, error)
        process.stamp = None
        return None
    process.stamp, process.changed_stamp = stamp, None
    if config == router.config:
        return None
    take(router, config)
    _log.info("keepalived.reloaded", router=router.id, pid=process.pid)
    return KeepalivedReloaded(config)


def of_absent(
    router: KnownRouter, file: LoadedConfig
) -> KeepalivedAbsent | KeepalivedReloaded | None:
    """Of a router that does not run, and that the configuration of havrrpd names."""
    stamp = file.stamp()
    announced = router.ran or router.absent_stamp is not None
    if announced and stamp == router.absent_stamp:
        return None
    try:
        config = file.read()
        router.absent_stamp = stamp or UNREAD
    except OSError as error:
        if router.absent_stamp != UNREAD:
            _note_unread(router, file, error)
        router.absent_stamp = UNREAD
        config = KeepalivedConfig() if stamp is None else router.config
    if not announced:
        take(router, config)
        _log.info("router.absent", router=router.id, namespace=router.namespace)
        return KeepalivedAbsent(router.namespace, config)
    if config == router.config:
        return None
    take(router, config)
    return KeepalivedReloaded(config)


def _note_unread(router: KnownRouter, loaded: LoadedConfig, error: OSError) -> None:
    _log.warning("config.not_read", router=router.id, path=loaded.path, error=str(error))
