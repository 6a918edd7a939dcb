"""Runs uvicorn, for both services.

Unlike the rest of the runtime, this package needs uvicorn and httptools. Only a service's own server module imports
it.
"""
