"""The command line; ``gradchain --help`` says how it is called."""

from gradchain.cli.command import main as main
