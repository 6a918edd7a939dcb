"""Moves a whole store between SQLite and PostgreSQL; the packages of the two have the readers and writers."""
