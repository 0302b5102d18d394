"""Every decision, and nothing else: no clock, no socket, no task, no log."""
