"""The subcommands of tools/shapenet.py, a module each.

A module has a docstring, whose first line is the subcommand's help; `add_arguments(parser)`; and
`run(args)`, which prints and returns the exit code. It is found by its name.
"""
