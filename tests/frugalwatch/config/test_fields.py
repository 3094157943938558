"""The table of settings says the same as the record, and refuses what it should."""

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import registry
from frugalwatch.config.fields import FIELDS, BadValueError, check, from_text, nearest
from frugalwatch.config.settings import Settings


def test_the_table_has_every_setting_in_order():
    assert list(FIELDS) == list(Settings._fields)


def test_kinds_and_choices_agree_with_the_types_of_the_record():
    kind_of = {bool: "switch", float: "number", str: "text", tuple[str, ...]: "list"}
    for name, hint in typing.get_type_hints(Settings).items():
        members = [a for a in typing.get_args(hint) if a is not type(None)]
        bare = members[0] if type(None) in typing.get_args(hint) else hint
        field = FIELDS[name]
        if typing.get_origin(bare) is typing.Literal:
            assert field.kind == "choice", name
            assert field.choices == typing.get_args(bare), name
        else:
            assert field.kind in (kind_of[bare], "path" if bare is str else None), name


def test_every_default_is_accepted_by_its_own_field():
    for name, field in FIELDS.items():
        default = getattr(Settings(), name)
        if default is not None:
            assert check(field, default) == default, name


def test_every_hardware_source_can_be_switched_off():
    assert set(registry.HARDWARE) <= set(FIELDS["sources_off"].choices)


@pytest.mark.parametrize("bad", [True, "1", None, [], float("nan"), float("inf"), 10**400, 0, 3601])
def test_a_number_out_of_range_or_of_another_type_is_refused(bad):
    with pytest.raises(BadValueError):
        check(FIELDS["interval_s"], bad)


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("0", False), (" On ", True)])
def test_switches_from_text(text, value):
    assert from_text(FIELDS["hook"], text) is value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("hook", "maybe"),
        ("interval_s", "1s"),
        ("interval_s", "nan"),
        ("summary", "blok"),
        ("zone", " "),
    ],
)
def test_bad_text_is_refused(key, text):
    with pytest.raises(BadValueError):
        from_text(FIELDS[key], text)


def test_lists_from_text_are_split_at_commas():
    assert from_text(FIELDS["environment_allow"], "A, B,,C") == ("A", "B", "C")
    with pytest.raises(BadValueError) as problem:
        from_text(FIELDS["sources_off"], "rapl,nvidai")
    assert problem.value.near == "nvidia"


def test_nearest_sees_through_dashes_and_case():
    assert nearest("Interval-S", tuple(FIELDS)) == "interval_s"
    assert nearest("qqqq", tuple(FIELDS)) == ""


@given(st.sampled_from(sorted(FIELDS)), st.text(max_size=40))
def test_text_is_taken_or_refused_and_never_anything_else(key, text):
    try:
        value = from_text(FIELDS[key], text)
    except BadValueError:
        return
    assert check(FIELDS[key], value) == value
