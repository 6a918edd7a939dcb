"""How a Tandem service behaves, whichever it is: its settings, its log lines, its ids, its error replies.

Standard library and msgspec only, but for ``serving``; an HTTP framework is each service's own affair.
"""
