"""What strangers may try by labels, templates, settings and answers, and that nothing comes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError
from tests.unit.deliver.test_settings import FURTHER, SEED

from tocsin.deliver.channels import CHANNELS, check_config
from tocsin.deliver.composer import Composer
from tocsin.deliver.templates import TemplateError, check_template, render_template, template_values
from tocsin.schemas.alert import AlertEvent
from tocsin.testing.alerts import Addressee, firing_event
from tocsin.testing.delivering import BASE_URL, delivering
from tocsin.testing.receivers import MailReceiver, WebReceiver

ALL: Mapping[str, dict[str, Any]] = {**SEED, **FURTHER}
HOSTILE = (
    '{{ "a" * 1000000000 }}',
    "{% for i in range(100000000) %}{{ i }}{% endfor %}",
    "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
    "{% set x = 'a' %}{% for i in range(99) %}{% set x = x ~ x %}{% endfor %}{{ x }}",
    "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.getcwd() }}",
    "{{ lipsum(n=1000000) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ range(1000000000) | list | length }}",
    "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
    "{{ [1,2,3] | map('string') | join('a' * 100000000) }}",
    "{% set s = [1] %}" + "{% set s = [s, s] %}" * 22 + "{{ s }}",
    "{% set s = alerts %}" + "{% set s = s + s %}" * 25 + "{{ s }}",
    "{% for i in labels.copy().fromkeys(range(99999)) %}{{ i }}{% endfor %}",
)


@pytest.mark.parametrize("template", HOSTILE)
def test_a_hostile_template_is_refused_or_harmless(template: str) -> None:
    values = template_values(Addressee("ops", "email").notification(firing_event()), "t", "https://example.com")
    with suppress(TemplateError):
        check_template(template)
    with suppress(TemplateError):
        assert len(render_template(template, values)) <= 16_384
    with suppress(ValidationError):
        check_config("slack", {**ALL["slack"], "template": template})


@pytest.mark.parametrize("kind", CHANNELS)
def test_what_data_says_is_never_read_as_a_template(kind: str) -> None:
    code = "{{ 191 * 7 }}{% for i in range(9) %}${file:/etc/hostname}{% endfor %}"
    shown = _previewed(kind, firing_event(labels={"service": code}, rule_name=code, annotations={"summary": code}))
    assert "1337" not in shown
    shown = _previewed(kind, firing_event(labels={"service": code}), template="{{ labels.service }}")
    assert "1337" not in shown


def test_settings_read_no_file_and_no_variable_of_the_machine() -> None:
    settings = check_config("email", {**SEED["email"], "subject": "${HOME} ${file:/etc/passwd}"})
    assert settings.model_dump()["subject"] == "${HOME} ${file:/etc/passwd}"


def test_a_mail_loads_nothing_runs_nothing_and_says_the_same_in_both_parts() -> None:
    tracking = '<img src="https://evil.example/p.png"><script>x()</script><style>*{display:none}</style>'
    event = firing_event(labels={"service": tracking}, rule_name=tracking, annotations={"summary": tracking})
    sent = _sent("email", event)
    page = Page()
    page.feed(sent["html"])
    assert page.tags.isdisjoint({"script", "img", "iframe", "object", "embed", "link", "form", "base"})
    assert page.loaded == []
    assert all(part.count(tracking) >= 3 for part in (sent["text"], page.text))


class Page(HTMLParser):
    """The tags of a page, what it would load, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [f"{name}={value}" for name, value in attributes if name in ("src", "background", "srcset")]
        self.loaded += [f"{value}" for name, value in attributes if name == "style" and "url(" in (value or "")]

    def handle_data(self, data: str) -> None:
        self.text += data


def _sent(kind: str, event: AlertEvent, **config: Any) -> Mapping[str, Any]:
    settings = check_config(kind, {**ALL[kind], **config})
    outgoing = Composer(BASE_URL).outgoing(Addressee("ops", kind).notification(event), settings.template)
    return CHANNELS[kind].preview(settings, outgoing)


def _previewed(kind: str, event: AlertEvent, **config: Any) -> str:
    return str(_sent(kind, event, **config))


@pytest.mark.parametrize("end", ["\n.\n", "\r\n.\r\n", "\r.\r", "\n.\r\n", "\u2028.\u2028", "\x0b.\x0b", "\x85.\x85"])
async def test_a_label_ends_no_mail_and_begins_none(end: str) -> None:
    smuggled = f"a{end}MAIL FROM:<evil@example.com>{end}RCPT TO:<victim@example.com>{end}DATA"
    async with (
        MailReceiver().listening() as mail,
        delivering({"ops": ("email", _mail_settings(mail))}) as deliverer,
    ):
        event = firing_event(labels={"service": smuggled}, annotations={"summary": smuggled}, rule_name=smuggled)
        await deliverer.tell(Addressee("ops", "email").notification(event))
        written = await deliverer.settled()
    assert written.outcomes("ops") == ["delivered"]
    assert len(mail.contents) == 1
    assert mail.recipients == [["ops@example.com"]]
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", mail.contents[0]), "only CRLF"
    assert mail.mails[0]["To"] == "ops@example.com"


def _mail_settings(mail: MailReceiver) -> dict[str, Any]:
    return {
        "smtp_host": "127.0.0.1",
        "smtp_port": mail.port,
        "start_tls": False,
        "from_address": "alerts@example.com",
        "to_addresses": ["ops@example.com"],
    }


@pytest.mark.parametrize("status", [200, 400])
async def test_what_a_receiver_answers_moves_no_cursor_and_forges_no_line(status: int) -> None:
    text = "\x1b[31mred\x1b]0;title\x07\r\nforged: line\u2028\u202etxt\x00" + "x" * 100_000
    answers = [web.Response(status=status, text=text)]
    async with (
        WebReceiver(answers=answers).listening() as hook,
        delivering({"ops": ("webhook", {"url": hook.url})}) as deliverer,
    ):
        await deliverer.tell(Addressee("ops", "webhook").notification(firing_event()))
        (done,) = (await deliverer.settled()).deliveries
    kept = done.receipt + done.detail
    assert "forged: line" in kept
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u202e]", kept)
    assert len(kept) < 300


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("webhook", {"headers": {"X-A": "b\r\nHost: evil"}}, "headers"),
        ("webhook", {"headers": {"X-A\r\nX-B": "c"}}, "headers"),
        ("webhook", {"headers": {"Host": "evil"}}, "headers"),
        ("webhook", {"headers": {"webhook-signature": "v1,forged"}}, "headers"),
        ("webhook", {"url": "https://example.com/\r\nX: y"}, "url"),
        ("webhook", {"url": "https://user:password@example.com/"}, "url"),
        ("webhook", {"url": "file:///etc/passwd"}, "url"),
        ("webhook", {"url": "gopher://127.0.0.1:25/x"}, "url"),
        ("email", {"to_addresses": ["a@example.com\r\nBcc: b@example.com"]}, "to_addresses"),
        ("email", {"from_address": "a@example.com, b@example.com"}, "from_address"),
        ("email", {"smtp_host": "smtp.example.com\r\nQUIT"}, "smtp_host"),
        ("ntfy", {"topic": "../admin"}, "topic"),
        ("kafka", {"topic": "a/../b"}, "topic"),
        ("file", {"name": "../../etc/cron.d/x"}, "name"),
        ("telegram", {"chat_id": "1&text=x"}, "chat_id"),
        ("slack", {"mentions": ["<!channel>"]}, "mentions"),
        ("apprise", {"url": "syslog://"}, "url"),
        ("apprise", {"url": "json://host/?verify=no"}, "url"),
    ],
)
def test_settings_inject_nothing(kind: str, config: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_config(kind, {**ALL[kind], **config})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}
