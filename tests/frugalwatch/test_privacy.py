"""What reaches the disk of a command line and an environment, and what never does."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.privacy import MASK, mask_arguments, mask_matches, storable_environment
from tests.frugalwatch.e2e.kit import Frugalwatch

SECRET = "v3ry-s3cret-Value"


@pytest.mark.parametrize(
    "argv",
    [
        ["train.py", "--token", SECRET],
        ["train.py", "--api-key", SECRET],
        ["train.py", "--api_key=" + SECRET],
        ["train.py", "--wandb-api-key", SECRET],
        ["train.py", "--password=" + SECRET],
        ["train.py", "-password", SECRET],
        ["train.py", "--db-passwd", SECRET],
        ["train.py", "--secret", SECRET],
        ["train.py", "--aws-secret-access-key", SECRET],
        ["train.py", "--hf-token=" + SECRET],
        ["train.py", "--auth", SECRET],
        ["curl", "-H", "Authorization: Bearer " + SECRET],
        ["curl", "-H", "X-Api-Key: " + SECRET],
        ["curl", "--header=Authorization: token " + SECRET],
        ["env", "HF_TOKEN=" + SECRET, "python", "train.py"],
        ["sh", "-c", "export WANDB_API_KEY=" + SECRET + "; python train.py"],
        ["psql", "postgresql://me:" + SECRET + "@host/db"],
        ["git", "clone", "https://me:" + SECRET + "@example.org/x"],
        ["git", "clone", "https://" + "ghp_" + "a1B2" * 9 + "@example.org/x"],
        ["train.py", "hf_" + "aB3" * 10],
        ["train.py", "sk-" + "aB3" * 10],
        ["train.py", "AKIA" + "ABCD" * 4],
        ["sh", "-c", "python train.py --password '" + SECRET + "' --epochs 3"],
        ["sh", "-c", "mysql --password=" + SECRET + " db"],
        ["curl", "https://example.org/x?access_token=" + SECRET + "&page=2"],
        ["python", "-c", "login(api_key='" + SECRET + "')"],
        ["env", "MYSQL_PWD=" + SECRET, "mysql"],
        ["env", "OPENAI_KEY=" + SECRET, "python"],
        ["curl", "-d", '{"user": "me", "password": "' + SECRET + '"}'],
        ["python", "-c", "login({'token': '" + SECRET + "'})"],
        ["sh", "-c", 'curl -d "{\\"password\\": \\"' + SECRET + '\\"}" https://x'],
        ["curl", "-u", "me:" + SECRET, "https://example.org"],
        ["git", "clone", "https://" + SECRET + "@example.org/x"],
        ["train.py", "--creds=" + SECRET],
    ],
)
def test_secrets_are_masked(argv: list[str]) -> None:
    text = json.dumps(mask_arguments(argv))
    for secret in (SECRET, "a1B2a1B2", "aB3aB3", "ABCDABCD"):
        assert secret not in text


@pytest.mark.parametrize(
    "argv",
    [
        ["python", "train.py", "--epochs", "10", "--lr=0.1"],
        ["train.py", "--tokenizer", "bert-base"],
        ["train.py", "--max-tokens", "128"],
        ["train.py", "--num-tokens=128"],
        ["train.py", "--author", "me"],
        ["train.py", "--passes", "3"],
        ["train.py", "https://example.org/data?page=2"],
        ["sh", "-c", "echo a=b; ls /tmp"],
        ["sh", "-c", "echo a token of love; python -m tokenizers --max-tokens 5"],
        ["python", "-c", "import tokenize; print(tokenize.NAME)"],
        ["docker", "run", "-u", "1000:1000", "image"],
        ["python", "-u", "train.py"],
        ["git", "clone", "ssh://git@example.org/x"],
        ["train.py", "--sort-key", "name", "--key=id"],
        ["curl", "-d", '{"max_tokens": 5, "model": "x"}'],
    ],
)
def test_ordinary_arguments_stay_as_they_are(argv: list[str]) -> None:
    assert mask_arguments(argv) == argv


def test_the_name_of_an_option_stays_readable() -> None:
    assert mask_arguments(["x", "--api-key", SECRET, "--epochs", "3"]) == [
        *("x", "--api-key", MASK, "--epochs", "3")
    ]
    assert mask_arguments(["x", f"--api-key={SECRET}"]) == ["x", f"--api-key={MASK}"]


def test_an_option_without_a_value_hides_no_option_after_it() -> None:
    assert mask_arguments(["x", "--auth", "--epochs", "3"]) == ["x", "--auth", "--epochs", "3"]


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "token",
        "auth ",
        "-",
        "token=",
        "a-",
        "eyJ",
        "eyJa.",
        "x://",
        "a:",
        'a="',
        " ",
        "'",
        "\\",
        'token\\"',
    ],
)
def test_a_long_argument_is_masked_in_no_time(unit: str) -> None:
    """The longest that Linux passes; a pattern that goes back over it would take minutes."""
    argument = unit * (131_072 // len(unit))
    begun = time.process_time()
    mask_arguments([argument, f"a {argument}"])
    assert time.process_time() - begun < 1


@given(st.lists(st.text(max_size=40), max_size=8))
def test_any_command_line_is_masked_without_failing(argv: list[str]) -> None:
    masked = mask_arguments(argv)
    assert len(masked) == len(argv)


def test_values_of_variables_are_stored_from_the_list_only() -> None:
    stored = storable_environment(
        {
            "OMP_NUM_THREADS": "4",
            "HF_TOKEN": SECRET,
            "MY_OWN": "5",
            "LD_PRELOAD": "hf_" + "aB3" * 10,
        },
        ("MY_OWN",),
    )
    assert stored == {
        "HF_TOKEN": None,
        "LD_PRELOAD": MASK,
        "MY_OWN": "5",
        "OMP_NUM_THREADS": "4",
    }


def test_no_secret_reaches_any_file_of_a_run(tmp_path: Path) -> None:
    frugalwatch = Frugalwatch(tmp_path)
    frugalwatch.environment["HF_TOKEN"] = SECRET
    target = tmp_path / "out.json"
    result = frugalwatch(
        *("run", "--summary", "block", "--json", str(target)),
        *("--", "sh", "-c", "true", "sh", "--password", SECRET),
    )
    assert result.returncode == 0
    assert SECRET not in result.said
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert frugalwatch.ledger in files
    assert target in files
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    assert frugalwatch.one("SELECT environment FROM run").count("HF_TOKEN") == 1
    for path in frugalwatch.ledger.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, "and nobody else may read the ledger"


@pytest.mark.parametrize(
    ("words", "patterns", "stored"),
    [
        (["a.py", "--customer", "acme"], [r"--customer \S+"], ["a.py", MASK, MASK]),
        (["a.py", "--customer", "acme"], [r"--customer (\S+)"], ["a.py", "--customer", MASK]),
        (["a.py", "--customer=acme", "x"], [r"acme"], ["a.py", f"--customer={MASK}", "x"]),
        (["a.py", "p-1234-q"], [r"\d{2}", r"\d{4}"], ["a.py", f"p-{MASK}-q"]),
        (["a.py", "p-12-34"], [r"12", r"34"], ["a.py", f"p-{MASK}-{MASK}"]),
        (["a.py", "", "x"], [r"x"], ["a.py", "", MASK]),
        (["a.py", "x"], [r"z*"], ["a.py", "x"]),
        (["a.py", "secret", "b"], [r"(unclosed"], ["a.py", MASK, MASK]),
    ],
)
def test_a_users_own_patterns_are_masked(
    words: list[str], patterns: list[str], stored: list[str]
) -> None:
    assert mask_arguments(words, patterns) == stored


@given(st.lists(st.text("abc *-", max_size=6), min_size=1, max_size=5))
def test_masking_keeps_the_number_of_words_and_what_no_pattern_matches(words: list[str]) -> None:
    masked = mask_matches(words, ["b+"])
    assert len(masked) == len(words)
    assert not any("b" in word for word in masked)
    assert [w for w in masked if "*" not in w] == [
        w for w, m in zip(words, masked, strict=True) if "*" not in m
    ]


def test_what_a_configured_pattern_hides_never_reaches_the_disk(tmp_path: Path) -> None:
    program = Frugalwatch(tmp_path)
    config = tmp_path / "config" / "frugalwatch"
    config.mkdir(parents=True)
    (config / "config.toml").write_text("mask = ['--customer (\\S+)', 'proj-\\w+']\n")
    program.environment["CONDA_DEFAULT_ENV"] = "proj-nightingale"
    script = tmp_path / "proj-sparrow.py"
    script.write_text("import time; time.sleep(0.3)\n")
    words = ("python3", str(script), "--customer", "hush-hush")
    assert program("run", "-q", "--capture", "--", *words).returncode == 0
    assert json.loads(program.one("SELECT command FROM run"))[2:] == ["--customer", MASK]
    state = tmp_path / "state" / "frugalwatch"
    everything = b"".join(f.read_bytes() for f in state.rglob("*") if f.is_file())
    for secret in (b"hush-hush", b"nightingale", b"sparrow"):
        assert secret not in everything
    assert b"--customer" in everything


def test_a_project_cannot_take_a_users_masks_away(tmp_path: Path) -> None:
    program = Frugalwatch(tmp_path)
    program.environment["FRUGALWATCH_MASK"] = "acme"
    project = tmp_path / "project"
    project.mkdir()
    (project / "frugalwatch.toml").write_text("mask = []\n")
    program("run", "-q", "--", "echo", "acme", cwd=str(project))
    assert json.loads(program.one("SELECT command FROM run")) == ["echo", MASK]


def test_a_broken_pattern_hides_all_words_and_is_told(tmp_path: Path) -> None:
    program = Frugalwatch(tmp_path)
    program.environment["FRUGALWATCH_MASK"] = "(acme"
    result = program("run", "--", "echo", "hello")
    assert result.stdout == b"hello\n"
    program.wait_for_state("done")
    assert "mask: '(acme' is no regular expression" in program.one(
        "SELECT detail FROM event WHERE kind = 'notice'"
    )
    assert json.loads(program.one("SELECT command FROM run")) == ["echo", MASK]
    assert program("config", "check").returncode == 2
