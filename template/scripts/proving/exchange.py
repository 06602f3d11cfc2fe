"""What the clients say to the service: a GET and, where one is named, a POST, in turn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exchange:
    """
    What is sent. Without `post` all requests are GETs.

    `{n}` in the body is a number that no other request has; `{client}` in a header is the number of
    the client.
    """

    get: str
    post: str | None = None
    body: str = "{}"
    headers: tuple[str, ...] = ()
    """Each as `Name: value`. They replace what would be sent by itself."""

    @property
    def methods(self) -> tuple[str, ...]:
        """What one client sends, in turn."""
        return ("GET", "POST") if self.post is not None else ("GET",)

    def request(self, method: str, number: int, client: int = 0, *, close: bool = False) -> bytes:
        """Return the bytes of one request."""
        path, body = self.get, b""
        fields = {"Host": "localhost"}
        if method == "POST" and self.post is not None:
            path, body = self.post, self.body.replace("{n}", str(number)).encode()
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        if close:
            fields["Connection"] = "close"
        for header in self.headers:
            name, _, value = header.partition(":")
            fields[name.strip().title()] = value.strip().replace("{client}", str(client))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        return "\r\n".join([*lines, "", ""]).encode() + body
