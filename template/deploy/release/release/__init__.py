"""
Releases on a plain machine: build, install, start, switch, go back.

Nothing but the standard library, because it runs where nothing of ours is installed. A *release* is
a directory that never changes; a *run* is one start of a release with one environment. Every verb
is a module in `commands/`; start reading in `deploy.py`.
"""
