"""The command line: its words, Hydra, signals and the terminal."""
