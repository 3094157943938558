"""Programs whose split of CPU time is known by construction, for `run --profile` to find.

Run by bench/profile_shares.py and by the tests. Each prints, as JSON, the CPU seconds of its
functions by its own clock.
"""

from __future__ import annotations

HEAD = """
import atexit, hashlib, json, os, sys, threading, time
USED, DATA, BIG = {}, bytes(5_000_000), list(range(200_000))

def timed(function):
    def call(*args):
        begun = time.thread_time()
        function(*args)
        USED[function.__name__] = USED.get(function.__name__, 0.0) + time.thread_time() - begun
    return call

def until(seconds, work):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        work()
"""
SEVENTY_THIRTY = """
@timed
def seventy():
    end = time.thread_time() + 0.007
    while time.thread_time() < end:
        for i in range(50): i * i
@timed
def thirty():
    end = time.thread_time() + 0.003
    while time.thread_time() < end:
        for i in range(50): i * i
for _ in range(250): seventy(); thirty()
"""
LOCKED_AND_FREE = """
@timed
def free(): # native code that gives the interpreter's lock away
    end = time.thread_time() + 0.04
    while time.thread_time() < end: hashlib.sha256(DATA).digest()
@timed
def held(): # native code that keeps it
    end = time.thread_time() + 0.04
    while time.thread_time() < end: sum(BIG)
@timed
def plain():
    end = time.thread_time() + 0.04
    while time.thread_time() < end:
        for i in range(50): i * i
for _ in range(25): free(); held(); plain()
"""
WORKS_AND_WAITS = """
@timed
def burst():
    end = time.thread_time() + 0.005
    while time.thread_time() < end: pass
@timed
def waits(): time.sleep(0.02)
for _ in range(120): burst(); waits()
"""
THREADS = """
@timed
def hashing():
    end = time.thread_time() + 1.5
    while time.thread_time() < end: hashlib.sha256(DATA).digest()
@timed
def idle(): time.sleep(2)
threads = [threading.Thread(target=f) for f in (hashing, idle)]
for t in threads: t.start()
for t in threads: t.join()
"""

END = "\nprint(json.dumps(USED))\n"
PROGRAMS = {
    "70/30 loops": HEAD + SEVENTY_THIRTY + END,
    "lock kept and given away": HEAD + LOCKED_AND_FREE + END,
    "works and waits": HEAD + WORKS_AND_WAITS + END,
    "one thread works, one waits": HEAD + THREADS + END,
}
