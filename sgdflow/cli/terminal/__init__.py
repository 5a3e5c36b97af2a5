"""What a person sees on a terminal; the only place that knows rich."""

from sgdflow.cli.terminal.display import Watch, watching
from sgdflow.cli.terminal.text import Part, Style, printable, write

__all__ = ["Part", "Style", "Watch", "printable", "watching", "write"]
