"""The command line as a page, from the parsers of argparse: every verb and every option."""

import argparse

from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from pagewalk.sim.cli.dispatch import VERBS, command_parser
from pagewalk.sim.cli.parser import verbs_of


def parsers():
    """Return the parser of the command, and that of each verb by its name."""
    command = command_parser()
    return command, verbs_of(command)


def usage(parser):
    """Return the usage of a verb in lines of at most 90 characters."""
    formatter = argparse.HelpFormatter(parser.prog, width=90)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    return formatter.format_help().replace("usage: ", "       ", 1).rstrip().splitlines()


def help_text(parser, action):
    """Return what the help of an option says, with the default in place of ``%(default)s``."""
    formatter = argparse.HelpFormatter(parser.prog)
    text = formatter._expand_help(action) if action.help else ""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def signature(action):
    """Return an option as it is written on a command line: ``--limit N``."""
    value = action.metavar
    if value is None and action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return value or action.dest
    if action.nargs == 0:
        value = None
    elif value is None:
        value = action.dest.upper()
    return ", ".join(f"{name} {value}" if value else name for name in action.option_strings)


def option(parser, action):
    """Return the lines that describe one option."""
    text = help_text(parser, action)
    return [f".. option:: {signature(action)}", "", f"   {text}", ""]


def verb(name, parser):
    """Return the section of a verb, as lines of reStructuredText."""
    lines = [f".. _verb-{name}:", "", name, "-" * len(name), "", parser.description, "",
             ".. code-block:: text", ""]
    lines += [f"   {line}" for line in usage(parser)]
    lines += ["", f".. program:: {parser.prog}", ""]
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions:
            lines += [f".. rubric:: {(group.title or '').capitalize()}", ""]
            lines += [line for action in actions for line in option(parser, action)]
    return lines


class CommandLine(SphinxDirective):
    """Every verb in a section of its own."""

    def run(self):
        """Return the nodes in place of the directive."""
        command, verbs = parsers()
        lines = [command.description, ""]
        for name, parser in verbs.items():
            lines += verb(name, parser)
        for module in VERBS:
            self.env.note_dependency(module.__file__)
        return self.parse_text_to_nodes(
            StringList(lines, source="command line"), allow_section_headings=True)


def setup(app):
    """Register with Sphinx."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
