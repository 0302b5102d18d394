"""Several nodes on one machine, with real keepalived, to try and to test."""
