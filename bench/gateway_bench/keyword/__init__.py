"""Keyword engines behind one interface, for ``gateway_bench.keyword_engines``."""
