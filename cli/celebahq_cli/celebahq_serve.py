"""`celebahq serve`: a build or a training run, watched and reviewed in a browser while it goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from celebahq_tools.serve.access import AccessGuard, AccessRules
    from celebahq_tools.serve.page_app import Stopper

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("folder", metavar="WORK|RUN", type=PATH)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address; others than loopback ask for the token.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
@click.option("--token", envvar="CELEBAHQ_TOKEN", help="Secret of 16 characters or more.  [default: a new one]")
@click.option("--photos", type=PATH, help="Folder of the photographs.  [default: the one the WORK folder names]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where the nets run.")
def serve(folder: Path, host: str, port: int, token: str | None, photos: Path | None, device: str) -> None:
    """Show a build's WORK folder or a training RUN live in the browser, and review faces by keyboard.

    The page follows the work without a reload. Verdicts are kept in the build's journal: rejected faces leave the
    dataset, accepted ones stay whatever their score, when the build ends or the faces are chosen again. The printed
    address holds the token that writing needs; from other machines, reading needs it too.
    """
    import secrets
    import socket

    from celebahq_tools.errors import ConfigError, InputError
    from celebahq_tools.serve.access import AccessRules

    try:
        import uvicorn

        from celebahq_tools.serve.page_app import Stopper
    except ImportError:
        raise ConfigError("celebahq serve needs a web server; run: pip install 'celebahq-tools[serve]'") from None

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the --work folder of a build, or a run of pggan train")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"--host {host} --port {port}: cannot listen there ({reason}); try another") from None
        rules = AccessRules(host, listener.getsockname()[1], token or secrets.token_urlsafe(24))
        stopper = Stopper()
        app = _make_app(folder, rules, stopper, photos=photos, device=device)

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: object) -> None:
                stopper.is_set = True
                super().handle_exit(sig, frame)  # type: ignore[arg-type]

        click.echo(f"Serving {folder}; Ctrl-C ends it.\nOpen: {rules.address}")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, ws="none"
        )
        Server(config).run(sockets=[listener])


def _make_app(folder: Path, rules: AccessRules, stopper: Stopper, *, photos: Path | None, device: str) -> AccessGuard:
    """Return the application for what the folder is: a work folder has a journal."""
    from celebahq_tools.report.view import JOURNAL

    if (folder / JOURNAL).is_file():
        from celebahq_tools.serve.work_app import WorkPages, make_work_app

        return make_work_app(WorkPages(folder, photos=photos, device=device), rules, stopper)
    from celebahq_tools.serve.page_app import make_page_app, watch_files
    from pggan_core.run_page import render_run_page

    render_run_page(folder, served=True)  # says now if this is no run
    return make_page_app(partial(render_run_page, folder, served=True), partial(watch_files, folder), rules, stopper)
