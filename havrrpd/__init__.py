"""havrrpd: one daemon per network node that supervises keepalived's virtual routers."""

__version__ = "0.1.0"
