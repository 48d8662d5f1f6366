"""`norc devices`: see one's devices, let a new one in, shut one out."""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from norc_actors.cli.errors import CliError
from norc_actors.cli.exits import Exit
from norc_actors.cli.opening import open_client, run
from norc_actors.cli.options import Json, KeyFile, Profile, Within
from norc_actors.cli.output import Output, printable, table

if TYPE_CHECKING:
    from norc_actors.client import Client, DeviceInfo, PendingDevice

group = typer.Typer(help="Your own devices.", no_args_is_help=True)


class Reason(StrEnum):
    """Why a device is revoked."""

    LOST = "lost"
    COMPROMISED = "compromised"
    RETIRED = "retired"
    POLICY = "policy"


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="devices")


@group.command("list")
def list_devices(profile: Profile = None, key_file: KeyFile = None, within: Within = 30.0, json: Json = False) -> None:
    """Your devices, as the server lists them and as your user key vouches for them."""

    async def main() -> None:
        async with open_client(profile, key_file, within=within) as client:
            await client.wait_connected(within)
            devices, waiting = await client.devices(), client.pending_devices()
        out = Output(json)
        if json:
            _emit_devices(out, devices, waiting)
        else:
            out.emit({}, table([_row(device) for device in devices], ["device", "state", "until", "code"]))
            for device in waiting:
                out.note(
                    f"Waiting for approval: {printable(device.name)} ({device.device_id}); norc devices approve CODE"
                )

    run(main)


def _row(device: "DeviceInfo") -> list[str]:
    state = "revoked" if device.revoked else "trusted" if device.trusted else "NOT TRUSTED"
    if device.this_device:
        state += ", this one"
    return [device.device_id, state, time.strftime("%Y-%m-%d", time.localtime(device.not_after)), device.fingerprint]


def _emit_devices(out: Output, devices: "Sequence[DeviceInfo]", waiting: "Sequence[PendingDevice]") -> None:
    for device in devices:
        out.emit(
            {
                "device_id": device.device_id,
                "this_device": device.this_device,
                "trusted": device.trusted,
                "revoked": device.revoked,
                "not_before": device.not_before,
                "not_after": device.not_after,
                "fingerprint": device.fingerprint,
            }
        )
    for pending in waiting:
        out.emit({"device_id": pending.device_id, "pending": True, "name": pending.name, "since": pending.since})


@group.command()
def approve(
    code: Annotated[str, typer.Argument(help="The code on the new device's screen.")],
    device: Annotated[str | None, typer.Option("--device", help="Its id, if several devices wait.")] = None,
    profile: Profile = None,
    key_file: KeyFile = None,
    within: Within = 60.0,
    json: Json = False,
) -> None:
    """Let a new device in: sign it with your user key, if the code is the one on its screen."""

    async def main() -> tuple[str, str]:
        async with open_client(profile, key_file, within=within) as client:
            await client.wait_connected(within)
            waiting = await _wait_for_pending(client, device, within)
            await client.approve(waiting, code)
            return waiting, await client.user_fingerprint()

    device_id, fingerprint = run(main)
    out = Output(json)
    out.emit({"ok": True, "device_id": device_id, "user_fingerprint": fingerprint}, f"Approved: {device_id}.")
    out.note(f"Your user key: {fingerprint}. The new device shows the same; if it does not, revoke it.")


async def _wait_for_pending(client: "Client", wanted: str | None, within: float) -> str:
    """The id of the device that waits: `wanted`, or the only one."""
    import trio

    events = client.events()
    with trio.move_on_after(within):
        while True:
            waiting = [device.device_id for device in client.pending_devices() if wanted in (None, device.device_id)]
            if len(waiting) > 1:
                raise CliError("Several devices wait.", "Name one: --device " + " or --device ".join(waiting))
            if waiting:
                return waiting[0]
            await anext(events)
    raise CliError(
        "No device waits for approval." if wanted is None else f"The device {wanted} does not wait for approval.",
        "Start norc enroll --further on the new device, and leave it running.",
        code="offline",
        exit_code=Exit.OFFLINE,
    )


@group.command()
def revoke(
    device: Annotated[str, typer.Argument(help="The device's id (norc devices list).")],
    reason: Annotated[Reason, typer.Option("--reason", help="Why.")] = Reason.RETIRED,
    profile: Profile = None,
    key_file: KeyFile = None,
    within: Within = 30.0,
    json: Json = False,
) -> None:
    """Shut a device of yours out, for good and at once."""

    async def main() -> None:
        async with open_client(profile, key_file, within=within) as client:
            await client.wait_connected(within)
            await client.revoke(device, reason.value)

    run(main)
    Output(json).emit({"ok": True, "device_id": device, "reason": reason.value}, f"Revoked: {device}.")
