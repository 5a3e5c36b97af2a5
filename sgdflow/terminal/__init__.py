"""What a person sees on a terminal; the only place that knows rich."""

from sgdflow.terminal.display import Watch, watching
from sgdflow.terminal.text import STYLES, Part, Spelt, Style, say, write

__all__ = ["STYLES", "Part", "Spelt", "Style", "Watch", "say", "watching", "write"]
