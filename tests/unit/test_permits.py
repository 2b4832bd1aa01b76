"""Permits are taken from their own key, whole, as written and in time, and from nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.deliver.actions import Actions
from tocsin.deliver.credentials import redacted
from tocsin.deliver.message import Action
from tocsin.deliver.settings import ChannelSettings
from tocsin.permits import NoPermit, Permits, Subject, new_permit
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.notification import Group
from tocsin.testing.alerts import UPDATED_AT, Addressee, firing_event, resolved_event
from tocsin.vault import Vault

VAULT = Vault(bytes(range(32)))
PERMITS = Permits(VAULT.derived("links in messages"))
NOW_MS = parse_instant(UPDATED_AT)
PERMIT = new_permit("acknowledge", (Subject("9f2c000000000001", NOW_MS, 3),), NOW_MS + 1_000, "chat")
TOKEN = PERMITS.token(PERMIT)


def test_a_permit_comes_back_until_its_time_is_over() -> None:
    assert PERMITS.permit(TOKEN, NOW_MS + 999) == PERMIT
    assert PERMITS.permit(TOKEN, NOW_MS).id == PERMIT.id
    with pytest.raises(NoPermit, match="too old"):
        PERMITS.permit(TOKEN, NOW_MS + 1_000)


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("AZaz09-_.=/ é"))
def test_a_letter_that_is_changed_or_added_makes_it_worthless(place: int, letter: str) -> None:
    for forged in (TOKEN[:place] + letter + TOKEN[place + 1 :], TOKEN[:place] + letter + TOKEN[place:], TOKEN[:place]):
        if forged != TOKEN:
            with pytest.raises(NoPermit):
                PERMITS.permit(forged, NOW_MS)


@given(st.text(max_size=200))
def test_texts_of_strangers_permit_nothing(text: str) -> None:
    with pytest.raises(NoPermit):
        PERMITS.permit(text, NOW_MS)


def test_a_key_for_another_purpose_or_of_another_vault_is_another_key() -> None:
    for key in (VAULT.derived("others"), Vault(bytes(32)).derived("links in messages")):
        with pytest.raises(NoPermit, match="not valid"):
            Permits(key).permit(TOKEN, NOW_MS)


def links(*events: object, group: bool = False, test: bool = False, valid_ms: int = 1_000) -> tuple[Action, ...]:
    told = Addressee("chat", "slack").notification(events[0], test=test)  # type: ignore[arg-type]
    if group:
        told = type(told)(
            **{name: getattr(told, name) for name in told.__struct_fields__ if name != "group"},
            group=Group(route="r", labels={}, reason="first", alerts=events),  # type: ignore[arg-type]
        )
    return Actions(PERMITS, "https://tocsin.example.com/", valid_ms).of(told)


def test_links_are_for_what_can_be_done_and_the_same_for_a_repeat() -> None:
    firing, taken = firing_event(3), firing_event(4, type="acknowledged", status="acknowledged")
    assert [link.label for link in links(firing)] == ["Acknowledge", "Silence"]
    assert [link.label for link in links(taken)] == ["Silence"]
    assert links(resolved_event()) == links(firing, test=True) == links(firing, valid_ms=0) == ()
    assert links(firing) == links(firing)
    (acknowledge, silence) = links(firing)
    assert acknowledge.url.startswith("https://tocsin.example.com/act/")
    permits = [PERMITS.permit(link.url.rpartition("/")[2], NOW_MS) for link in (acknowledge, silence)]
    assert [(permit.act, permit.channel_id, permit.until_ms) for permit in permits] == [
        ("acknowledge", "chat", NOW_MS + 1_000),
        ("silence", "chat", NOW_MS + 1_000),
    ]
    assert [subject.sequence for subject in permits[0].subjects] == [3]


def test_what_has_more_labels_than_a_silence_takes_is_not_silenced_by_a_link() -> None:
    labels = {f"label_{number}": "x" for number in range(40)}
    assert [link.label for link in links(firing_event(1, labels=labels))] == ["Acknowledge"]


def test_a_group_is_acknowledged_as_a_whole_unless_it_is_large() -> None:
    many = [firing_event(1, f"9f2c{number:012x}") for number in range(21)]
    (link,) = links(*many[:20], resolved_event(), group=True)
    assert link.label == "Acknowledge all 20"
    assert len(link.url) < 1_800
    assert links(*many, group=True) == ()


def test_a_link_that_a_receiver_reflects_is_not_kept() -> None:
    (link, _) = links(firing_event())
    shown = redacted(f'you sent "{link.url}"', ChannelSettings())
    assert shown == 'you sent "https://tocsin.example.com/act/********"'
    assert not re.search(r"/act/[A-Za-z0-9]", shown)
