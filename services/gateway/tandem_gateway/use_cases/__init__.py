"""The gateway's operations, independent of HTTP, SQL and usearch."""
