"""The socket the service listens on, and who owns it."""

import functools
import os
import re

from serving.environment import Environment, reject, text

DEFAULT_BIND = "127.0.0.1:8000"
HIGHEST_PORT = 65535


def bind(environ: Environment) -> list[str]:
    """Read BIND: comma-separated `host:port`, `unix:/path` or `fd://N`."""
    value = text(environ, "BIND", DEFAULT_BIND)
    addresses = [address.strip() for address in value.split(",") if address.strip()]
    if not addresses or not all(map(_is_address, addresses)):
        reject("BIND", value, "host:port, unix:/path or fd://N; for example 0.0.0.0:8000")
    return addresses


def _is_address(address: str) -> bool:
    if re.fullmatch(r"unix:.+|fd://\d+", address):
        return True
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]*):(\d{1,5})", address)
    return found is not None and int(found[1]) <= HIGHEST_PORT


@functools.cache
def inherited() -> bool:
    """
    Tell whether somebody else owns the listening socket, so that it outlives this process.

    systemd says so with LISTEN_FDS, meant for the process LISTEN_PID; `BIND=fd://N` says so too.
    The answer is remembered, because gunicorn removes the variables once it has taken the sockets
    and executes its configuration file again on a HUP.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return os.environ.get("LISTEN_FDS", "0") != "0"
    return all(address.startswith("fd://") for address in bind(os.environ))


def ignored_port(environ: Environment) -> str | None:
    """
    Say that PORT has no effect, when somebody may think that it has.

    Left alone, gunicorn turns PORT into a bind to every interface. A variable that other tools
    set as well must not open a service to the network: BIND says where to listen, and nothing else.
    """
    port = text(environ, "PORT", "")
    if not port or text(environ, "BIND", "") or inherited():
        return None
    return f"PORT={port} is not read; to listen on that port set BIND=0.0.0.0:{port}"
