"""
The database: its settings, its pool, one session per request, and what happens when it is away.
"""
