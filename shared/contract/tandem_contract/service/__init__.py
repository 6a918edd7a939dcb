"""The behaviour that both services share: settings, log lines, request ids, error replies, memory budget.

Imports only the standard library and msgspec, except ``serving`` and numpy in ``json_slices``. Each service chooses its
own HTTP framework.
"""
