"""The package names every struct of its modules, each once, and the registry knows every message."""

import importlib
import pkgutil

from norc_actors.protocol import messages as m
from norc_actors.protocol.registry import LEGACY, STRUCTS
from norc_actors.protocol.schema import Map, Message


def _defined() -> dict[str, type[Map]]:
    modules = [importlib.import_module(f"{m.__name__}.{info.name}") for info in pkgutil.iter_modules(m.__path__)]
    return {
        name: one
        for module in modules
        for name, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, Map) and one.__module__ == module.__name__
    }


def test_every_struct_is_named_by_the_package() -> None:
    for name, kind in _defined().items():
        assert name in m.__all__
        assert getattr(m, name) is kind


def test_every_message_has_a_code() -> None:
    registered = {kind for shapes in STRUCTS.values() for kind in shapes.all} | set(LEGACY.values())
    defined = {kind for kind in _defined().values() if issubclass(kind, Message)}
    inside = {m.FileManifest}  # only inside an end-to-end message, never a frame
    assert defined - registered <= inside
    assert registered <= defined
