"""Verifies JSON Web Tokens with PyJWT. Only the composition root imports it, and only if JWT is on."""
