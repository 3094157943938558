"""A child process without privileges, for tests about permissions."""

import os

import pytest


@pytest.fixture
def without_privileges():
    """Call a function in a child that is not root and give back the text that it returned."""

    def call(function):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                if os.getuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)  # from root this drops the capabilities too
                os.write(writing, function().encode())
            except BaseException as error:
                os.write(writing, f"child failed: {error!r}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as file:
            answer = file.read()
        os.waitpid(pid, 0)
        return answer

    return call
