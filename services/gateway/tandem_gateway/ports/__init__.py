"""Narrow protocols for what the use cases need from the outside. Adapters implement them; tests use fakes."""
