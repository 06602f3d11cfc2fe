"""
The serving layer: what gunicorn and uvicorn do not do by themselves.

Start reading in `gunicorn.conf.py` in the project root, where every number has its reason. Nothing
here imports the application, and the application imports nothing from here.
"""
