"""``python -m tests.gateway.http.make_golden_replies`` records the golden replies of the current code.

Read the resulting diff: a changed reply is a change of the API.
"""

import asyncio
import json
import tempfile
from pathlib import Path

from tests.gateway.http.golden_gateways import GATEWAYS, REPLIES, Reply, replies_of
from tests.gateway.http.golden_requests import CASES


async def record() -> dict[str, Reply]:
    """Return the reply to each case."""
    found: dict[str, Reply] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in GATEWAYS:
            found |= await replies_of(kind, CASES, Path(folder))
    return {name: found[name] for name in CASES}


if __name__ == "__main__":
    replies = asyncio.run(record())
    lines = [f"  {json.dumps(name)}: {json.dumps(reply, sort_keys=True)}" for name, reply in replies.items()]
    REPLIES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
