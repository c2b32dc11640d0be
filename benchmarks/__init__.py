"""Benchmarks, one command each. Machines are shared and noisy: only compare ratios from one run."""
