"""The API key of a server, and where it may go.

A settings file of the working folder may have come with files of others. It could name any variable and any server.

Covered: OPENAI_API_KEY goes to OpenAI alone, unless the settings name it. Only TRACEMILL_KEYS lets a key go over plain
HTTP to another machine, or to a server that a settings file of the folder names. Not covered: a file that the user
names (`--config`, TRACEMILL_CONFIG), and programs that listen on this machine.
"""

import ipaddress
import os
from contextlib import suppress
from urllib.parse import urlsplit

from tracemill.errors import UsageError
from tracemill.model_settings import ModelSettings
from tracemill.settings import is_file_of_folder

#: Environment variable with the servers that keys may go to: `NAME@HOST`, or `NAME@http://HOST` without encryption.
KEYS = "TRACEMILL_KEYS"
OPENAI = "api.openai.com"


def api_key(config: ModelSettings) -> str:
    """The key for the server of a model; empty if it gets none. Raises UsageError if the key may not go there."""
    name, address = config.openai.api_key_env, urlsplit(config.openai.base_url or "")
    host = address.hostname or ""
    key = os.environ.get(name, "").strip() if is_named(config) else ""
    if not key or (name, address.scheme, host) == ("OPENAI_API_KEY", "https", OPENAI):
        return key
    entry = f"{name}@{host}" if address.scheme == "https" else f"{name}@{address.scheme}://{host}"
    if is_loopback(host) or entry in os.environ.get(KEYS, "").replace(",", " ").split():
        return key
    if address.scheme != "https":
        raise UsageError(
            f"the key in {name} would go to {host} over plain {address.scheme}, where others can read it: use https. "
            f"In a network that you trust: export {KEYS}={entry}"
        )
    if is_file_of_folder():
        raise UsageError(
            f"tracemill.toml of this folder sends the key in {name} to {host}. If you trust it: export {KEYS}={entry}"
        )
    return key


def is_named(config: ModelSettings) -> bool:
    """Whether the settings name a variable for the server of a model. The default is only for OpenAI's own."""
    is_openai = urlsplit(config.openai.base_url or "").hostname == OPENAI
    return is_openai or "api_key_env" in config.openai.model_fields_set


def is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
