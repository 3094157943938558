"""What reaches the disk of a command line and an environment, and what never does."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.privacy import MASK, mask_arguments, storable_environment
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
