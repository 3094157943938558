"""From a workload to a document: the whole of `frugalwatch advise` without its command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

from advisor import store
from advisor.afterwards import afterwards, with_robustness
from advisor.candidates import candidates, tell_limits
from advisor.conclusion import Found, concluded
from advisor.document import Answer
from advisor.first_replay import check_first
from advisor.notes import TOO_SHORT_S
from advisor.options import Options
from advisor.preparing import tidy, with_sample, workshop
from advisor.quality import Metric
from advisor.ranking import FIGURES, Unit
from advisor.replay import Replay, Replayer
from advisor.run_times import with_run_times
from advisor.search import Search
from advisor.selecting import selected
from advisor.setting import cpu_flags, model_power, private_folder, usable_cores, usable_cpus
from advisor.shortening import shortened
from advisor.stacking import stacks_first
from advisor.standing import Standing
from advisor.stored_trials import read_trials
from advisor.techniques import compresses, techniques
from advisor.techniques.base import Builds, Facts, Variant
from advisor.trials import Figure, Trial, counted_or_modelled, energy_j
from advisor.workload import Workload
from advisor.workshop import Cost, Workshop

# Of the budget: after that no more run-time swaps are built.
_BUILDING_SHARE = 0.35
# Of what the program uses: a look at less than that is told as a first sign.
_A_SIGN = 0.9


def advise(
    conn: sqlite3.Connection,
    workload: Workload,
    options: Options,
    tell: Callable[[Standing], None],
    resume: int | None = None,
) -> dict[str, object]:
    """Try what applies and return the document, which is stored as well.

    `resume` is the number of an advice that was cut short: it goes on with the trials of that one.
    Raises CommandFailsError, CannotIsolateError, and KeyboardInterrupt if nothing is known yet.
    """
    if resume is None:
        number = store.begin_advice(
            conn, workload, cpus=usable_cpus(), seed=options.plan.seed, plan=options.asked
        )
    else:
        number, options = resume, replace(options, earlier=read_trials(conn, resume))
        store.go_on(conn, resume, options.asked)
    document: dict[str, object] | None = None
    try:
        with private_folder() as folder:
            replayer = Replayer(
                workload, options.isolation, folder, hook=options.hook, stop=options.stop
            )

            def keep(trial: Trial) -> None:
                store.add_trial(conn, number, trial)

            def say(standing: Standing) -> None:
                store.set_progress(conn, number, standing)
                tell(standing)

            power = model_power()
            search = Search(
                replayer,
                options.plan,
                record=keep,
                tell=say,
                metric=Metric(options.metric) if options.metric else lambda _: None,
                known=options.earlier.measured,
                joules=counted_or_modelled(power.idle_w, power.active_w) if power else energy_j,
            )
            document = _search(conn, number, workload, options, search, replayer)
            tidy(conn, number, document)
        return document
    finally:
        state = "failed" if document is None else str(document["state"])
        if document is None and options.earlier.trials:
            state = "interrupted"  # what it had found before is still there to go on with
        store.finish_advice(conn, number, state, document)


def _search(  # noqa: PLR0917 - one call, all of it needed
    conn: sqlite3.Connection,
    number: int,
    workload: Workload,
    options: Options,
    search: Search,
    replayer: Replayer,
) -> dict[str, object]:
    first = search.look()
    check_first(first, "replayed without any change")
    unit: Unit = "cpu_s" if first.energy_j is None else "energy_j"
    notes: list[str] = []
    entrants: list[Variant] = []
    finalists: list[Variant] = []
    answers: list[Answer] = []
    reference: Variant | None = None
    building = Cost(energy_j=0.0)
    aside: dict[str, object] = {"trace": None, "hot_spots": None, "power_limit": None}
    curve: dict[str, object] | None = None
    built_by: tuple[Workshop, Facts] | None = None
    if max(first.wall_s or 0.0, first.cpu_s or 0.0) < TOO_SHORT_S:
        notes.append(
            f"it runs for {first.wall_s or 0:.2f} s, which is mostly the start of a process: too"
            " short to save anything on. Give it more work, as much as in real use"
        )
    else:
        facts = _facts(workload, options, search, replayer)
        options = _ending_early(conn, number, options, search, replayer, first)
        with workshop(conn, number, facts, replayer, search.say) as bench:
            facts, said = with_run_times(facts, options.install, bench.folder, search.say)
            notes += said
            tell_limits(bench, options)
            entrants, answers = candidates(
                facts,
                hook=options.hook,
                bench=bench,
                family=options.family,
                is_late=lambda: (
                    search.interrupted
                    or (not compresses(options.family) and search.is_past(_BUILDING_SHARE))
                ),
                first=lambda variant: _first_sign(search, variant, FIGURES[unit]),
            )
            search.built()
            if compresses(options.family):
                entrants = stacks_first(entrants)
            search.interrupted = search.interrupted or bench.interrupted
            curve, built_by = bench.curve, (bench, facts)
            building = bench.spent
            if bench.spent.cpu_s:
                notes.append(f"building what was tried took {bench.spent.cpu_s:.3g} CPU-seconds")
        found = selected(search, options, entrants, facts, FIGURES[unit])
        entrants, finalists = found.entrants, found.confirmed
        answers += found.answers
        reference = search.yardstick if finalists else None
        search.confirm(finalists)
        aside = afterwards(search, replayer, facts, options, finalists, notes, answers)
        if facts.inside is not None and not aside["hot_spots"] and not search.interrupted:
            notes.append(
                "too little was seen of it to tell what is outside of the model: give it more work"
            )
    what = Found(unit, entrants, finalists, answers, reference, notes, replayer.inside)
    what = replace(what, work_kind=replayer.work_kind, building=building)
    aside["compression"] = curve
    document = {**concluded(number, workload, options, search, what), **aside}
    return with_robustness(search, built_by, options, document)


def _first_sign(search: Search, variant: Variant, figure: Figure) -> None:
    """Look at one variant, and tell what that showed: whoever waits knows that there is something.

    The look is one that it needs anyway.
    """
    search.try_out([variant])
    ratio = search.looked(variant, figure)
    if ratio is not None and ratio <= _A_SIGN and not search.interrupted:
        search.say(f"first sign: {variant.name} costs {ratio:.2f} of as written, by one look")


def _facts(workload: Workload, options: Options, search: Search, replayer: Replayer) -> Facts:
    """What the first replay saw, and a sample of its calls where somebody builds from one."""
    facts = Facts(
        workload.environment,
        usable_cpus(),
        usable_cores(),
        replayer.threads_peak,
        replayer.libraries,
        replayer.inside,
        cpu_flags(),
        argv=workload.argv if options.hook else (),
        included=options.choice.include,
        excluded=options.choice.exclude,
    )
    if any(isinstance(each, Builds) for each in techniques(hook=True, family=options.family)):
        return with_sample(facts, replayer, search.say)
    return facts


def _ending_early(  # noqa: PLR0917 - one call, all of it needed
    conn: sqlite3.Connection,
    number: int,
    options: Options,
    search: Search,
    replayer: Replayer,
    first: Replay,
) -> Options:
    """The options, with where replays end from now on if whole ones take too long."""
    if not options.shorten or options.metric is not None or options.family != "runtime":
        return options
    stop = shortened(search, replayer, first, options.asked)
    if stop is None:
        return options
    store.go_on(conn, number, {**options.asked, "shortened": f"{stop.after}{stop.unit}"})
    return replace(options, stop=stop)
