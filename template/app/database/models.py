"""Every model, so that migrations see them all."""

import importlib
import pkgutil

import app


def import_models() -> None:
    """
    Import `app.<feature>.models` of every feature that has one; nothing has to be listed twice.
    """
    for package in pkgutil.iter_modules(app.__path__):
        if package.ispkg and any(
            module.name == "models"
            for module in pkgutil.iter_modules([f"{path}/{package.name}" for path in app.__path__])
        ):
            importlib.import_module(f"app.{package.name}.models")
