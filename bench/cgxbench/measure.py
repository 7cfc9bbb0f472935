# SPDX-License-Identifier: Apache-2.0
"""Suites, and how they are run by timeit."""

import dataclasses
import json
import os
import subprocess


@dataclasses.dataclass
class Case:
    """One way to do the job: the processes that are timed together.

    `proof` is a list of commands which, run before anything is timed, print `needle` at least `times` times if this way
    really does the job: a fast wrong answer must not count.
    """

    name: str
    runs: list
    proof: list = dataclasses.field(default_factory=list)
    needle: str = "\n"
    times: int = 1


@dataclasses.dataclass
class Target:
    """`case` must take at most `limit` times as long as `base`."""

    text: str
    case: str
    base: str
    limit: float


@dataclasses.dataclass
class Suite:
    key: str
    title: str
    cases: list
    targets: list = dataclasses.field(default_factory=list)
    rounds: int = 100
    quick: int = 5
    pause: float = 0
    notes: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Verdict:
    target: Target
    ratio: float | None
    cpu_ratio: float | None
    disturbed: bool = False

    @property
    def met(self):
        return None if self.ratio is None else self.ratio <= self.target.limit


@dataclasses.dataclass
class Result:
    suite: Suite
    rows: list
    verdicts: list


class Runner:
    def __init__(self, host, quick, cpu, nice, seed, scale):
        self.host, self.quick, self.cpu, self.nice, self.seed, self.scale = host, quick, cpu, nice, seed, scale
        self.failures = []

    def checked(self, suite):
        """The cases whose proof holds. All commands of a proof run even if one fails: the last may clean up."""
        good = []
        for case in suite.cases:
            output, trouble = b"", ""
            for command in case.proof:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
                output += done.stdout
                if done.returncode != 0 and not trouble:
                    error = done.stderr.decode(errors="replace").strip()[:200]
                    trouble = f"{os.path.basename(command[0])}: status {done.returncode}: {error}"
            found = output.count(case.needle.encode())
            if case.proof and not trouble and found < case.times:
                trouble = f"printed {case.needle!r} {found} times, not {case.times}"
            if trouble:
                self.fail(suite, case.name, trouble)
            else:
                good.append(case)
        return good

    def fail(self, suite, name, why):
        self.failures.append(f"{suite.key}: {name}: {why}")

    def run(self, suite):
        cases = self.checked(suite)
        rounds = suite.quick if self.quick else max(2, round(suite.rounds * self.scale))
        command = [os.path.join(self.host.build, "bench", "timeit"), "-f", "json", "-n", str(rounds)]
        command += ["-w", "1", "-s", str(self.seed), "-N", str(self.nice), "-p", str(suite.pause)]
        if self.cpu >= 0:
            command += ["-c", str(self.cpu)]
        for case in cases:
            command += ["--case", case.name]
            for run in case.runs:
                command += ["--run", *run]
        rows = []
        if cases:
            env = dict(os.environ, LC_ALL="C")
            done = subprocess.run(command, stdout=subprocess.PIPE, check=False, env=env)
            if done.returncode not in (0, 1):
                raise RuntimeError(f"timeit exited with {done.returncode} in {suite.key}")
            rows = json.loads(done.stdout)
        for row in rows:
            if row["failures"]:
                self.fail(suite, row["name"], f"{row['failures']} runs failed: {row['error'].strip()}")
        disturbed = self.disturbed(suite, rows)
        suite.notes += disturbed
        verdicts = [self.judge(target, rows) for target in suite.targets]
        for verdict in verdicts:
            verdict.disturbed = bool(disturbed)
        return Result(suite, rows, verdicts)

    def disturbed(self, suite, rows):
        """Says so when even the floor, which waits for nothing, spent its time off the CPU: foreign load did that."""
        for row in rows:
            if row["name"] == suite.cases[0].name and row["runs"] > 0 and row["median_ms"] > 1.5 * row["cpu_ms"]:
                return [
                    f"DISTURBED by other load: the floor had the CPU {row['cpu_ms'] / row['median_ms']:.0%} of its time"
                ]
        return []

    @staticmethod
    def judge(target, rows):
        """The ratios of the medians of time and of CPU time, or None for both where a figure is missing."""
        good = {row["name"]: row for row in rows if row["runs"] > 0 and row["failures"] == 0}
        if target.case not in good or target.base not in good:
            return Verdict(target, None, None)
        case, base = good[target.case], good[target.base]
        cpu = case["cpu_ms"] / base["cpu_ms"] if base["cpu_ms"] > 0 else None
        return Verdict(target, case["median_ms"] / base["median_ms"], cpu)
