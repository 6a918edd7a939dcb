"""An agent that answers a question from the documents of a Tandem gateway, by its MCP tools.

The language model comes from a service with OpenAI's API. The packages are ``mcp`` and ``httpx2``.

    TANDEM_URL      gateway (default: http://localhost:8000), with TANDEM_MCP=true
    TANDEM_API_KEY  if the gateway needs a key
    OPENAI_BASE_URL (default: http://localhost:11434/v1, Ollama), OPENAI_API_KEY, OPENAI_MODEL

    python agent.py "How do cells get their energy?"

Exit status: 0 answered, 1 no answer after ten rounds or a service failed, 2 no question.
"""

import asyncio
import json
import os
import sys
from typing import Any

import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

GATEWAY = os.environ.get("TANDEM_URL", "http://localhost:8000")
MODEL_URL = os.environ.get("OPENAI_BASE_URL", "http://localhost:11434/v1")
MODEL = os.environ.get("OPENAI_MODEL", "qwen3")
ROUNDS = 10

INSTRUCTIONS = (
    "Answer from the documents alone. Search for them with the tools, more than once if needed, and name the ids of "
    "the documents that you used. If they do not have the answer, say so."
)


def bearer(key: str | None) -> dict[str, str]:
    """Return the header of a key; empty without one."""
    return {"authorization": f"Bearer {key}"} if key else {}


async def answer(question: str) -> str | None:
    """Return the model's answer; None if it goes on calling tools."""
    async with (
        httpx2.AsyncClient(headers=bearer(os.environ.get("TANDEM_API_KEY"))) as to_gateway,
        httpx2.AsyncClient(headers=bearer(os.environ.get("OPENAI_API_KEY")), timeout=300.0) as to_model,
        mcp.Client(streamable_http_client(f"{GATEWAY}/mcp", http_client=to_gateway)) as tools,
    ):
        offered = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
            }
            for tool in (await tools.list_tools()).tools
        ]
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": question},
        ]
        for _ in range(ROUNDS):
            asked = {"model": MODEL, "messages": messages, "tools": offered}
            reply = (await to_model.post(f"{MODEL_URL}/chat/completions", json=asked)).raise_for_status().json()
            said = reply["choices"][0]["message"]
            if not said.get("tool_calls"):
                return str(said["content"])
            messages.append(said)
            for call in said["tool_calls"]:
                name, arguments = call["function"]["name"], call["function"]["arguments"]
                print(f"  {name} {arguments}", file=sys.stderr)
                found = await tools.call_tool(name, json.loads(arguments))
                texts = "\n".join(part.text for part in found.content if part.type == "text")
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": texts})
    return None


def main() -> int:
    """Run the agent on the question of the command line, and return the exit status."""
    if len(sys.argv) != 2:
        print("usage: python agent.py QUESTION", file=sys.stderr)
        return 2
    found = None
    try:
        found = asyncio.run(answer(sys.argv[1]))
    except* (httpx2.HTTPError, mcp.MCPError) as failed:
        print(f"agent: {', '.join(str(error) for error in failed.exceptions)}", file=sys.stderr)
    else:
        print(found or "agent: the model went on calling tools")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
