"""A capture in words: what it holds, what it does not and why."""

from __future__ import annotations

from collections.abc import Iterator

from frugalwatch.captures.reading import Capture, Module, Slot
from frugalwatch.report.format import command_line, duration, significant

_INDENT = "  "


def size(count: float) -> str:
    """Bytes as a person reads them: 812 B, 3.4 MB."""
    if count < 1e3:
        return f"{count:.0f} B"
    for limit, unit in ((1e6, "kB"), (1e9, "MB"), (1e12, "GB")):
        if count < limit:
            return f"{significant(count / (limit / 1e3))} {unit}"
    return f"{significant(count / 1e12)} TB"


def capture_lines(capture: Capture, run: int | None, width: int) -> list[str]:
    """All of `capture show`."""
    manifest = capture.manifest
    command = manifest.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else ["unknown command"]
    title = f"Capture {capture.name}   "
    which = "" if run is None else f"run {run}, "
    lines = [
        title + command_line(words, max(20, width - len(title))),
        f"{_INDENT}{which}made {manifest.get('created_utc', '-')}, "
        f"deleted after {manifest.get('expires_utc', '-')}",
        f"{_INDENT}{size(capture.bytes)} in {capture.path}",
    ]
    for process in capture.processes:
        about = process.about
        lines += [
            "",
            f"{_INDENT}{process.path.rpartition('/')[2]}   {about.get('program') or '-'}, "
            f"Python {about.get('python', '-')}, torch {about.get('torch', '-')}",
        ]
        for module in process.modules:
            lines += module_lines(module, width)
        lines += [f"{_INDENT}note: {note}" for note in process.notes]
    if not capture.processes:
        lines += ["", f"{_INDENT}nothing: no call of a torch model was captured"]
    lines += ["", f"{_INDENT}Inputs and outputs are your data. {PRIVACY}"]
    return lines


PRIVACY = "They may hold personal data; only you can read the files."


def module_lines(module: Module, width: int) -> list[str]:
    """The block of one module."""
    about = module.about
    facts = [
        str(about.get("class", "unknown module")),
        f"{_count(about.get('parameters'))} parameters",
        size(_float(about.get("weights_bytes"))),
    ]
    lines = [f"{_INDENT * 2}module {module.number}   " + ", ".join(facts)]
    rows = [*_call_rows(module), *_part_rows(module)]
    label_width = max(len(label) for label, _ in rows)
    room = max(30, width - label_width - 8)
    for label, text in rows:
        for at, line in enumerate(_wrapped(text, room)):
            lines.append(f"{_INDENT * 3}{'' if at else label:<{label_width}}  {line}")
    return lines


def _call_rows(module: Module) -> Iterator[tuple[str, str]]:
    using = module.calls - module.training_calls
    parts = [f"{using} in use" if using else "", f"{module.training_calls} in training"]
    said = ", ".join(part for part in parts if part and not part.startswith("0 "))
    failed = f", {module.failed} failed" if module.failed else ""
    yield "calls", f"{module.calls} ({said}{failed}); {module.kept} kept with inputs and outputs"
    for label, slots in (("inputs", module.inputs), ("outputs", module.outputs)):
        if slots:
            yield label, "; ".join(_slot(slot) for slot in slots)
    if module.missing:
        yield "not kept", "; ".join(module.missing[:4])
    if module.repeat_rate is not None:
        rate = f"{100 * module.repeat_rate:.0f} %"
        yield "repeats", f"{rate} of {module.hashed} calls had inputs seen before"
    if module.p50_s is not None:
        yield "time", f"{duration(module.p50_s)} (median of a call)"


def _part_rows(module: Module) -> Iterator[tuple[str, str]]:
    weights = module.part("weights")
    yield "weights", _why_not(weights) or size(_float(weights.get("bytes")))
    pickle = module.part("pickle")
    yield "module", _why_not(pickle) or f"pickled by value by {pickle.get('by')}"
    program = module.part("program")
    yield "program", _why_not(program) or _program(program)


def _program(program: dict[str, object]) -> str:
    found = program.get("dynamic")
    dimensions = [
        f"{name} {', '.join(map(str, numbers))}"
        for name, numbers in (found.items() if isinstance(found, dict) else ())
        if numbers
    ]
    shapes = "open dimensions: " + "; ".join(dimensions) if dimensions else "fixed shapes"
    difference = _float(program.get("max_abs_difference"))
    same = "answers equal" if difference == 0 else f"answers within {difference:.1g}"
    return f"{size(_float(program.get('bytes')))}, {shapes}; {same}"


def _why_not(part: dict[str, object]) -> str:
    reason = str(part.get("why_not", ""))
    return f"not stored: {' '.join(reason.split())[:300]}" if reason else ""


def _slot(slot: Slot) -> str:
    if slot.shape is None:
        return f"{slot.name} {slot.dtype}, of several ranks"
    sides = [str(low) if low == high else f"{low}..{high}" for low, high in slot.shape]
    return f"{slot.name} {slot.dtype} [{' x '.join(sides)}]"


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]


def _count(value: object) -> str:
    number = _float(value)
    for scale, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= scale:
            return f"{significant(number / scale)}{unit}"
    return f"{number:.0f}"


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
