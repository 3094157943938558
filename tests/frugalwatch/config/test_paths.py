"""The XDG folders."""

import os

import pytest

from frugalwatch.config import paths


@pytest.mark.parametrize(
    ("function", "variable", "below_home"),
    [
        (paths.config_dir, "XDG_CONFIG_HOME", ".config"),
        (paths.state_dir, "XDG_STATE_HOME", ".local/state"),
        (paths.cache_dir, "XDG_CACHE_HOME", ".cache"),
    ],
)
def test_xdg_variable_wins_and_home_is_the_default(function, variable, below_home):
    assert function({"HOME": "/home/ada"}) == f"/home/ada/{below_home}/frugalwatch"
    assert function({"HOME": "/home/ada", variable: "/x"}) == "/x/frugalwatch"
    # The specification: relative values are invalid and ignored.
    assert function({"HOME": "/home/ada", variable: "x"}) == f"/home/ada/{below_home}/frugalwatch"


def test_without_home_the_password_database_is_asked():
    import pwd

    assert paths.home_dir({}) == pwd.getpwuid(os.getuid()).pw_dir


def test_runtime_folder_without_xdg_names_the_user():
    assert paths.runtime_dir({"XDG_RUNTIME_DIR": "/run/user/7"}) == "/run/user/7/frugalwatch"
    assert paths.runtime_dir({}) == f"/tmp/frugalwatch-{os.getuid()}"
    assert paths.runtime_dir({"TMPDIR": "/scratch"}) == f"/scratch/frugalwatch-{os.getuid()}"
