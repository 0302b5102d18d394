"""The outside world as events. Each is thin I/O around a pure decode."""
