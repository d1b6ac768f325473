"""The forecast worker: ``python -m kcloud_autoscale.operator.worker_main MEMORY_BYTES HARD_SECONDS``.

Reads lessons from standard input and writes learned rows to standard output; see `errand`.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.layouts import Layouts
from kcloud_autoscale.forecast.parcel import receive_lesson, send_rows
from kcloud_autoscale.forecast.teach import teach
from kcloud_autoscale.operator.errand import serve


def main(memory_bytes: int, hard_seconds: int) -> int:
    """Teach until the input ends."""
    knowledge, _ = default_knowledge()

    def answer(questions: BinaryIO, answers: BinaryIO) -> None:
        lesson = receive_lesson(questions)
        layouts = Layouts(lesson.histories[0].step_seconds, knowledge=knowledge)
        send_rows(answers, layouts, lesson, teach(layouts, lesson))

    return serve(answer, memory_bytes, hard_seconds)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
