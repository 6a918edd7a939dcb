"""Measures and compares embedding servers: ``python -m gateway_bench.embed``."""
