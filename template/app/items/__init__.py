"""
An example of a feature with data.

`uvx copier update --vcs-ref=:current: --data example=no` removes it, its tests, and its lines. Its
migration stays, because yours may follow it; `make migration NAME="drop items"` drops the table.
"""
