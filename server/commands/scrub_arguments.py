"""What can be typed after `ostiary scrub`, and the help that teaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from server.commands.parsers import Command, add

if TYPE_CHECKING:
    from server.commands.parsers import Subcommands

_SCRUB: Final = """\
Mask standard input and write it to standard output, as the gateway masks what targets answer.

E-mail addresses, cards, phone numbers, keys, passwords and the like become <ENTITY>. JSON and YAML
in the text are walked, with the base64 of Kubernetes Secrets; terminal colours stay. Lines come out
as they come in; only one that may go on in the next line waits for it, 0.1 s at most, and a
document for its end. No gateway, configuration or network is needed.
"""

_EXAMPLES: Final = """\
examples:
  kubectl logs web-1 -f | ostiary scrub
  ostiary scrub < app.log > clean.log
  ostiary scrub --explain < app.log | jq -r .entity | sort | uniq -c
  ostiary scrub --entities EMAIL_ADDRESS,IP_ADDRESS < access.log
  kubectl get secrets -o json | ostiary scrub --format json
  ostiary scrub --format csv < customers.csv

--explain writes one line of JSON for each span instead of the text, and never a value:
  {"start": 5, "end": 20, "line": 1, "entity": "EMAIL_ADDRESS", "score": 1.0,
   "recognizer": "EmailAddressRecognizer"}
start and end are bytes of the input from 0, end exclusive; the line counts from 1.

exit codes: 0 all of it was searched; 1 failed, or nobody reads the output any more;
            2 not understood, such as an unknown entity (the known ones are listed);
            3 some pieces could not be searched (NOT_SCANNED) or read (UNREADABLE): they went as
            a whole, and their number stands on standard error
"""


def add_scrub(commands: Subcommands) -> None:
    """`ostiary scrub`."""
    scrub = add(
        commands,
        "scrub",
        "mask standard input to standard output; a way to see what masking does",
        example="",
        command=Command("scrub", "scrub"),
    )
    scrub.description = _SCRUB
    scrub.epilog = _EXAMPLES
    scrub.add_argument(
        "--explain",
        action="store_true",
        help="write what was found, where, by which recognizer and with which score, as JSON lines",
    )
    scrub.add_argument(
        "--entities",
        action="append",
        default=[],
        metavar="NAMES",
        help="only these, with commas between (repeat it); default: those that are on",
    )
    scrub.add_argument(
        "--format",
        choices=("text", "json", "csv"),
        default="text",
        help="text: lines, with documents of up to 1 MiB walked (default); json: documents of up "
        "to 16 MiB, and lines of JSON; csv: cell by cell, with the column's name from the first "
        "row, so that a column `password` goes as a whole",
    )
    scrub.add_argument(
        "--config", metavar="FILE", help="with this configuration's packs and recognizers"
    )
