"""MCP (Model Context Protocol): the tools of the gateway for language models, at ``/mcp``.

``server`` is the only module that imports the SDK, and only the composition root imports ``server``, if MCP is on.
"""
