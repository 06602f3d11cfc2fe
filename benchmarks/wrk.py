"""Driving `wrk`, which is cheap enough to leave the processors to what is measured."""

import re
import shutil
import subprocess

CONNECTIONS = 16


class WrkError(RuntimeError):
    """`wrk` is missing, or a measured service did not answer everything with a 2xx."""


def requests(url: str, seconds: float) -> int:
    """Load `url` on kept connections for so long and return how many requests were answered; anything but 2xx is an error."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise WrkError("wrk is not installed; on Debian and Ubuntu: apt-get install wrk")
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise WrkError(f"{url} failed under load:\n{output}")
    found = re.search(r"(\d+) requests in", output)
    if found is None:
        raise WrkError(f"unexpected output:\n{output}")
    return int(found[1])
