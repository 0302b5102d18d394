"""Fuzzing of what decodes bytes from outside: `make fuzz`, and a short run in CI."""
