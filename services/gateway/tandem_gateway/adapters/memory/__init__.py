"""Ports in memory, for tests and for programs that need no disk: nothing survives the process."""
