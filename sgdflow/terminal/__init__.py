"""What a person sees on a terminal; the only place that knows rich."""

from sgdflow.terminal.text import Part, printable, write

__all__ = ["Part", "printable", "write"]
