"""A page that is drawn anew whenever what it shows has changed, such as that of a training run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from celebahq_tools.errors import CelebahqError
from celebahq_tools.serve.access import AccessGuard, AccessRules
from celebahq_tools.serve.events import stream_events

# matplotlib's settings belong to the whole process: one page is drawn at a time.
DRAWING = threading.Lock()


class Stopper:
    """Whether the server is ending; the command sets it."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self) -> bool:
        """Return whether it is."""
        return self.is_set


def make_page_app(
    render: Callable[[], str], watch: Callable[[], Hashable], rules: AccessRules, stopper: Stopper
) -> AccessGuard:
    """Return an application that serves one page and tells it when to renew itself.

    Args:
        render: Returns the page, made with ``served=True``.
        watch: Returns something cheap that differs whenever the page would.
        rules: Who may read it.
        stopper: Ends open streams.
    """
    drawn: dict[str, Any] = {"of": None, "page": ""}

    def show_page(_: Request) -> Response:
        with DRAWING:
            now = watch()
            if drawn["of"] is None or drawn["of"] != now:
                try:
                    drawn.update(page=render(), of=now)
                except CelebahqError as error:
                    return PlainTextResponse(f"{error}\n", status_code=503)
            return HTMLResponse(drawn["page"])

    async def show_events(_: Request) -> Response:
        def look() -> dict[str, Any]:
            return {"version": str(watch())}

        return StreamingResponse(stream_events(look, stopper), media_type="text/event-stream")

    app = Starlette(routes=[Route("/", show_page), Route("/events", show_events)])
    return AccessGuard(app, rules)


def watch_files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return names, sizes and times of the files right inside a folder and its folders: cheap, and telling enough."""
    found = []
    for path in [folder, *(one for one in _list(folder) if one.is_dir())]:
        for file in _list(path):
            try:
                status = file.stat()
            except OSError:
                continue  # removed meanwhile
            found.append((str(file), status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
