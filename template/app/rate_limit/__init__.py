"""A limit for the requests that one client sends in a second."""
