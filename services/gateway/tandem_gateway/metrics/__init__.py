"""The gateway's Prometheus metrics, one module for each concern; the only package that imports prometheus_client."""
