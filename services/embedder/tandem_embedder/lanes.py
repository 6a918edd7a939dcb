"""The two lanes of the queue; the contract calls them a request's priority."""

from tandem_contract.embed import Priority

Lane = Priority
LANES: tuple[Lane, ...] = ("interactive", "bulk")
