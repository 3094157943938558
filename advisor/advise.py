"""From a workload to a document: the whole of `frugalwatch advise` without its command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from advisor import store
from advisor.beside import beside
from advisor.choosing import Choice, answer_of
from advisor.document import Answer, Setting, Work, advice_document
from advisor.gates.options import GateOptions
from advisor.inside import Inside
from advisor.limits import Limits
from advisor.power_limit.sweep import swept
from advisor.preparing import prepared, tidy, with_sample, workshop
from advisor.quality import Computed, Loss, Metric, judge
from advisor.ranking import (
    FIGURES,
    Judgement,
    Question,
    Unit,
    against_itself,
    judge_all,
    resolution,
)
from advisor.replay import Isolation, Replay, Replayer
from advisor.robustness import of_winner
from advisor.run_times import with_run_times
from advisor.search import Plan, Search
from advisor.setting import (
    cpu_flags,
    isolation_in_words,
    model_power,
    noisy_neighbours,
    private_folder,
    usable_cores,
    usable_cpus,
)
from advisor.side_by_side import NAME, SideBySide, applies, side_by_side
from advisor.stacking import by_promise, stacks_first
from advisor.standing import Standing
from advisor.stopping import Stop
from advisor.stored_trials import Earlier, read_trials
from advisor.techniques import Family, compresses, techniques
from advisor.techniques.base import Applicability, Builds, Facts, Variant
from advisor.techniques.threads import VARIABLES, one_thread
from advisor.techniques.torch_facts import NO_TORCH
from advisor.trials import AGAIN, BASE, Trial, counted_or_modelled, energy_j
from advisor.verdicts import TOO_NOISY
from advisor.work_kind import WorkKind
from advisor.workload import Workload
from advisor.workshop import COMPRESS_S, Workshop
from frugalwatch.errors import FrugalWatchError

# Below this most of what is measured is a process starting, which no switch changes.
_TOO_SHORT_S = 0.3
_SHORT_S = 1.0
# Steps of a training that tell what one costs; calls of which half suffice to judge answers by.
_ENOUGH_STEPS, _ENOUGH_CALLS = 50, 700
# Of the budget: after that nothing further is tried out, so that what works can be measured.
_TRYING_SHARE = 0.35
# Of the budget: what each recipe that changes the model may take; there are two.
_COMPRESSING_SHARE = 0.25
# Of that, once more: what searching for the best combination of what came out may take.
_SEARCHING_SHARE = 0.3
_SEARCHING_AT_LEAST_S = 30.0


class CommandFailsError(FrugalWatchError):
    """The program as written does not end with 0, so that nothing can be compared with it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to search and what counts as the same answer.

    Without `hook` nothing is seen or changed inside the program. `stop` ends each replay early.
    With `power_limit` limits of GPUs may be changed for a while.
    `gate` is how far a change in precision may move the answers, `family` what may change.
    `student` is FILE.py:function of the user's own that makes a smaller model, or empty.
    `install` are run times that may be added in a throw-away layer. `storage` is the database URL
    where a search for what to stack is kept; None: a file in the advice's folder.
    `asked` is what was asked for on the command line, for `--resume`; `earlier` is what the search
    had done before it was cut short.
    """

    plan: Plan
    isolation: Isolation
    metric: str | None = None
    tolerance: float | None = None
    hook: bool = True
    stop: Stop | None = None
    gate: GateOptions = field(default_factory=GateOptions)
    limits: Limits = field(default_factory=Limits)
    choice: Choice = field(default_factory=Choice)
    install: tuple[str, ...] = ()
    power_limit: bool = False
    family: Family = "runtime"
    student: str = ""
    storage: str | None = None
    earlier: Earlier = field(default_factory=Earlier)
    asked: Mapping[str, object] = field(default_factory=dict)


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
    aside: dict[str, object] = {"trace": None, "hot_spots": None, "power_limit": None}
    curve: dict[str, object] | None = None
    built_by: tuple[Workshop, Facts] | None = None
    if max(first.wall_s or 0.0, first.cpu_s or 0.0) < _TOO_SHORT_S:
        notes.append(
            f"it runs for {first.wall_s or 0:.2f} s, which is mostly the start of a process: too"
            " short to save anything on. Give it more work, as much as in real use"
        )
    else:
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
            facts = with_sample(facts, replayer, search.say)
        with workshop(conn, number, facts, replayer, search.say) as bench:
            facts, said = with_run_times(facts, options.install, bench.folder, search.say)
            notes += said
            _tell_limits(bench, options)
            entrants, answers = candidates(
                facts, hook=options.hook, bench=bench, family=options.family
            )
            if compresses(options.family):
                search.built()
                entrants = stacks_first(entrants)
            search.interrupted = search.interrupted or bench.interrupted
            curve, built_by = bench.curve, (bench, facts)
            if bench.spent.cpu_s:
                notes.append(f"building what was tried took {bench.spent.cpu_s:.3g} CPU-seconds")
        working = _same_answers(search, options, entrants, facts, share=_TRYING_SHARE)
        entrants = [v for v in entrants if v.name not in search.untried]
        no_time = Applicability(False, "there was no time to try it: a larger --budget")
        answers += [Answer(name, no_time) for name in search.untried]
        finalists = search.screen(working, FIGURES[unit])
        finalists = [v for v in finalists if search.screened(v, FIGURES[unit]) < 1]
        finalists = _same_answers(search, options, finalists, facts)
        confirmed = _same_answers(search, options, by_promise(finalists), facts)
        entrants += [v for v in by_promise(finalists) if v not in entrants]
        reference = _reference(facts, finalists) if finalists else None
        search.confirm(confirmed, reference)
        finalists = confirmed
        aside = _beside(search, replayer, facts, options, finalists, notes, answers)
        if facts.inside is not None and not aside["hot_spots"] and not search.interrupted:
            notes.append(
                "too little was seen of it to tell what is outside of the model: give it more work"
            )
    found = _Found(unit, entrants, finalists, answers, reference, notes, replayer.inside)
    found = replace(found, work_kind=replayer.work_kind)
    aside["compression"] = curve
    document = {**_document(number, workload, options, search, found), **aside}
    return _with_robustness(search, built_by, options, document)


def _with_robustness(
    search: Search,
    built_by: tuple[Workshop, Facts] | None,
    options: Options,
    document: dict[str, object],
) -> dict[str, object]:
    """The document, with the winner on other inputs than those that were replayed.

    Not where the user has ended the search.
    """
    found: dict[str, object] | None = None
    if built_by is not None and not search.interrupted and not search.unreliable:
        with suppress(KeyboardInterrupt):
            found = of_winner(*built_by, document, options.gate)
    return {**document, "robustness": found}


def _beside(  # noqa: PLR0917 - one call, all of it needed
    search: Search,
    replayer: Replayer,
    facts: Facts,
    options: Options,
    swaps: Sequence[Variant],
    notes: list[str],
    answers: list[Answer],
) -> dict[str, object]:
    """What is found beside the search, unless the user has ended it or it is overdue.

    What came of power limits and copies is added to the `notes`, or why not to the `answers`.
    """
    nothing: dict[str, object] = {
        "trace": None,
        "hot_spots": None,
        "power_limit": None,
        "side_by_side": None,
    }
    if search.interrupted or search.unreliable:
        return nothing
    try:
        sweep = swept(
            replayer,
            facts,
            allowed=options.power_limit,
            time_s=options.plan.budget.time_s,
            seed=options.plan.seed,
            tell=search.say,
        )
        shared = _side_by_side(search, replayer, facts, options)
        for name, each in (("power limit", sweep), (NAME, shared)):
            if each is not None and each.why_not:
                answers.append(Answer(name, Applicability(False, each.why_not)))
            elif each is not None:
                notes += each.in_words()
        found = beside(
            replayer,
            facts,
            time_s=options.plan.budget.time_s,
            latency_limit_s=options.limits.latency_s,
            seed=options.plan.seed,
            swaps=swaps,
            gates=options.gate,
            tell=search.say,
        )
    except KeyboardInterrupt:
        search.interrupted = True
        return nothing
    return {
        **found,
        "power_limit": None if sweep is None else sweep.as_json(),
        "side_by_side": shared.as_json(),
    }


def _side_by_side(search: Search, replayer: Replayer, facts: Facts, options: Options) -> SideBySide:
    """Copies of the program at once, where there is time for it or the user insists."""
    answer = applies(facts, replayer.work_kind)
    if not answer.yes:
        return SideBySide(facts.cpus, 0, why_not=answer.reason)
    own = search.trials.replays(BASE.name)
    round_s = 4.0 * max((r.wall_s or 0.0 for r in own), default=0.0)
    left_s = search.left_s()
    if 3 * round_s > left_s and NAME not in facts.included:
        hint = f"a larger --budget, or --include '{NAME}'"
        return SideBySide(facts.cpus, 0, why_not=f"there was no time to try it: {hint}")
    return side_by_side(
        replayer.workload,
        options.isolation,
        replayer.new_folder("copies"),
        facts.cpus,
        time_s=max(0.0, left_s / 2),
        seed=options.plan.seed,
        tell=search.say,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    unit: Unit
    entrants: list[Variant]
    finalists: list[Variant]
    answers: list[Answer]
    reference: Variant | None
    notes: list[str]
    inside: Inside | None
    work_kind: WorkKind = "unknown"


def _tell_limits(bench: Workshop, options: Options) -> None:
    """How long what is built on the bench may take, and what it must keep."""
    bench.compress_s = _compress_s(options.plan.budget.time_s)
    bench.limit = options.gate.max_drop_points / 100
    bench.gate, bench.seed = options.gate, options.plan.seed
    bench.student = options.student
    bench.storage = options.storage
    bench.search_s = max(_SEARCHING_AT_LEAST_S, _SEARCHING_SHARE * bench.compress_s)


def _compress_s(budget_s: float | None) -> float:
    """What a recipe that changes the model may take: the rest is for measuring."""
    return COMPRESS_S if budget_s is None else _COMPRESSING_SHARE * budget_s


def candidates(
    facts: Facts,
    *,
    hook: bool = True,
    bench: Workshop | None = None,
    family: Family = "runtime",
) -> tuple[list[Variant], list[Answer]]:
    """What is worth a trial on this workload, and every technique's answer with its reason.

    What needs something built first gets it on the `bench`, or says why that cannot be.
    """
    entrants: list[Variant] = []
    answers: list[Answer] = []
    reason = NO_TORCH if hook else "the hook is switched off in your configuration"
    if facts.inside is None:
        answers.append(Answer("inside the program", Applicability(False, reason)))
    for technique in techniques(hook=facts.inside is not None, family=family):
        if bench is not None and bench.interrupted:
            break
        answer = answer_of(technique, facts)
        variants, refusals = prepared(technique, facts, bench) if answer.yes else ([], [])
        if variants or not refusals:
            answers.append(Answer(technique.name, answer))
        answers += refusals
        entrants += variants
    # What the user insists on comes first: time may run out.
    return sorted(entrants, key=lambda v: v.technique not in facts.included), answers


def _same_answers(
    search: Search,
    options: Options,
    variants: list[Variant],
    facts: Facts,
    share: float | None = None,
) -> list[Variant]:
    """Those of the variants that act, end well, and do not visibly change the answers.

    A lossy one must show that it keeps its limit before any time is spent on measuring it.
    Whether a metric stays is told by rounds of all variants only, so with one nobody is out yet.
    """
    kept = search.try_out(variants, share)
    if options.metric is not None:
        return kept
    computed = _computed(search, facts.inside)
    return [
        v
        for v in kept
        if all(
            judge(
                search.trials,
                v.name,
                metric=False,
                tolerance=None,
                switches=v.change.switches,
                computed=computed,
                loss=loss,
            ).settled
            for loss in _losses(v, options)
        )
    ]


def _losses(variant: Variant, options: Options) -> tuple[Loss | None, ...]:
    """How a variant is judged: what is lossy has to do well on inputs for screening first.

    What is beyond its limit there takes no part in what the judging inputs decide.
    """
    if not variant.lossy:
        return (None,)
    loss = Loss(options.gate, variant.calibrated)
    return (replace(loss, part="screening"), loss)


def _computed(search: Search, inside: Inside | None) -> Computed:
    return Computed(
        search.own_agreement, search.agreements, learns=inside is not None and inside.learns
    )


def check_first(replay: Replay, how: str) -> None:
    """Raise CommandFailsError if a first replay did not end well."""
    if replay.ok:
        return
    tail = [f"  | {line[:200]}" for line in replay.tail().splitlines()[-3:]]
    if replay.state == "unmeasured":
        raise CommandFailsError(
            "the command ran, but could not be measured",
            why="\n".join(tail),
            hint="does this work? frugalwatch run -- COMMAND",
        )
    raise CommandFailsError(
        f"the command fails when it is {how}",
        why="\n".join([f"it ended with status {replay.exit_code}", *tail]),
        hint="replays read nothing (--stdin FILE), reach no network (--allow-network) and write to"
        " throw-away layers (--replay-in-place)",
    )


def _reference(facts: Facts, finalists: list[Variant]) -> Variant | None:
    """The fair second yardstick: one thread. None where the program has that already."""
    if facts.cpus < 2 or facts.threads_peak == 1:
        return None
    if all(facts.environment.get(name) == "1" for name in VARIABLES[:2]):
        return None
    change = one_thread(facts)
    same = [v for v in finalists if v.change == change]
    return same[0] if same else Variant("one thread", "reference", change)


def _document(
    number: int,
    workload: Workload,
    options: Options,
    search: Search,
    found: _Found,
) -> dict[str, object]:
    question = Question(
        found.unit,
        options.plan.seed,
        model_power() if found.unit == "cpu_s" else None,
        metric=options.metric is not None,
        tolerance=options.tolerance,
        computed=_computed(search, found.inside),
        work=found.inside.units if found.inside is not None else 0,
        limits=options.limits,
        gate=options.gate,
    )
    reference = found.reference.name if found.reference else None
    judgements = judge_all(search.trials, found.entrants, found.finalists, question, reference)
    return advice_document(
        number=number,
        workload=workload,
        question=question,
        trials=search.trials,
        judgements=[] if search.unreliable else judgements,
        answers=found.answers,
        one_thread=reference,
        notes=[
            *(workload.source.warnings() if workload.source else ()),
            *found.notes,
            *_training_note(judgements, found.inside, options),
            *_long_replays(search, found.inside, options),
            *_notes(search, options, resolution(against_itself(search.trials, question))),
        ],
        state="interrupted" if search.interrupted else "done",
        isolation=isolation_in_words(options.isolation),
        metric_pattern=options.metric,
        wall_s=search.spent_s(),
        work=_work(found),
        stop_after=f"{options.stop.after}{options.stop.unit}" if options.stop else None,
        setting=Setting(
            budget=str(options.plan.budget),
            cpus=usable_cpus(),
            inside=found.inside,
            earlier=options.earlier,
        ),
    )


def _training_note(
    judgements: Sequence[Judgement], inside: Inside | None, options: Options
) -> list[str]:
    """What to do where every change of a training prints other digits."""
    rejected = any(j.verdict == "changes the answers" for j in judgements)
    if options.metric is not None or inside is None or not inside.learns or not rejected:
        return []
    return [
        "a training prints other digits after any rounding: say which number counts, and how far it"
        " may move, by --metric and --tolerance"
    ]


def _long_replays(search: Search, inside: Inside | None, options: Options) -> list[str]:
    """How more fits into the budget, where replays do far more than measuring needs."""
    if options.stop is not None or inside is None or not (search.untried or search.out_of_time):
        return []
    enough = _ENOUGH_STEPS if inside.learns else _ENOUGH_CALLS
    if inside.units < 2 * enough:
        return []
    unit = "steps" if inside.learns else "calls"
    return [
        f"each replay does {inside.units:,} {unit}: --stop-after {enough}{unit} ends it sooner, so"
        " that more can be tried in the time"
    ]


def _work(found: _Found) -> Work:
    inside = found.inside
    if inside is None:
        return Work(kind=found.work_kind)
    return Work(inside.unit, inside.units, found.work_kind)


def _notes(search: Search, options: Options, noise: float | None) -> list[str]:
    notes = []
    trials = search.trials
    own = [*trials.replays(BASE.name), *trials.replays(AGAIN.name)]
    failed = [r for r in own if r.state in ("failed", "timeout")]
    if failed:
        notes.append(
            f"the program as written failed in {len(failed)} of {len(own)} replays: nothing can be"
            " compared with it"
        )
    walls = [r.wall_s for r in own if r.wall_s is not None]
    if walls and _TOO_SHORT_S <= max(walls) < _SHORT_S:
        notes.append("a run takes less than a second: much of it is the start of the program")
    if search.interrupted:
        notes.append("interrupted: only the trials until then count")
    if search.out_of_time:
        notes.append(
            f"the budget of {options.plan.budget} ended the confirmation early;"
            " narrower intervals: a larger --budget"
        )
    if options.isolation.in_place:
        notes.append("replayed in place: files that it writes were written many times")
    if options.stop is not None:
        notes.append(f"each replay was ended after {options.stop}: a run is that much of it")
    neighbours = noisy_neighbours(sure=noise is not None and noise > TOO_NOISY)
    return [*notes, neighbours] if neighbours else notes
