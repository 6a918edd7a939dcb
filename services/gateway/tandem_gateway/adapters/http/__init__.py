"""The HTTP/1.1 client of the gateway: one pool of connections to one origin, with two doors.

``messages`` has requests, responses and errors. ``connection`` is one connection, parsed by httptools, with the bounds
on what it receives. ``transport`` is the pool; its ``call`` serves the hot call to an embedder.
``httpx_transport`` is the second door: the same pool as a transport of httpx2. ``tls`` has certificates and their
renewal.
"""
