"""`norc inspect`: captured frames, field by field, read by a decoder that is not ours.

A file holds one frame as it stood on the wire, or frames of v1 layout (type, length, payload) in a row: so does the
demo write what was inside its sealed frames.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from norc_actors.cli.errors import CliError, UsageError
from norc_actors.cli.options import Json
from norc_actors.cli.output import JsonValue, Output

V1_HEADER_BYTES = 5


def register(app: typer.Typer) -> None:
    app.command()(inspect)


def inspect(
    file: Annotated[Path, typer.Argument(help="The captured bytes.")],
    frame: Annotated[int | None, typer.Option("--frame", min=1, help="Of several frames, only this one.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Hex of the traffic key, to open a sealed frame.")] = None,
    th: Annotated[str | None, typer.Option("--th", help="Hex of the handshake's transcript hash, with --key.")] = None,
    suite: Annotated[str, typer.Option("--suite", help="The connection's suite, with --key.")] = "0101",
    json: Json = False,
) -> None:
    """Show captured frames field by field, and whether norc's own reader would take them."""
    from norc_actors.protocol.inspection import FrameKey, inspect_frame

    if (key is None) != (th is None):
        raise UsageError("--key and --th go together.", "Give both, or neither.")
    opener = FrameKey(suite=_suite(suite), key=_hex(key, 32), th=_hex(th, 32)) if key and th else None
    out, data = Output(json), file.read_bytes()
    frames = list(split(data))
    chosen = range(1, len(frames) + 1) if frame is None else [frame]
    if frame is not None and frame > len(frames):
        raise UsageError(f"{file} holds {len(frames)} frames, not {frame}.", "Choose a lower number.")
    refused = 0
    for number in chosen:
        fields = inspect_frame(frames[number - 1], opener)
        refused += any(field.name == "refused" for field in fields)
        members: list[JsonValue] = [{"name": field.name, "value": field.value} for field in fields]
        width = max(len(field.name) for field in fields)
        lines = [f"--- frame {number} of {len(frames)} ---"] if len(frames) > 1 else []
        lines += [f"{field.name.ljust(width)}  {field.value}" for field in fields]
        out.emit({"frame": number, "fields": members}, "\n".join(lines))
    if refused:
        raise CliError(f"{refused} of {len(chosen)} frames break a rule.", "See the lines 'refused'.", code="refused")


def split(data: bytes) -> Iterator[bytes]:
    """The frames in a file: v1 frames in a row if they fill it exactly, else the whole file as one frame."""
    frames, rest = [], data
    while len(rest) >= V1_HEADER_BYTES:
        size = V1_HEADER_BYTES + int.from_bytes(rest[1:V1_HEADER_BYTES], "big")
        if size > len(rest):
            break
        frames.append(rest[:size])
        rest = rest[size:]
    yield from frames if frames and not rest else [data]


def _hex(text: str, size: int) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise UsageError(f"{text[:16]!r} is not {size} bytes in hex.", f"Give {2 * size} hex digits.")
    return value


def _suite(text: str) -> str:
    from norc_actors.crypto.suites import SUITES

    if text not in SUITES:
        raise UsageError(f"{text!r} is no suite.", f"One of: {', '.join(SUITES)}.")
    return text
