# SPDX-License-Identifier: Apache-2.0
"""What tests/run counts, group by group."""

import re
import signal
import threading
import time

LINE = re.compile(r"^(PASS|FAIL|SKIP) (.+)$")
TOOK = re.compile(r"^    \S+ took \d+ s$")  # of a script in a guest
PRINTING = threading.Lock()


def status_text(status):
    if status is None:
        return "no end in time"
    return f"status {status}" if status >= 0 else signal.Signals(-status).name


class Tally:
    """Results of one group, in order of arrival."""

    def __init__(self, group, show):
        self.group = group
        self.counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
        self.skips = []
        self.failures = []
        self.start = time.monotonic()
        self.show = show

    def add(self, kind, text, details=()):
        self.counts[kind] += 1
        lines = [f"{kind} {text}", *(f"    {d}" for d in details)]
        if kind == "SKIP":
            self.skips.append(text)
        if kind == "FAIL":
            self.failures.append(lines)
        if kind == "FAIL" or self.show:
            with PRINTING:
                print("\n".join(lines if self.show else [f"[{self.group}] {lines[0]}", *lines[1:]]), flush=True)

    def take_output(self, name, output, status):
        """Counts the lines of a program's output."""
        kind, text, details, failed = None, "", [], False
        for line in output.splitlines():
            match = LINE.match(line)
            if match:
                if kind:
                    self.add(kind, text, details if kind == "FAIL" else ())
                kind, text, details = match[1], match[2], []
                failed = failed or kind == "FAIL"
            elif TOOK.match(line) and self.show:
                with PRINTING:
                    print(f"    [{self.group}]{line}", flush=True)
            else:
                details.append(line)
        if kind:
            self.add(kind, text, details if kind == "FAIL" else ())
        if status != 0 and not failed:
            self.add("FAIL", f"{name}: ended with {status_text(status)}", output.splitlines()[-40:])
        elif status == 0 and failed:
            self.add("FAIL", f"{name}: has failures but ended with status 0")
        elif kind is None:
            self.add("FAIL", f"{name}: printed no result")
