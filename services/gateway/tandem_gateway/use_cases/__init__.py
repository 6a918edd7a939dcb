"""What the gateway does, apart from HTTP, SQL and usearch: each module is one thing that a client can ask for."""
