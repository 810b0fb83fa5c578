#!/usr/bin/env python3
"""Looks at, orders and repairs collections of 3-D models.

    tools/shapenet.py info data/models/chairs

Each subcommand has its own --help.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence

from keypointnet.command_line import Parser, errors_in_one_line
from keypointnet.shapenet import commands


def main(words: Sequence[str] | None = None) -> int:
    parser = Parser("shapenet", __doc__)
    subparsers = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="COMMAND",
        parser_class=lambda prog, doc: Parser(prog, doc),
    )
    modules = {}
    for entry in pkgutil.iter_modules(commands.__path__):
        module = importlib.import_module(f"{commands.__name__}.{entry.name}")
        modules[entry.name] = module
        text = str(module.__doc__)
        line = text.splitlines()[0].rstrip(".")
        subparser = subparsers.add_parser(entry.name, help=line, doc=text)
        module.add_arguments(subparser)
    args = parser.parse_args(words)
    with errors_in_one_line("shapenet", stopped="stopped"):
        return int(modules[args.command].run(args))


if __name__ == "__main__":
    sys.exit(main())
