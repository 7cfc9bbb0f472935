# SPDX-License-Identifier: Apache-2.0
"""Results as text, as Markdown in docs/performance.md, and as JSON."""

import dataclasses

BEGIN = "<!-- bench:begin: written by `bench/run --write`, do not edit -->"
END = "<!-- bench:end -->"


def number(value):
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def base_of(result):
    rows = [row for row in result.rows if row["runs"] > 0]
    return rows[0] if rows else None


def figures(result):
    """One list of strings a case; the last is the ratio of its median to that of the first case, a floor."""
    base = base_of(result)
    for row in result.rows:
        if row["runs"] == 0:
            yield [row["name"], "failed", "-", "-", "-", "-"]
            continue
        yield [
            row["name"],
            number(row["min_ms"]),
            number(row["median_ms"]),
            number(row["p90_ms"]),
            number(row["cpu_ms"]),
            number(row["median_ms"] / base["median_ms"]),
        ]


HEADINGS = ["", "min ms", "median ms", "p90 ms", "CPU ms", "ratio"]


def grid(rows, headings):
    """Columns by spaces for people at a terminal: the first to the left, the others to the right."""
    widths = [max(len(str(row[i])) for row in [headings, *rows]) for i in range(len(headings))]
    lines = []
    for row in [headings, *rows]:
        cells = [str(row[0]).ljust(widths[0])] + [str(c).rjust(w) for c, w in zip(row[1:], widths[1:])]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(rows, headings):
    lines = ["| " + " | ".join(headings) + " |", "| --- |" + " ---: |" * (len(headings) - 1)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def verdict_rows(results):
    words = {None: "not measured", True: "met", False: "NOT MET"}
    for verdict in (v for result in results for v in result.verdicts):
        doubt = " (disturbed)" if verdict.disturbed and verdict.met is not None else ""
        ratios = ["-" if r is None else number(r) for r in (verdict.ratio, verdict.cpu_ratio)]
        yield [verdict.target.text, f"<= {verdict.target.limit:.2f}", *ratios, words[verdict.met] + doubt]


VERDICT_HEADINGS = ["target", "limit", "ratio", "CPU ratio", "verdict"]
CALL_HEADINGS = ["system calls", "floor", "cgx", "cgroup-tools"]


def suite_text(result):
    return "\n".join(
        [result.suite.title, grid(list(figures(result)), HEADINGS), *("  " + note for note in result.suite.notes)]
    )


def summary_text(results, calls, absent):
    parts = []
    if calls:
        parts.append(grid(calls, CALL_HEADINGS))
    if any(result.verdicts for result in results):
        parts.append(grid(list(verdict_rows(results)), VERDICT_HEADINGS))
    parts += [f"  not run: {reason}" for reason in absent]
    return "\n".join(parts)


def section(host_facts, results, calls, absent, command):
    """The generated part of docs/performance.md."""
    parts = [BEGIN, "", "## Figures", ""]
    parts += [f"- {name}: {value}" for name, value in host_facts]
    parts += [f"- command: `{command}`", ""]
    parts += ["### Targets", "", markdown(list(verdict_rows(results)), VERDICT_HEADINGS), ""]
    if absent:
        parts += [f"Not run: {reason}." for reason in absent] + [""]
    for result in results:
        rounds = max((row["runs"] for row in result.rows), default=0)
        parts += [
            f"### {result.suite.title}",
            "",
            f"{rounds} rounds.",
            "",
            markdown(list(figures(result)), HEADINGS),
            "",
        ]
        parts += [f"{note[0].upper()}{note[1:]}.\n" for note in result.suite.notes]
    if calls:
        parts += ["### System calls per command", "", markdown(calls, CALL_HEADINGS), ""]
    return "\n".join(parts + [END])


def write(path, text):
    with open(path, encoding="utf-8") as file:
        old = file.read()
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{path} lacks the two lines between which the figures go")
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + text + after)


def as_json(host_facts, results, calls, absent, failures):
    return {
        "host": dict(host_facts),
        "suites": [
            {"key": r.suite.key, "title": r.suite.title, "notes": r.suite.notes, "cases": r.rows} for r in results
        ],
        "targets": [
            dict(
                dataclasses.asdict(v.target),
                suite=r.suite.key,
                ratio=v.ratio,
                cpu_ratio=v.cpu_ratio,
                disturbed=v.disturbed,
                met=v.met,
            )
            for r in results
            for v in r.verdicts
        ],
        "system_calls": [dict(zip(("job", "floor", "cgx", "cgroup_tools"), row)) for row in calls or []],
        "not_run": absent,
        "failures": failures,
    }
