"""Semantic backpropagation and semantic gradient descent for declared agent graphs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sgdflow.api import Flow, load, load_parameters, save_parameters, wrap

__all__ = ["Flow", "__version__", "load", "load_parameters", "save_parameters", "wrap"]


def __getattr__(name: str) -> Any:
    """Import the Python API when it is first used: it takes what a short command must not pay."""
    if name == "mlflow":
        return import_module("sgdflow.mlflow")
    if name in __all__:
        from sgdflow import api

        return getattr(api, name)
    raise AttributeError(f"module 'sgdflow' has no attribute '{name}'")
