"""What a person sees on a terminal; the only place that knows rich."""

from sgdflow.terminal.display import Watch, watching
from sgdflow.terminal.text import Part, Style, printable, write

__all__ = ["Part", "Style", "Watch", "printable", "watching", "write"]
