"""``mobilenets serve``: Models behind HTTP."""

from __future__ import annotations

import logging
from typing import Any

import click

from mobilenets.cli.console import progress_to_stderr, quiet_option
from mobilenets.cli.number import Integer, Number
from mobilenets.cli.options import Quantity
from mobilenets.errors import MissingDependencyError
from mobilenets.search.budget import parse_bytes, parse_latency

LIMITS = {
    "max_delay": "max_delay",
    "max_batch": "max_batch",
    "max_queue": "queue",
    "max_body": "body_bytes",
    "max_pixels": "pixels",
    "max_connections": "connections",
    "timeout": "seconds",
}
"""ServerOptions → fields of the limits."""
WHOLE = {"body_bytes"}
"""Those that count whole things."""


def _delay(text: str) -> float:
    """Milliseconds, of which there may be none."""
    return 0.0 if text.strip().rstrip("mus") == "0" else parse_latency(text)


@click.command("serve")
@click.argument("models", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", default=8000, show_default=True, type=Integer(0, 65535), help="0 for any that is free.")
@click.option("--max-delay", type=Quantity("TIME", _delay), help="An image may wait so for its batch.  [default: 5ms]")
@click.option("--max-batch", type=Integer(min=1), help="Images that are run together.  [default: 8]")
@click.option("--max-queue", type=Integer(min=1), help="Images that wait at a time.  [default: 256]")
@click.option("--max-body", type=Quantity("BYTES", parse_bytes), help="Of one request.  [default: 20MB]")
@click.option("--max-pixels", type=Integer(min=1), help="Of one image.  [default: 50000000]")
@click.option("--max-connections", type=Integer(min=1), help="At a time.  [default: 1000]")
@click.option("--timeout", type=Number(min=0.1), help="Seconds that a request may take.  [default: 30]")
@click.option("--threads", type=Integer(min=1), help="Threads; by default all cores.")
@click.option("--api-key-file", type=click.Path(), help="API keys, one a line, of which a request needs one.")
@click.option("--allow-host", "hosts", multiple=True, help="Name of this server in the Host header; * for any.")
@click.option("--allow-origin", "origins", multiple=True, help="Origin of pages that may ask; * for any.")
@click.option("--allow-urls", "url_hosts", multiple=True, metavar="HOST[:PORT]", help="Fetch images from there.")
@quiet_option
def command(models: tuple[str, ...], api_key_file: str | None, quiet: bool, **options: Any) -> None:
    """Serve MODELS over HTTP: a page for people at /, an interface for programs at /docs.

    Each of MODELS is what predict takes, a folder of such, or a folder with one for each version (pets/1, pets/2), and
    is served under its own name or as NAME=MODEL. A file that changes is loaded beside the old Model and takes its
    place.
    """
    try:
        from mobilenets.serving.access import read_api_keys
        from mobilenets.serving.limits import Limits
        from mobilenets.serving.server import ServerOptions, serve
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "starlette", "serve") from None
    given = {LIMITS[name]: value for name, value in options.items() if name in LIMITS and value is not None}
    for name in WHOLE & set(given):
        given[name] = round(given[name])
    if "max_delay" in given:
        given["max_delay"] /= 1000
    logging.basicConfig(level=logging.ERROR if quiet else logging.INFO, format="%(message)s")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    serve(
        models,
        ServerOptions(
            limits=Limits(**given),
            api_keys=read_api_keys(api_key_file) if api_key_file is not None else (),
            **{name: value for name, value in options.items() if name not in LIMITS},
        ),
        progress=progress_to_stderr(quiet=quiet),
        ready=lambda address: click.echo(f"{address} serves {', '.join(models)}; Ctrl-C stops it"),
    )
