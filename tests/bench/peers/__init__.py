"""What others take for the work of havrrpd: Neutron's monitors, and a check script in its shape.

Neutron is installed on demand, outside the sources: below ~/.cache/havrrpd-bench or
HAVRRPD_BENCH_PEERS.
"""
