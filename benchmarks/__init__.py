"""Side-by-side measurements, one command each. Machines are shared and noisy: trust ratios taken in one run."""
