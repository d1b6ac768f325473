"""Query texts of a tenant who means harm: he wants out of his brackets, into his neighbours' answers, and to read all.

Half of them are PromQL with something of the kind in the right place, half have it anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

_FORGED = '\n), "kcloud_query", "0", "", "") or label_replace(({}'
_WORDS = (
    "vector(95)",
    "requests_total",
    "sum(rate(requests_total[2m]))",
    "rate(requests_total[2m])",
    '{__name__=~".*"}',
    '{__name__!=""}',
    'count({__name__=~".+"})',
    "{}",
    'secret{namespace="team-b"}',
    'secret{namespace=~".*"}',
    'secret{namespace!="team-a"}',
    'secret{namespace=""}',
    'secret{"namespace"="team-b"}',
    'secret{namespace="team-a" or namespace="team-b"}',
    '{"secret"}',
    '{"secret", "name space"="x"}',
    "secret offset 1m",
    "secret offset -1m",
    "secret @ end()",
    "secret @ 1",
    "secret @ -1",
    "max_over_time(secret[10m:1m] @ start())",
    "max_over_time(sum(secret)[5m:])",
    "info(requests_total)",
    'info(vector(1), {__name__="secret"})',
    "absent(secret)",
    "scalar(secret)",
    "topk(3, secret)",
    'count_values("kcloud_query", secret)',
    "sum by (kcloud_query) (secret)",
    'sum without ("a\\"b", namespace) (secret)',
    'label_replace(vector(95), "kcloud_query", "0", "", "")',
    'label_replace(secret, "namespace", "team-a", "", "")',
    'label_replace(vector(95), "kcloud_query_0123456789abcdef", "1", "", "")',
    'label_join(secret, "kcloud_query", "0", "namespace")',
    "1e308",
    "NaN",
    "-0x1F",
    '"text"',
    "time()",
    "start",
    "sum",
)
_OPERATORS = (
    *(" or ", " and ", " unless ", " + ", " - ", " ^ ", " == bool ", " > ", " atan2 ", " % ", " or on () "),
    *(" / on (x) ", " * ignoring (namespace) group_left (namespace) ", " + fill(1) ", " if ", " or vector(1) or "),
)
_AROUND = (
    *("({})", "(({}))", "sum({})", "-{}", "- -{}", "+{}", "abs({})", "max_over_time({}[5m:1m])", "sum({}) by (le)"),
    *("vector(scalar({}))", "histogram_quantile(0.9, {})", "{} offset 1h", "{} @ end()", "{}[5m]", "sort({})"),
    *('label_replace({}, "a", "$1", "b", "(.*)")', 'label_replace({}, "kcloud_query", "1", "", "")'),
)
_BREAKS = (
    *(")", "(", "))", "((", "}", "{", "]", "[", ",", ";", "\t", "\\", '"', "'", "`", '\\"', "``", "''", '"\n"'),
    *("#", "#\r", "#\n", "# \u2028", "# \u0085", "# \x0b", "# \x0c", "#)", "# ) or (", '#"', "#`\n`"),
    *("\r", "\n", "\u2028", "\u2029", "\u0085", "\u00a0", "\ufeff", "\x00", "\u202e", "\ud800", "\u037e"),
    *("/*", "*/", "//", "--", ") or (", ") or vector(95) or (", "{{name}}", "$__interval"),
    *("\\x22", "\\u0022", "\\042", "`)`", "'\"'", '"\'"'),
    *('\r), "kcloud_query", "0", "", "") or (', _FORGED, '"), "kcloud_query", "0", "", "") or ("'),
)
_STRINGS = (
    *('secret{{x="{}"}}', "secret{{x='{}'}}", "secret{{x=`{}`}}", 'secret{{x=~"{}|.*"}}', 'secret{{"{}"="y"}}'),
    *('{{"{}"}}', 'label_replace(vector(1), "x", "{}", "", "")', "label_replace(vector(1), 'x', `{}`, '', '')"),
    *('sum by ("{}") (secret)', 'secret + on ("{}") secret'),
)


def hostile_queries(count: int, seed: int = 0) -> Iterator[str]:
    """So many texts, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _text(chance)


def _text(chance: random.Random) -> str:
    text = _expression(chance, chance.randint(0, 3))
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        at = chance.choice((0, len(text), chance.randint(0, len(text))))
        text = text[:at] + chance.choice(_BREAKS) + text[at:]
    return text


def _expression(chance: random.Random, depth: int) -> str:
    kind = chance.random()
    if depth == 0 or kind < 0.2:
        return chance.choice(_WORDS)
    if kind < 0.4:
        inside = "".join(chance.choice((*_BREAKS, "x", ")", "#")) for _ in range(chance.randint(1, 4)))
        return chance.choice(_STRINGS).format(inside)
    inner = _expression(chance, depth - 1)
    if kind < 0.7:
        return chance.choice(_AROUND).format(inner)
    return inner + chance.choice(_OPERATORS) + _expression(chance, depth - 1)
