"""What of a command line and an environment may be stored.

Values of variables are stored from an allow-list only, every other variable by its name alone.
Arguments that look like secrets are masked before anything reaches the disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

MASK = "***"

# What decides speed and energy of an AI job, and is no secret.
ALLOWED_VARIABLES = frozenset(
    """
    CUDA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES
    OMP_NUM_THREADS OMP_WAIT_POLICY OMP_PROC_BIND OMP_PLACES MKL_NUM_THREADS OPENBLAS_NUM_THREADS
    NUMEXPR_NUM_THREADS KMP_BLOCKTIME KMP_AFFINITY TORCH_NUM_THREADS TOKENIZERS_PARALLELISM
    PYTORCH_CUDA_ALLOC_CONF NVIDIA_TF32_OVERRIDE CUBLAS_WORKSPACE_CONFIG LD_PRELOAD
    RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE NODE_RANK GROUP_RANK
    SLURM_JOB_ID SLURM_ARRAY_TASK_ID SLURM_PROCID SLURM_NNODES SLURM_CPUS_PER_TASK
    TORCHELASTIC_RUN_ID RAY_JOB_ID FRUGALWATCH_RUN_ID CONDA_DEFAULT_ENV VIRTUAL_ENV
    PYTHONHASHSEED PYTHONOPTIMIZE LANG LC_ALL
    """.split()
)

# Patterns are compiled when they are needed: all of them take 5 ms, which every run would pay.
_SECRET_NAME = (
    r"(?i)(pass(word|wd|phrase)?|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential"
    r"|auth(orization)?|bearer|cookie|session[-_]?id|signature|\bpwd|(?<=[a-z0-9][-_])pwd"
    r"|passcode|\bcreds?\b|(?-i:(?<=[A-Z0-9])_KEY$))"
)
# An assignment, a header or an option in the middle of a longer text, as in `sh -c "TOKEN=x run"`.
# Possessive quantifiers (`++`) keep these patterns linear: an argument may be 128 KiB long.
# A name may be quoted, as in JSON, and the quotes escaped, as in a shell's double quotes.
_NAME_INSIDE = r"(?<![\w.-])(?P<name>[\w.-]++)(?P<between>(?:\\*+[\"'])?\s*+[=:]\s*+\\*+|\s++(?!-))"
_VALUE_INSIDE = r"(?i)(?:(?:bearer|basic|token)\s++)?(?P<value>\"[^\"]*+\"|'[^']*+'|[^\s;,&|\"']++)"
# Tokens that say by their prefix what they are, and JSON web tokens.
_SECRET_VALUE = (
    r"(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|wandb_v1_\w{16,}"
    r"|(?<![\w-])eyJ[\w-]{10,}+\.[\w-]{10,}+\.[\w-]+)"
)
_SHORTEST_TOKEN = 15  # xoxa- and ten more
_URL_PASSWORD = r"(?i)((?<![\w+.-])[a-z][a-z0-9+.-]*+://[^/\s:@]*+:)[^@\s/]++@"
# A token in the place of the user, as code hosts take it. `git` and the like are shorter.
_URL_TOKEN = r"(?i)((?<![\w+.-])[a-z][a-z0-9+.-]*+://)[^/\s:@]{16,}@"
# curl's `-u user:password`; `docker -u 1000:1000` is none.
_USER_OPTIONS = frozenset({"-u", "--user", "--proxy-user"})
_USER_PASSWORD = r"(?s)([^:/\s]+:)(?!\d+$)[^/].*"
_ASSIGNMENT = r"(?s)^(-{0,2}[\w.-]+)([=:])(.*)$"
# An option like `--tokenizer bert` or `--max-tokens 128` names no secret.
_NOT_SECRET = (
    r"(?i)(tokeni[sz]|tokens\b|max[-_]?token|num[-_]?token|token[-_]?(count|len|limit|type)|author\b"
    r"|passes|by[-_]?pass|pass[-_]?through)"
)


def mask_arguments(argv: Sequence[str], patterns: Sequence[str] = ()) -> list[str]:
    """`argv` with secret-looking values replaced by `***`; option names stay readable.

    So is what the user's own `patterns` match, see `mask_matches`.
    """
    return mask_matches(_mask_secrets(argv), patterns)


def mask_matches(words: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """`words` with what the patterns match replaced; of a pattern with groups, the groups.

    The words are looked at as one line with spaces between, so that `--customer \\S+` finds an
    option and its value in two words. Where a pattern is no regular expression, nobody knows what
    it was to hide: then all words but the first are replaced.
    """
    if not patterns:
        return list(words)
    line = " ".join(words)
    spans: list[tuple[int, int]] = []
    for pattern in patterns:
        try:
            found = re.compile(pattern)
        except (re.error, RecursionError, OverflowError):
            return [*words[:1], *(MASK for _ in words[1:])]
        for match in found.finditer(line):
            groups = range(1, found.groups + 1) if found.groups else (0,)
            spans += [
                match.span(group) for group in groups if match.end(group) > match.start(group)
            ]
    masked: list[str] = []
    begin = 0
    for word in words:
        masked.append(_without(word, [(s - begin, e - begin) for s, e in spans]))
        begin += len(word) + 1
    return masked


def _without(word: str, spans: Sequence[tuple[int, int]]) -> str:
    """The word with these stretches of it replaced, overlapping ones as one."""
    parts: list[str] = []
    done = 0
    for begin, end in sorted((max(0, s), min(len(word), e)) for s, e in spans):
        if begin >= end or end <= done:
            continue
        if begin > done or not parts:
            parts += [word[done:begin], MASK]
        done = end
    return "".join([*parts, word[done:]])


def _mask_secrets(argv: Sequence[str]) -> list[str]:
    masked: list[str] = []
    value_is_secret = False
    before = ""
    for argument in argv:
        option, before = before, argument
        if value_is_secret and not argument.startswith("--"):
            masked.append(MASK)
            value_is_secret = False
            continue
        value_is_secret = False
        login = re.fullmatch(_USER_PASSWORD, argument) if option in _USER_OPTIONS else None
        if login:
            masked.append(f"{login[1]}{MASK}")
            continue
        assignment = re.match(_ASSIGNMENT, argument)
        if assignment and "://" not in assignment[0] and _names_secret(assignment[1]):
            masked.append(f"{assignment[1]}{assignment[2]}{MASK}")
            continue
        if argument.startswith("-") and _names_secret(argument):
            value_is_secret = True
        masked.append(_mask_inside(argument))
    return masked


def storable_environment(
    environment: Mapping[str, str],
    also_allowed: Sequence[str] = (),
    patterns: Sequence[str] = (),
) -> dict[str, str | None]:
    """Allow-listed variables with their values (masked where they look secret), others as None.

    In values, too, is masked what the user's `patterns` match.
    """
    allowed = ALLOWED_VARIABLES.union(also_allowed)
    return {
        name: _mask_value(_mask_inside(environment[name]), patterns) if name in allowed else None
        for name in sorted(environment)
    }


def _mask_value(value: str, patterns: Sequence[str]) -> str:
    return mask_matches(["", value], patterns)[1] if patterns else value


def _names_secret(name: str) -> bool:
    return bool(re.search(_SECRET_NAME, name)) and not re.search(_NOT_SECRET, name)


def _mask_inside(text: str) -> str:
    if "=" in text or ":" in text or text.split(None, 1) != [text]:
        text = _mask_assignments(text)
    if len(text) >= _SHORTEST_TOKEN:
        text = re.sub(_SECRET_VALUE, MASK, text)
    if "://" in text:
        text = re.sub(_URL_TOKEN, rf"\1{MASK}@", text)
        text = re.sub(_URL_PASSWORD, rf"\1{MASK}@", text)
    return text


def _mask_assignments(text: str) -> str:
    parts: list[str] = []
    done = 0
    value_inside = re.compile(_VALUE_INSIDE)
    for found in re.finditer(_NAME_INSIDE, text):
        # `--password x` is an option and its value; "a token of" are words.
        assigns = found["between"].strip() or found["name"].startswith("-")
        if found.start() < done or not assigns or not _names_secret(found["name"]):
            continue
        value = value_inside.match(text, found.end())
        if value is not None:
            parts += [text[done : value.start("value")], MASK]
            done = value.end()
    return "".join([*parts, text[done:]])
