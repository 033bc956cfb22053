"""The live pages of a work folder, and the review of its faces."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from celebahq_tools.errors import CelebahqError, ConfigError
from celebahq_tools.pages.images import encode_picture
from celebahq_tools.pages.page import read_static, render_page
from celebahq_tools.pages.parts import make_paragraph
from celebahq_tools.report import sections as layout
from celebahq_tools.report.build import PACKAGE, describe_verdict, find_photographs, make_static_bodies
from celebahq_tools.report.details import NO_PHOTOGRAPHS, draw_steps_or_reason, explain_face, render_steps
from celebahq_tools.report.sprites import shrink_face
from celebahq_tools.report.summary import choose_groups
from celebahq_tools.report.view import Snapshot, WorkView
from celebahq_tools.serve.access import AccessGuard, AccessRules
from celebahq_tools.serve.events import stream_events
from celebahq_tools.serve.live import LiveWork
from celebahq_tools.serve.live_pairs import LivePairs
from celebahq_tools.serve.page_app import DRAWING, Stopper

_THUMB = 160
_SHOWN = 12


class WorkPages:
    """Answers of the server of a work folder.

    Args:
        folder: The work folder.
        photos: Folder of the photographs; the one the journal names when omitted.
        device: Where the nets run.
    Raises:
        InputError: If the folder holds no journal, or ``photos`` does not exist.
    """

    def __init__(self, folder: Path, *, photos: Path | None = None, device: str = "auto") -> None:
        self.live = LiveWork(WorkView(folder))
        self._pairs = LivePairs(self.live.view, self.live.tell_news)
        self.photographs = find_photographs(self.live.snapshot, photos, device=device)
        self._draw_steps = lru_cache(maxsize=64)(self._draw_steps_anew)

    def show_page(self, request: Request) -> Response:
        """Answer with the page; it asks for its faces itself."""
        self.live.refresh()
        snapshot = self.live.snapshot
        may_write = bool(request.state.may_write)
        with DRAWING:
            bodies = make_static_bodies(snapshot, self.photographs)
        groups = choose_groups(snapshot, lambda row: bool(snapshot.at_hand[row]), count=_SHOWN)
        bodies["faces"] = layout.show_groups([(group, self._make_tiles(snapshot, group.rows)) for group in groups])
        bodies["duplicates"] = self._show_pairs(snapshot)
        review = layout.render_macro("review", may_write=may_write)
        gallery = layout.render_macro("gallery", parts=snapshot.faces.part_names, count=len(snapshot.faces))
        bodies["all"] = Markup("{}{}{}").format(review, gallery, layout.render_macro("dialog", details=[]))
        page = render_page(
            title=self.live.view.title,
            subtitle=f"Live: faces of {snapshot.size} × {snapshot.size} pixels; this page follows the build",
            sections=layout.make_sections(bodies),
            data={"live": {"write": may_write}},
            scripts=[read_static("faces.js", PACKAGE), read_static("live.js", "celebahq_tools.serve")],
            styles=[read_static("faces.css", PACKAGE)],
            served=True,
        )
        return HTMLResponse(page)

    def list_faces(self, request: Request) -> Response:
        """Answer with the faces that changed after a number."""
        since = request.query_params.get("since", "0")
        if not since.isdigit() or len(since) > 12:
            raise HTTPException(400, "since: expected a number")
        self.live.refresh()
        return JSONResponse(self.live.list_changes(int(since), request.query_params.get("epoch", "")))

    def show_thumb(self, request: Request) -> Response:
        """Answer with a small picture of a face."""
        pixels = self._read(request, side=_THUMB)[1]
        data = encode_picture(shrink_face(pixels, min(_THUMB, len(pixels))), encoding="WEBP", quality=80)
        return Response(data, media_type="image/webp", headers={"cache-control": "private, max-age=3600"})

    def explain(self, request: Request) -> Response:
        """Answer with everything about a face but its steps, which take longer."""
        row, pixels = self._read(request, side=512)
        snapshot = self.live.snapshot
        index = int(request.path_params["index"])
        record = self.live.view.find_records([index])[index]
        steps = "Computing the steps: the nets run again …" if self.photographs else NO_PHOTOGRAPHS
        with DRAWING:
            verdict = describe_verdict(snapshot, row)
            body = explain_face(record, pixels, verdict=verdict, size=snapshot.size, steps=steps)
        return HTMLResponse(str(body))

    def show_steps(self, request: Request) -> Response:
        """Answer with the steps of a face."""
        self._find_row(request)
        with DRAWING:
            return HTMLResponse(str(self._draw_steps(int(request.path_params["index"]))))

    async def review(self, request: Request) -> Response:
        """Decide about a face."""
        asked = await _read_json(request)
        index, verdict = asked.get("index"), asked.get("verdict")
        if not isinstance(index, int) or isinstance(index, bool) or not isinstance(verdict, str):
            raise HTTPException(400, "expected an index and a verdict")
        try:
            await run_in_threadpool(self.live.reviews.add, index, verdict)
        except ConfigError as error:
            raise HTTPException(400, str(error)) from None
        await run_in_threadpool(self.live.refresh)
        return JSONResponse({"index": index, "verdict": verdict})

    async def undo(self, request: Request) -> Response:
        """Take back the newest verdict."""
        await _read_json(request)
        index = await run_in_threadpool(self.live.reviews.undo)
        await run_in_threadpool(self.live.refresh)
        return JSONResponse({"index": index, "verdict": self.live.verdicts.get(-1 if index is None else index, "")})

    def _draw_steps_anew(self, index: int) -> Markup:
        record = self.live.view.find_records([index])[index]
        return render_steps(draw_steps_or_reason(self.photographs, record))

    def _find_row(self, request: Request) -> int:
        faces = self.live.snapshot.faces
        index = int(request.path_params["index"])
        row = int(faces.index.searchsorted(index))
        if row >= len(faces) or int(faces.index[row]) != index:
            raise HTTPException(404, "no face of this index")
        return row

    def _read(self, request: Request, *, side: int) -> tuple[int, Any]:
        row = self._find_row(request)
        faces = self.live.snapshot.faces
        pixels = self.live.view.read_face(int(faces.index[row]), int(faces.position[row]), side=side)
        if pixels is None:
            raise HTTPException(404, "the build has deleted this face: others are better")
        return row, pixels

    def _show_pairs(self, snapshot: Snapshot) -> Markup:
        known = self._pairs.look(snapshot)
        if known is None:
            return make_paragraph("Looking for faces that look alike …", kind="muted")
        row_of = {int(snapshot.faces.index[row]): row for row in np.flatnonzero(snapshot.at_hand).tolist()}
        # The build may have deleted a face since.
        pairs = [
            (self._make_tiles(snapshot, np.array([row_of[first], row_of[second]])), difference)
            for first, second, difference in known.pairs
            if first in row_of and second in row_of
        ]
        return layout.show_pairs(pairs, faces=known.compared)

    @staticmethod
    def _make_tiles(snapshot: Snapshot, rows: NDArray[np.int64]) -> list[layout.Tile]:
        index = snapshot.faces.index
        return [layout.make_tile(snapshot.faces, row, f"/thumb/{int(index[row])}") for row in rows.tolist()]


def make_work_app(pages: WorkPages, rules: AccessRules, stopper: Stopper) -> AccessGuard:
    """Return the application of a work folder.

    Args:
        pages: The answers.
        rules: Who may ask.
        stopper: Ends open streams.
    """

    async def show_events(_: Request) -> Response:
        return StreamingResponse(stream_events(pages.live.look, stopper), media_type="text/event-stream")

    # Paths hold numbers only: no part of a request ever becomes part of a file's name.
    routes = [
        Route("/", pages.show_page),
        Route("/events", show_events),
        Route("/api/faces", pages.list_faces),
        Route("/thumb/{index:int}", pages.show_thumb),
        Route("/face/{index:int}", pages.explain),
        Route("/steps/{index:int}", pages.show_steps),
        Route("/api/review", pages.review, methods=["POST"]),
        Route("/api/undo", pages.undo, methods=["POST"]),
    ]
    handlers: Any = {CelebahqError: _show_error}
    return AccessGuard(Starlette(routes=routes, exception_handlers=handlers), rules)


def _show_error(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", status_code=503)


async def _read_json(request: Request) -> dict[str, Any]:
    # A form of another page cannot send this type without being asked about first, which is refused.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "expected application/json")
    try:
        asked = await request.json()
    except ValueError:
        raise HTTPException(400, "expected JSON") from None
    if not isinstance(asked, dict):
        raise HTTPException(400, "expected a JSON object")
    return asked
