"""The fault matrix: every row of docs/faults.md, and what its test asserts."""

from __future__ import annotations

from tests.faults.words import Hits, Limit, Never, Node, Row, Says

HERE, THERE, EVERYWHERE = Node.HERE, Node.THERE, Node.EVERYWHERE
AT_ONCE = Limit(0.5)
SETTLED = Limit(0.75)  # settle, and the moment that keepalived takes
ENDED = Limit(1.5)  # keepalived takes a second to end
FOUND = Limit(2.0)  # discovery.interval
ELECTED = Limit(1.5)  # Skew_Time, after an advert with priority 0
SILENT = Limit(1.5, adverts=3)  # Active_Down_Interval
HEALED = Limit(1.0, adverts=3)  # an advert sent counts for three intervals
HUNG = Limit(0.5, adverts=4)  # the last advert can be one interval old

CALM = (Never.RESIGN, Never.TWO, Never.LIE, Never.END)
UNMOVED = (Never.MOVE, *CALM)
UNSEEN = (Never.TROUBLE, *UNMOVED)

PROCESSES = (
    Row(
        "child_killed",
        "`kill -9` of keepalived's VRRP child",
        (
            Says(HERE, "BACKUP", FOUND, cause="started"),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
        ),
        CALM,
        "keepalived's main process starts another child at once, which clears the addresses",
        FOUND,
        note="The transition to STOPPED, `keepalived_died`, is in the log and the counters; the new"
        " child is there before anybody can look. Killed right behind an advert, when the others"
        " have just begun to wait, the same node can become MASTER again.",
    ),
    Row(
        "main_killed",
        "`kill -9` of its main process",
        (
            Says(HERE, "STOPPED", ENDED, ("keepalived_down",), "keepalived_stopped"),
            Says(THERE, "MASTER", ELECTED, cause="peer_resigned"),
        ),
        CALM,
        "keepalived is started",
        FOUND,
        note="The cause is `keepalived_stopped`: the child sees its parent die and ends properly.",
    ),
    Row(
        "both_killed",
        "`kill -9` of both",
        (
            Says(
                HERE,
                "STOPPED",
                SETTLED,
                ("keepalived_down", "addresses_orphaned"),
                "keepalived_died",
            ),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
        ),
        CALM,
        "keepalived is started: it clears the addresses",
        FOUND,
    ),
    Row(
        "main_stopped",
        "SIGSTOP of its main process, then SIGCONT",
        (Says(HERE, "MASTER", AT_ONCE),),
        UNSEEN,
        "SIGCONT",
        AT_ONCE,
        lasts=4.0,
        note="It is not seen. The child does all that VRRP asks for, so nothing is wrong yet; but a"
        " child that dies is not started again, and then it says `keepalived_down`.",
    ),
    Row(
        "child_stopped",
        "SIGSTOP of its VRRP child, then SIGCONT",
        (
            Says(HERE, "MASTER", HUNG, ("adverts_stopped",)),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
            Says(HERE, "MASTER", Limit(2.0, adverts=6), ("adverts_stopped", "duplicate_master")),
        ),
        CALM,
        "SIGCONT: one of the two gives in",
        HEALED,
    ),
    Row(
        "both_stopped",
        "SIGSTOP of both, then SIGCONT",
        (
            Says(HERE, "MASTER", HUNG, ("adverts_stopped",)),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
            Says(HERE, "MASTER", Limit(2.0, adverts=6), ("adverts_stopped", "duplicate_master")),
        ),
        CALM,
        "SIGCONT: one of the two gives in",
        HEALED,
    ),
    Row(
        "stopped",
        "keepalived is stopped (SIGTERM)",
        (
            Says(HERE, "STOPPED", ENDED, ("keepalived_down",), "keepalived_stopped"),
            Says(THERE, "MASTER", ELECTED, cause="peer_resigned"),
        ),
        CALM,
        "keepalived is started",
        FOUND,
    ),
    Row(
        "upgraded",
        "keepalived is upgraded: its file replaced, then restarted",
        (
            Says(HERE, "STOPPED", ENDED, ("keepalived_down",), "keepalived_stopped"),
            Says(THERE, "MASTER", ELECTED, cause="peer_resigned"),
        ),
        CALM,
        "the new one starts",
        FOUND,
    ),
)

RELOADS = (
    Row(
        "reloaded",
        "keepalived is reloaded with one more address",
        (Says(HERE, "MASTER", FOUND),),
        UNMOVED,
        "it is reloaded with the old configuration",
        FOUND,
        lasts=2.0,
    ),
    Row(
        "reloaded_broken",
        "keepalived is reloaded with a file that is cut off in the middle",
        (
            Says(HERE, "STOPPED", FOUND, ("keepalived_down",)),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
        ),
        CALM,
        "it is started with a whole file",
        FOUND,
        lasts=4.0,
    ),
    Row(
        "reloaded_renamed",
        "keepalived is reloaded with another name for its instance",
        (Says(HERE, "MASTER", FOUND, cause="started", notification="none"),),
        UNMOVED,
        "it is reloaded with the old name",
        FOUND,
        lasts=4.0,
    ),
    Row(
        "reloaded_vrid",
        "keepalived is reloaded with another VRID",
        (
            Says(HERE, "BACKUP", FOUND, cause="started"),
            Says(THERE, "MASTER", ELECTED, cause="peer_resigned"),
            Says(HERE, "MASTER", SILENT, cause="peer_silent"),
        ),
        (Never.RESIGN, Never.END),
        "it is reloaded with the old VRID",
        HEALED,
        lasts=6.0,
        note="Two nodes hold the addresses, and both say MASTER. To VRRP these are two virtual"
        " routers; the adverts of other VRIDs belong to other routers, and the kernel drops them"
        " before havrrpd sees them.",
    ),
    Row(
        "unequal_advert_int",
        "keepalived is reloaded with a longer advert_int: two masters (version 2)",
        (
            Says(THERE, "MASTER", SILENT, cause="unknown"),
            Says(HERE, "MASTER", Limit(4.5, adverts=4), ("duplicate_master",)),
        ),
        (Never.RESIGN, Never.END),
        "it is reloaded with the advert_int of the others",
        HEALED,
        lasts=8.0,
        note="Two nodes say MASTER for as long as it lasts, and only the one with the longer"
        " advert_int names it: each advert that keepalived hears puts off its own, so the other"
        " node hears nothing. The cause there is `unknown`, as a MASTER was heard until then, and"
        " keepalived did not accept its adverts. `odd_adverts` in `/status` and `havrrpd doctor`"
        " say what differs.",
    ),
)

LINKS = (
    Row(
        "addresses_flushed",
        "`ip address flush` on the VRRP interface",
        (
            Says(HERE, "FAULT", SETTLED, cause="address_removed"),
            Says(THERE, "MASTER", ELECTED, cause="peer_resigned"),
        ),
        CALM,
        "the interface has its own address again",
        FOUND,
    ),
    Row(
        "excluded_deleted",
        "an excluded address is deleted",
        (Says(HERE, "MASTER", SETTLED, ("addresses_missing",)),),
        UNMOVED,
        "it is added",
        AT_ONCE,
    ),
    Row(
        "link_down",
        "the VRRP interface is set down",
        (
            Says(HERE, "FAULT", SETTLED, cause="link_down"),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
        ),
        CALM,
        "it is set up",
        FOUND,
    ),
    Row(
        "link_deleted",
        "the VRRP interface is deleted",
        (
            Says(HERE, "FAULT", SETTLED, cause="link_down"),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
        ),
        CALM,
        "it is made again, and keepalived restarted",
        FOUND,
        note="keepalived 2.2.7 goes to BACKUP on the new interface and never becomes MASTER there"
        " until it is restarted. Nothing tells before the MASTER fails; then it is"
        " `no_master_heard`.",
    ),
    Row(
        "namespace_unnamed",
        "`ip netns delete` under a living keepalived",
        (Says(HERE, "MASTER", AT_ONCE),),
        UNSEEN,
        "it has its name again",
        AT_ONCE,
        lasts=6.0,
    ),
    Row(
        "namespace_deleted",
        "the namespace is deleted with keepalived in it",
        (
            Says(HERE, "not listed", FOUND),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
        ),
        CALM,
        "it is made again, and keepalived started",
        FOUND,
    ),
    Row(
        "cut",
        "layer 2 is cut off and the carrier stays up",
        (
            Says(HERE, "MASTER", AT_ONCE),
            Says(THERE, "MASTER", SILENT, cause="peer_silent"),
        ),
        (Never.RESIGN, Never.END),
        "it heals: one of the two gives in",
        HEALED,
        note="The node that is cut off says MASTER: it has all that a MASTER has, and nothing"
        " there tells the silence of a BACKUP from that of the wire. The other side says MASTER"
        " because of `peer_silent`.",
    ),
)

PATHS = (
    Row(
        "fifo_remade",
        "the notify FIFO is removed and made again",
        (Says(HERE, "MASTER", FOUND),),
        UNSEEN,
        "keepalived is reloaded",
        FOUND,
        lasts=2.0,
    ),
    Row(
        "fifo_removed",
        "the notify FIFO is removed, and keepalived reloaded",
        (Says(HERE, "MASTER", FOUND, notification="none"),),
        UNSEEN,
        "keepalived is restarted: havrrpd makes the FIFO before it starts",
        FOUND,
        lasts=2.0,
        moves_when_mended=True,
        note="keepalived makes the FIFO itself then, and another one at each reload; havrrpd"
        " follows it.",
    ),
    Row(
        "fifo_replaced",
        "the notify FIFO is replaced by a file, and keepalived reloaded",
        (Says(HERE, "MASTER", FOUND, notification="unwatched"),),
        UNSEEN,
        "the FIFO is made again, and keepalived reloaded",
        FOUND,
    ),
    Row(
        "fifo_full",
        "the notify FIFO is full of untrue lines",
        (Says(HERE, "MASTER", FOUND, notification="none"),),
        UNSEEN,
        "keepalived says something new",
        FOUND,
        moves_when_mended=True,
    ),
    Row(
        "lever_dir_removed",
        "the lever's directory is removed; then this node's gateway is lost",
        (Says(HERE, "MASTER", Limit(6.0), ("gateway_unreachable", "lever_missing")),),
        (Never.MOVE, Never.TWO, Never.LIE, Never.END),
        "the directory is made, keepalived reloaded: the router moves",
        Limit(15.0),
        moves_when_mended=True,
        note="Until the router should move nothing is shown: keepalived runs on as before."
        " `havrrpd doctor` says `lever_directory_missing` at any time.",
    ),
)

MACHINE = (
    Row(
        "proc_vanishes",
        "processes end while /proc is read",
        (Says(HERE, "MASTER", AT_ONCE),),
        UNSEEN,
        "it stops",
        FOUND,
    ),
    Row(
        "clock_forward",
        "the clock is set forward by an hour, and back",
        (Says(HERE, "MASTER", AT_ONCE),),
        UNSEEN,
        "the clock is right",
        FOUND,
        lasts=3.0,
    ),
    Row(
        "clock_back",
        "the clock is set back by an hour, and forward",
        (Says(HERE, "MASTER", AT_ONCE),),
        UNSEEN,
        "the clock is right",
        FOUND,
        lasts=3.0,
    ),
    Row(
        "disk_of_state_full",
        "the disk of `/var/lib/havrrpd` is full",
        (Says(HERE, "BACKUP", AT_ONCE),),
        UNSEEN,
        "there is room",
        FOUND,
        hits=Hits.BACKUP,
    ),
    Row(
        "disk_of_run_full",
        "the disk of `/run` is full; then this node's gateway is lost",
        (Says(HERE, "MASTER", Limit(6.0), ("gateway_unreachable", "lever_missing")),),
        (Never.MOVE, Never.TWO, Never.LIE, Never.END),
        "there is room: the router moves",
        Limit(15.0),
        moves_when_mended=True,
        note="A full disk is named when something can't be written to it, and not before.",
    ),
    Row(
        "descriptors_used_up",
        "havrrpd is out of file descriptors; then keepalived stops",
        (
            Says(HERE, "STOPPED", ENDED, ("keepalived_down",), "keepalived_stopped"),
            Says(THERE, "MASTER", ELECTED, cause="peer_resigned"),
        ),
        CALM,
        "it may open more, and keepalived is started",
        FOUND,
    ),
    Row(
        "havrrpd_stopped",
        "SIGSTOP of havrrpd for 10 s, in which the router moves",
        (Says(HERE, "BACKUP", FOUND, cause="started"),),
        CALM,
        "SIGCONT",
        FOUND,
    ),
    Row(
        "havrrpd_killed",
        "`kill -9` of havrrpd at any moment",
        (Says(HERE, "MASTER", Limit(3.0), cause="started"),),
        (Never.MOVE, Never.RESIGN, Never.TWO, Never.LIE),
        "it is started again",
        FOUND,
    ),
    Row(
        "havrrpd_killed_backup",
        "the same where the router is BACKUP",
        (Says(HERE, "BACKUP", Limit(3.0), cause="started"),),
        (Never.MOVE, Never.RESIGN, Never.TWO, Never.LIE),
        "it is started again",
        FOUND,
        hits=Hits.BACKUP,
    ),
    Row(
        "havrrpd_killed_resigning",
        "`kill -9` of havrrpd as it gives a role up",
        (
            Says(HERE, "BACKUP", Limit(3.0)),
            Says(THERE, "MASTER", ELECTED, cause="peer_resigned"),
        ),
        (Never.TWO, Never.LIE),
        "it is started again: it puts the lever right before anything else",
        FOUND,
    ),
)

ROWS = (*PROCESSES, *RELOADS, *LINKS, *PATHS, *MACHINE)
