"""Server-sent events: one number that grows whenever there is something new to ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

# Seconds between looks at what is watched, and after which a silent connection says that it is alive.
INTERVAL = 0.5
_HEARTBEAT = 15.0


async def stream_events(look: Callable[[], dict[str, Any]], stopping: Callable[[], bool]) -> AsyncIterator[str]:
    """Yield an event whenever what ``look`` returns has changed; the first at once.

    Args:
        look: Cheap; called in a thread, every half second and client.
        stopping: Whether the server is about to end: open streams would hold it up.
    Yields:
        Lines as ``text/event-stream`` has them.
    """
    last: dict[str, Any] | None = None
    silent = 0.0
    while not stopping():
        now = await asyncio.to_thread(look)
        if now != last:
            last, silent = now, 0.0
            yield f"data: {json.dumps(now)}\n\n"
        elif silent >= _HEARTBEAT:
            silent = 0.0
            yield ": alive\n\n"
        await asyncio.sleep(INTERVAL)
        silent += INTERVAL
