#!/usr/bin/env python3
"""autobahn_report: counts the results of the cases; exit code 1 if any failed, or none ran.

  autobahn_report.py INDEX_JSON...            counts; if several files have a case, the last one counts
  autobahn_report.py --short INDEX_JSON...    only the failed cases, a line each
"""

import collections
import json
import sys

GOOD = {"OK", "INFORMATIONAL"}


def cases_of(paths):
    cases = {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for agent in json.load(file).values():
                cases.update(agent)
    return cases


def main():
    only_short = sys.argv[1] == "--short"
    cases = cases_of(sys.argv[1 + only_short:])
    short = [case for case, verdict in cases.items()
             if not {verdict["behavior"], verdict["behaviorClose"]} <= GOOD]
    short.sort(key=lambda case: [int(part) for part in case.split(".")])
    if only_short:
        print("\n".join(short))
        return 0
    counts = collections.Counter(verdict["behavior"] for verdict in cases.values())
    counts.update("close " + verdict["behaviorClose"] for verdict in cases.values())
    for name, count in sorted(counts.items()):
        print(f"{name:24} {count}")
    for case in short:
        print(f"case {case:8} {cases[case]['behavior']}, close {cases[case]['behaviorClose']}")
    print(f"{len(cases)} cases, {len(short)} failed")
    return 1 if short or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
