"""The side of SQLite of a move; see ``adapters.moving``."""
