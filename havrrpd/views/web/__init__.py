"""HTTP: the read-only views over TCP, and with them on the Unix socket what changes something.

`app.py` has the pages, `orders.py` what may be ordered, `answers.py` how an answer looks. Who comes
in, and how much one client may ask: `door.py`, with `users.py`, `limits.py` and `tls.py`. Sockets:
`server.py` accepts, `connection.py` is one client. `openapi.py` describes all of it.
"""
