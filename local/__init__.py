"""The whole mesh on one machine: the processes, their supervisor, and a demonstration."""
