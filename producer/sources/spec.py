"""Parse `name?key=value&key=value`, the text after the scheme of a generated source."""

from urllib.parse import parse_qsl

from tracemill.errors import UsageError


def parse_spec(scheme: str, spec: str) -> tuple[str, dict[str, str]]:
    """The name and its parameters. Raises UsageError for a parameter without a value, or a repeated one."""
    name, _, query = spec.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(f"{scheme}:{spec}: write parameters as ?size=300&seed=1") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise UsageError(f"{scheme}:{spec}: a parameter is given twice")
    return name, parameters
