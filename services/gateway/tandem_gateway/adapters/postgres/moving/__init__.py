"""The side of PostgreSQL of a move; see ``adapters.moving``."""
