"""What the use cases need from the outside, as narrow protocols; adapters provide it, tests use fakes."""
