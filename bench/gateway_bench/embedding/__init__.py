"""Embedding servers, measured and compared: ``python -m gateway_bench.embed``."""
