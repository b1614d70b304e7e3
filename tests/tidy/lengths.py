# SPDX-License-Identifier: Apache-2.0
"""Lengths of files, lines and functions."""
import cscan

FILE_MAX_LINES = 800
LINE_MAX_COLUMNS = 100
FUNCTION_MAX_LINES = 120
MEDIAN_MAX_LINES = 18
NINETY_MAX_LINES = 55


def _quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0


def _function_lengths(tree):
    for name in tree.ending(".c", ".h"):
        for function in cscan.functions(tree.text(name)):
            yield name, function, function.end - function.start + 1


def report(tree):
    """One line of figures, for people."""
    lengths = [lines for _, _, lines in _function_lengths(tree)]
    return (f"{len(lengths)} functions: median {_quantile(lengths, 0.5)} lines, 90 % at most "
            f"{_quantile(lengths, 0.9)}, longest {max(lengths, default=0)}")


def check(tree):
    """No file, line or function is too long, and most functions are short."""
    for name in sorted(set(tree.ending(".c", ".h") + tree.scripts())):
        lines = tree.text(name).splitlines()
        if len(lines) > FILE_MAX_LINES:
            yield f"{name}:1: {len(lines)} lines, {FILE_MAX_LINES} at most"
        for number, line in enumerate(lines, 1):
            # clang-format leaves comments alone, so it does not see to this by itself.
            if len(line) > LINE_MAX_COLUMNS and name.endswith((".c", ".h", ".py")):
                yield f"{name}:{number}: {len(line)} columns, {LINE_MAX_COLUMNS} at most"
    product = []
    for name, function, lines in _function_lengths(tree):
        if lines > FUNCTION_MAX_LINES:
            yield (f"{name}:{function.start}: {function.name} has {lines} lines, "
                   f"{FUNCTION_MAX_LINES} at most")
        if not name.startswith("tests/"):
            product.append(lines)
    if _quantile(product, 0.5) > MEDIAN_MAX_LINES:
        yield (f".:1: the median function has {_quantile(product, 0.5)} lines, "
               f"{MEDIAN_MAX_LINES} at most")
    if _quantile(product, 0.9) > NINETY_MAX_LINES:
        yield (f".:1: a tenth of the functions has more than {_quantile(product, 0.9)} lines, "
               f"{NINETY_MAX_LINES} at most")
