"""
An example of a feature without data.

`uvx copier update --vcs-ref=:current: --data example=no` removes it, its tests, and its lines.
"""
