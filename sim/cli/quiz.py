"""``pagewalk quiz``: exercises from a seed, as text, figures and Moodle XML; and their grading."""

import argparse
import json
from contextlib import ExitStack

from ..errors import InputError
from ..html.quiz_page import quiz_page
from ..quiz.grading import Grade, grade, gradescope_results, read_answers
from ..quiz.moodle_xml import moodle_xml
from ..quiz.sheet import TOPICS, make_sheet, sheet_figures, sheet_text
from .common import AGREED, Verbs, add_verb, json_file, whole
from .conditions import conditions
from .files import file_name, output_file, output_name
from .output import printing
from .page_file import add_page, page_file, taken_output

__all__ = ["add"]

MOST_SEED, MOST_EXERCISES = (1 << 64) - 1, 100


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "quiz", _quiz,
                      "Exercises about paging and memory from a seed; the answers are the model's.")
    add_page(parser)
    parser.add_argument("--seed", metavar="N", type=whole(0, MOST_SEED), required=True,
                        help="what the numbers come from")
    parser.add_argument("--topic", choices=TOPICS, action="append", dest="topics",
                        help="only this topic; may be given more than once")
    parser.add_argument("--toy", action="store_true", dest="small",
                        help="small machines, as pages of 32 bytes and five bits a level")
    parser.add_argument("--count", metavar="K", type=whole(1, MOST_EXERCISES), default=1,
                        help="exercises of each topic (%(default)s)")
    parser.add_argument("--answers", action="store_true", help="show the answers, too")
    parser.add_argument("--moodle", metavar="FILE", type=output_name,
                        help="write the exercises with their answers to FILE, as Moodle XML")
    parser.add_argument("--grade", metavar="ANSWERS.json", type=file_name,
                        help='grade answers: an object of answers by question, such as {"1a": '
                             '"0x1f"}; the other options must be those of the sheet')
    parser.add_argument("--gradescope", metavar="FILE", type=output_name,
                        help="with --grade, write the grades to FILE: results.json of Gradescope")


def _quiz(args: argparse.Namespace) -> int:
    if args.gradescope is not None and args.grade is None:
        raise InputError("argument --gradescope: has no answers to grade; expected --grade, too")
    topics = [*TOPICS] if args.topics is None else [*dict.fromkeys(args.topics)]
    with ExitStack() as files:
        write = files.enter_context(json_file(args.json))
        show = files.enter_context(page_file(args.html))
        texts = {path: files.enter_context(output_file(path))
                 for path in (args.moodle, args.gradescope) if path is not None}
        sheet = make_sheet(args.seed, topics, toy=args.small, count=args.count)
        figures = sheet_figures(sheet, answers=args.answers)
        grades = None
        if args.grade is not None:
            grades = grade(sheet, read_answers(args.grade, sheet))
            results = gradescope_results(grades, answers=args.answers)
            figures["grades"] = results
            if args.gradescope is not None:
                texts[args.gradescope](json.dumps(results, indent=2) + "\n")
        if args.moodle is not None:
            texts[args.moodle](moodle_xml(sheet))
        known = conditions(args, inputs=[args.grade] if args.grade is not None else [])
        write(figures | known)
        show(lambda: quiz_page({**figures, "seed": args.seed}), known)
    with printing(taken_output(args)) as console:
        lines = (sheet_text(sheet, answers=args.answers) if grades is None
                 else _graded(grades, answers=args.answers))
        for line in lines:
            console.print(line)
    return AGREED


def _graded(grades: list[Grade], *, answers: bool) -> list[str]:
    return [*(f"{one.name}  {one.words(answers=answers)}" for one in grades),
            f"{sum(one.right for one in grades)} of {len(grades)} right"]
