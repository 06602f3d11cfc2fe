"""
How the service is served: what gunicorn and uvicorn do not do by themselves.

`gunicorn.conf.py` in the project root is the place to start reading, docs of each number included.
Nothing here imports the application, and the application imports nothing from here.
"""
