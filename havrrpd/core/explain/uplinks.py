"""An uplink that is down, in a sentence: it explains all the rest."""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.core.explain.wording import listing
from havrrpd.core.model import Router
from havrrpd.core.resigning import hindrance


def sentences(router: Router) -> Iterator[str]:
    if not router.uplinks_down:
        return
    named, one = listing(sorted(router.uplinks_down)), len(router.uplinks_down) == 1
    down = f"Its uplink {named} is down" if one else f"Its uplinks {named} are down"
    if why := hindrance(router):
        yield f"{down}, and keepalived can't be held in FAULT for it: {why}."
    else:
        again = "it is" if one else "they are"
        yield f"{down}: keepalived is held in FAULT until {again} up again."
