"""How both services run uvicorn.

The one package of the contract that imports more than msgspec and the standard library; only a service's own server
module imports it.
"""
