"""Keywords that are known and say nothing about what is supervised: skipped without a count.

From keepalived.conf(5) of 2.2.7, and older spellings that it still takes.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOP_LEVEL = _words("""
    SSL bfd_instance child_wait_time garp_group interface_up_down_delays linkbeat_interfaces
    linkbeat_use_polling namespace_with_ipsets net_namespace_ipvs static_ipaddress static_rules
    static_track_group track_group use_pid_dir instance virtual_server
    virtual_server_group vrrp_script vrrp_track_process track_process
    """)

# Every global definition whose keyword begins so is about something else than VRRP's own state.
GLOBAL_PREFIXES = (
    "bfd_",
    "checker_",
    "config_save_",
    "dbus_",
    "enable_",
    "include_check",
    "lvs_",
    "min_auto_",
    "max_auto_",
    "nftables",
    "no_",
    "notification_",
    "process_",
    "reload_",
    "rs_init_",
    "script_",
    "shutdown_",
    "smtp_",
    "snmp_",
    "startup_",
    "tmp_config_",
    "vmac_",
    "vrrp_down_",
    "vrrp_garp_",
    "vrrp_gna_",
    "vrrp_ip",
    "vrrp_mcast_",
    "vrrp_netlink_",
    "vrrp_rlimit_",
    "vrrp_rx_",
    "vrrp_vmac_",
)

GLOBAL = _words("""
    data_use_instance default_interface disable_local_igmp dynamic_interfaces
    fifo_write_vrrp_states_on_reload linkbeat_use_polling log_unknown_vrids notify_fifo_script
    random_seed router_id umask use_pid_dir child_wait_time instance namespace_with_ipsets
    net_namespace_ipvs vrrp_check_unicast_src vrrp_cpu_affinity vrrp_higher_prio_send_advert
    vrrp_lower_prio_no_advert vrrp_min_garp vrrp_no_swap vrrp_notify_fifo_script
    vrrp_notify_priority_changes vrrp_priority vrrp_process_name vrrp_rt_priority
    vrrp_skip_check_adv_addr vrrp_startup_delay
    """)

GROUP = _words("""
    global_tracking notify notify_backup notify_fault notify_master notify_priority_changes
    notify_stop smtp_alert sync_group_tracking_weight track_bfd track_interface track_process
    track_script
    """)

INSTANCE = _words("""
    accept auth_pass auth_type check_unicast_src debug dont_track_primary
    garp_extra_if garp_lower_prio_delay garp_lower_prio_repeat garp_master_delay
    garp_master_refresh garp_master_refresh_repeat garp_master_repeat higher_prio_send_advert
    kernel_rx_buf_size linkbeat_use_polling lower_prio_no_advert lvs_sync_daemon_interface
    mcast_dst_ip mcast_src_ip no_accept notify notify_backup notify_deleted notify_fault
    notify_master notify_master_rx_lower_pri notify_priority_changes notify_stop
    old_unicast_checksum preempt_delay promote_secondaries skip_check_adv_addr smtp_alert
    strict_mode track_bfd track_interface track_process track_src_ip
    unicast_fault_no_peer unicast_src_ip unicast_ttl use_vmac_addr virtual_rules
    vmac_garp_intvl vmac_xmit_base vrf
    """)

ADDRESS_FLAGS = _words("home -nodad mngtmpaddr noprefixroute autojoin no_track use_vmac")
ADDRESS_OPTIONS = _words("scope broadcast brd label preferred_lft")

ROUTE_FLAGS = _words("onlink no_track add prepend append")
ROUTE_OPTIONS = _words("""
    src from tos dsfield table protocol scope metric priority preference expires hoplimit window
    initcwnd initrwnd features quickack pref ttl-propagate fastopen_no_cookie track_group vrf
    realms weight
    """)
ROUTE_LOCKABLE = _words("mtu advmss rtt rttvar reordering cwnd ssthresh rto_min congctl")
ROUTE_TYPES = _words("""
    unicast local broadcast anycast multicast blackhole unreachable prohibit throw nat xresolve
    """)
