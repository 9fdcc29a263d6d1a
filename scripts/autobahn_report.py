#!/usr/bin/env python3
"""autobahn_report: counts what became of the cases; exit code 1 if any fell short, or none ran.

  autobahn_report.py INDEX_JSON
"""

import collections
import json
import sys

GOOD = {"OK", "INFORMATIONAL"}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = {case: verdict for agent in json.load(file).values()
                 for case, verdict in agent.items()}
    counts = collections.Counter(verdict["behavior"] for verdict in cases.values())
    counts.update("close " + verdict["behaviorClose"] for verdict in cases.values())
    for name, count in sorted(counts.items()):
        print(f"{name:24} {count}")
    short = [case for case, verdict in cases.items()
             if not {verdict["behavior"], verdict["behaviorClose"]} <= GOOD]
    for case in sorted(short, key=lambda case: [int(part) for part in case.split(".")]):
        print(f"case {case:8} {cases[case]['behavior']}, close {cases[case]['behaviorClose']}")
    print(f"{len(cases)} cases, {len(short)} fell short")
    return 1 if short or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
