"""All about one face: picture, score, spectrum, and the steps that made it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from celebahq_tools.errors import CelebahqError
from celebahq_tools.pages.images import embed_picture
from celebahq_tools.pages.parts import format_seconds, load_templates, make_facts
from celebahq_tools.rank.spectrum import measure_spectrum
from celebahq_tools.report.photographs import Photographs, Step
from celebahq_tools.report.spectra import draw_power_spectrum, draw_profile
from celebahq_tools.types import ItemRecord, Pixels

NO_PHOTOGRAPHS = "The photographs are not at hand, so the steps cannot be shown; pass --photos with their folder."


@dataclass(frozen=True, eq=False)
class StepPictures:
    """A step with its pictures as addresses."""

    title: str
    width: int
    height: int
    overview: str
    detail: str


def explain_face(
    record: ItemRecord,
    pixels: Pixels,
    *,
    verdict: str,
    size: int,
    steps: Sequence[Step] | str,
    picture: int = 512,
) -> Markup:
    """Return everything about a face as HTML.

    Args:
        record: Of the face.
        pixels: The face, square.
        verdict: In words, such as ``kept``.
        size: Side of the dataset's faces, which crop sizes are reckoned from.
        steps: The steps, or in words why there are none.
        picture: Longest side of the picture shown.
    """
    spectrum = profile = None
    if pixels.shape[0] >= 64:
        spectrum = embed_picture(draw_power_spectrum(pixels), encoding="WEBP", quality=70)
        profile = draw_profile(measure_spectrum(pixels), name=f"profile-{record.index}")
    template = load_templates("celebahq_tools.report").get_template("face.html.j2")
    return Markup(  # noqa: S704 - rendered with autoescape
        template.render(
            record=record,
            picture=embed_picture(pixels, side=picture, encoding="WEBP", quality=82),
            facts=make_facts(list_facts(record, verdict=verdict, size=size)),
            spectrum=spectrum,
            profile=profile,
            steps=render_steps(steps),
        )
    )


def render_steps(steps: Sequence[Step] | str) -> Markup:
    """Return the steps of a face as HTML, or the words in their place."""
    drawn = [] if isinstance(steps, str) else [_embed_step(step) for step in steps]
    template = load_templates("celebahq_tools.report").get_template("steps.html.j2")
    remark = steps if isinstance(steps, str) else ""
    return Markup(template.render(steps=drawn, remark=remark))  # noqa: S704 - rendered with autoescape


def draw_steps_or_reason(photographs: Photographs | None, record: ItemRecord) -> Sequence[Step] | str:
    """Return the steps of a face, or in words why they cannot be shown."""
    if photographs is None:
        return NO_PHOTOGRAPHS
    try:
        return photographs.draw_steps(record)
    except CelebahqError as error:
        return f"The steps cannot be shown: {error}."


def list_facts(record: ItemRecord, *, verdict: str, size: int) -> dict[str, object]:
    """Return what is known of a face, for people: names and values in order."""
    facts: dict[str, object] = {"Verdict": verdict}
    if record.score is not None and math.isfinite(record.score):
        facts["Score"] = f"{record.score:.4f}"
        facts.update((name.capitalize(), f"{value:.4f}") for name, value in record.components.items())
    if record.zoom:
        facts["Crop in the photograph"] = f"{size / record.zoom:.0f} px a side, {record.zoom:.2f} x to {size} px"
    if record.photo_fraction is not None:
        facts["Photograph, not padding"] = f"{record.photo_fraction:.1%}"
    if record.quad is not None:
        facts["Corners NW, SW, SE, NE"] = " ".join(f"({x:.1f}, {y:.1f})" for x, y in record.quad)
    facts.update((name.replace("_", " ").capitalize(), _show_fact(value)) for name, value in record.facts.items())
    if record.sha256:
        facts["Photograph's sha256"] = record.sha256
    if record.seconds:
        facts["Time"] = ", ".join(f"{name} {format_seconds(value)}" for name, value in record.seconds.items())
    return facts


def _show_fact(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _embed_step(step: Step) -> StepPictures:
    return StepPictures(
        step.title,
        step.width,
        step.height,
        embed_picture(step.overview, encoding="WEBP", quality=80),
        embed_picture(step.detail, encoding="WEBP", quality=80),
    )
