"""`tocsin routes`: files checked, labels tried, and an Alertmanager file taken over."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from tests.routing.cases import routings
from tests.unit.cli.api_double import ApiDouble

from tocsin.alertmanager_file import imported
from tocsin.alertmanager_parts import NotAlertmanager
from tocsin.cli.app import run
from tocsin.cli.client import Answer
from tocsin.cli.failures import NotFound
from tocsin.cli.routing_files import apply, written
from tocsin.deliver.channels import check_config
from tocsin.documents import read
from tocsin.engine.route.tree import Tree
from tocsin.schemas.matcher import parse_matchers
from tocsin.schemas.route import Routing

ROUTES = """\
route:
  channels: [chat]
  routes:
    - {match: [severity=critical], channels: [pager], continue: true}
    - {match: [team=db], channels: [db], group_by: [host]}
    - {match: [team=db, host=a1], channels: [never]}
"""
ALERTMANAGER = """\
global: {smtp_smarthost: 'mail:587', smtp_from: am@example.test, resolve_timeout: 5m}
templates: [x.tmpl]
route:
  receiver: ops team
  group_by: ['...']
  group_wait: 10s
  routes:
    - {match: {severity: critical}, receiver: pager, continue: true, mute_time_intervals: [night]}
    - {match_re: {service: 'a|b'}, matchers: ['env!="test"', 'host=~"web.*"'], repeat_interval: 1d}
receivers:
  - name: ops team
    webhook_configs: [{url: 'http://hook'}]
    email_configs: [{to: 'a@example.test, b@example.test', auth_password: geheim, html: x}]
  - {name: pager, pushover_configs: [{token: k}]}
inhibit_rules: [{source_match: {a: x}, target_matchers: ['a="y"'], equal: [host]}]
time_intervals: [{name: night, time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}]}]}]
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "am.yml").write_text(ALERTMANAGER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("files")
def test_what_is_doubtful_is_named_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    doubt = "routes.yaml:6:7: route.routes.2: no alert reaches it: route.routes.1 takes all of them; "
    assert run(["routes", "check", "routes.yaml"]) == 0
    said = capsys.readouterr().err
    assert said.startswith(doubt)
    assert said.endswith("4 routes are valid\n")
    assert run(["routes", "check", "--strict", "routes.yaml"]) == 1
    assert capsys.readouterr().err.startswith(doubt)


def test_every_mistake_is_named_with_its_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "bad.yaml").write_text("route:\n  channels: [a]\n  routes:\n    - match: ['=x']\n      group_wiat: 1s\n")
    assert run(["routes", "check", "bad.yaml"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "bad.yaml:4:15: route.routes.0.match.0: '=x' is not a matcher; write service=\"api\" (operators: = != =~ !~)",
        "bad.yaml:5:7: route.routes.0.group_wiat: is not a known field; did you mean 'group_wait'?",
    ]


@pytest.mark.usefixtures("files")
def test_labels_are_tried_on_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["routes", "test", "--file", "routes.yaml", "severity=critical", "team=db", "host=a1"]
    assert run([*asked, "--expect", "db,pager"]) == 0
    shown = capsys.readouterr().out
    assert "route.routes.0" in shown
    assert "route.routes.1" in shown
    assert run([*asked, "--expect", "chat"]) == 1
    assert capsys.readouterr().err == "told are db, pager, expected were chat\n"


def test_an_alertmanager_file_becomes_routes_and_channels(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["routes", "import", "am.yml", "--channels", "channels.yaml"]) == 0
    said = capsys.readouterr()
    (files / "imported.yaml").write_text(said.out)
    routing = Routing.model_validate(read(files / "imported.yaml").value)
    assert routing.route.resolve_at_once is False
    first, second = routing.route.routes
    assert (first.channels, first.continues, first.mute_time_intervals) == (("pager",), True, ("night",))
    assert [str(one) for one in second.match] == ['service=~"a|b"', 'env!="test"', 'host=~"web.*"']
    assert routing.inhibit_rules[0].hold == 0
    assert said.err.splitlines() == [
        "templates: is not taken over",
        "global.resolve_timeout: is not taken over",
        "receiver 'ops team': email_configs.html: is not taken over",
        "receiver 'pager': pushover_configs: is not taken over; add a channel 'pager' in its place",
    ]
    channels = read(files / "channels.yaml").value["channels"]
    assert channels == [
        {"id": "ops-team-1", "type": "webhook", "config": {
            "url": "http://hook", "format": "alertmanager", "send_resolved": True}},
        {"id": "ops-team-2", "type": "email", "config": {
            "smtp_host": "mail", "smtp_port": 587, "password": "geheim", "from_address": "am@example.test",
            "to_addresses": ["a@example.test", "b@example.test"], "send_resolved": False}},
    ]  # fmt: skip
    assert routing.route.channels == ("ops-team-1", "ops-team-2")
    assert stat.S_IMODE((files / "channels.yaml").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "it has no route"),
        ({"route": {"receiver": "x"}, "receivers": []}, "there is no receiver 'x'"),
        ({"route": {"receiver": "x", "matchers": ["=="]}, "receivers": [{"name": "x"}]}, "is not a matcher"),
        ({"route": {"receiver": ["x"]}, "receivers": [{"name": "x"}]}, "route.receiver: there is no receiver"),
        ({"route": {"receiver": "x"}, "receivers": ["x"]}, "receivers.0: must be a mapping"),
        ({"route": {"receiver": "x"}, "receivers": {"name": "x"}}, "receivers: must be a list"),
        ({"route": {}, "receivers": [{"webhook_configs": ["x"]}]}, "receivers.0.webhook_configs.0: must be a mapping"),
        ({"route": {"match": ["a=b"]}}, "route.match: must be a mapping"),
        ({"route": {"matchers": "a=b"}}, "route.matchers: must be a list"),
        ({"route": {"routes": {"a": "b"}}}, "route.routes: must be a list"),
        ({"route": {}, "inhibit_rules": ["x"]}, "inhibit_rules.0: must be a mapping"),
        ({"route": {}, "inhibit_rules": [{"equal": "x"}]}, "inhibit_rules.0.equal: must be a list"),
        ({"route": {}, "global": "x"}, "global: must be a mapping"),
    ],
)
def test_what_is_no_alertmanager_file_is_refused(config: dict[str, Any], text: str) -> None:
    with pytest.raises(NotAlertmanager, match=text):
        imported(config)


@pytest.mark.usefixtures("files")
def test_channels_that_cannot_be_written_are_said_before_any_route(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["routes", "import", "am.yml", "--channels", "none/channels.yaml"]) == 1
    said = "--channels: none/channels.yaml: cannot be written (No such file or directory); choose another path\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("entry", "kind", "config"),
    [
        ({"webhook_configs": {"url": "https://h.example", "max_alerts": 5}}, "webhook",
         {"url": "https://h.example", "format": "alertmanager", "max_alerts": 5}),
        ({"slack_configs": {"channel": "#ops"}}, "slack",
         {"webhook_url": "https://s.example/x", "channel": "#ops", "send_resolved": False}),
        ({"pagerduty_configs": {"routing_key": "k" * 32}}, "pagerduty", {"routing_key": "k" * 32}),
        ({"opsgenie_configs": {"api_key": "a-key", "responders": [{"type": "team", "name": "ops"}]}}, "opsgenie",
         {"api_key": "a-key", "url": "https://o.example", "responders": [{"type": "team", "name": "ops"}]}),
        ({"telegram_configs": {"bot_token": "123456:" + "A" * 30, "chat_id": -5}}, "telegram",
         {"bot_token": "123456:" + "A" * 30, "chat_id": -5}),
        ({"discord_configs": {"webhook_url": "https://d.example/x"}}, "discord", {"webhook_url": "https://d.example/x"}),
        ({"msteamsv2_configs": {"webhook_url": "https://t.example/x", "send_resolved": False}}, "teams",
         {"webhook_url": "https://t.example/x", "send_resolved": False}),
    ],
)  # fmt: skip
def test_receivers_become_channels_that_are_taken(entry: dict[str, Any], kind: str, config: dict[str, Any]) -> None:
    receiver = {"name": "ops", **{name: [one] for name, one in entry.items()}}
    defaults = {"slack_api_url": "https://s.example/x", "opsgenie_api_url": "https://o.example/"}
    found = imported({"global": defaults, "route": {"receiver": "ops"}, "receivers": [receiver]})
    assert found.channels == [{"id": "ops", "type": kind, "config": {"send_resolved": True, **config}}]
    assert found.remarks == []
    check_config(kind, found.channels[0]["config"])


def test_sections_without_content_are_as_if_they_were_not_there() -> None:
    empty = dict.fromkeys(("global", "receivers", "time_intervals", "mute_time_intervals", "inhibit_rules"))
    assert imported({"route": {"routes": None}, **empty}).routing == {"route": {"resolve_at_once": False}}
    mail = {"name": "ops", "email_configs": [{"to": None}]}
    (channel,) = imported({"route": {}, "receivers": [mail]}).channels
    assert channel["config"] == {"send_resolved": False}


def test_receivers_whose_names_become_alike_stay_two_channels() -> None:
    hooks = [{"name": name, "webhook_configs": [{"url": f"http://{n}"}]} for n, name in enumerate(("a b", "a-b"))]
    found = imported({"route": {"receiver": "a b", "routes": [{"receiver": "a-b"}]}, "receivers": hooks})
    assert [channel["id"] for channel in found.channels] == ["a-b", "a-b-2"]
    assert found.routing["route"]["routes"] == [{"channels": ["a-b-2"]}]


def _as_alertmanager(node: dict[str, Any], receivers: dict[str, list[str]]) -> dict[str, Any]:
    """A route in Alertmanager's words; exact matchers in the old form."""
    made = {name: value for name, value in node.items() if name not in ("match", "channels", "routes")}
    made.pop("resolve_at_once", None)
    parsed = [one for text in node.get("match", ()) for one in parse_matchers(text)]
    old = {one.name: one.value for one in parsed if one.op == "="}
    if old:
        made["match"] = old
    made["matchers"] = [str(one) for one in parsed if one.op != "=" or old[one.name] != one.value]
    if "channels" in node:
        made["receiver"] = "-".join(node["channels"])
        receivers[made["receiver"]] = node["channels"]
    made["routes"] = [_as_alertmanager(child, receivers) for child in node.get("routes", ())]
    return made


@settings(max_examples=100, deadline=None)
@given(routings)
def test_an_imported_tree_is_the_tree_it_was(given_: dict[str, Any]) -> None:
    receivers: dict[str, list[str]] = {}
    route = _as_alertmanager(given_["route"], receivers)
    config = {
        "route": route,
        "receivers": [{"name": name} for name in receivers],
        "time_intervals": given_["time_intervals"],
    }
    made = Tree(Routing.model_validate(imported(config).routing))
    wanted = Tree(Routing.model_validate(given_))
    nodes = list(zip(made.root.walk(), wanted.root.walk(), strict=True))
    assert [set(map(str, one.match)) for one, _ in nodes] == [set(map(str, two.match)) for _, two in nodes]
    for one, two in nodes:
        assert one.continues == two.continues
        for name in ("group_by", "wait_ms", "interval_ms", "repeat_ms", "mute", "active"):
            assert getattr(one.options, name) == getattr(two.options, name)
        assert "-".join(one.options.channels) == "-".join(two.options.channels)


class Api(ApiDouble):
    """Routes in force, and what was written over them."""

    def __init__(self, stored: dict[str, Any] | None) -> None:
        super().__init__()
        self.stored = stored

    @property
    def sent(self) -> list[tuple[str, Any, Any]]:
        return [(one.method, one.body, one.headers) for one in self.written]

    def answer(self, method: str, path: str, body: Any) -> Answer:
        if method == "GET" and self.stored is None:
            raise NotFound("there are no routes")
        warnings = [{"field": "route.channels.0", "message": "there is no channel 'chat'; add it"}]
        return Answer(200, {**(body or self.stored or {}), "revision": 7, "warnings": warnings}, '"7"')


PLAIN: dict[str, Any] = {"route": {"channels": ["chat"]}}
JOINED = {**PLAIN, "correlations": [{"name": "web", "by": ["cluster"], "channels": ["chat"]}]}


@pytest.mark.parametrize(("before", "after"), [(JOINED, PLAIN), (PLAIN, JOINED), (None, PLAIN)])
async def test_routes_are_written_once_whatever_part_of_them_differs(
    before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    api, wanted = Api(before), Routing.model_validate(after)
    doubt = "route.channels.0: there is no channel 'chat'; add it"
    assert await apply(api, wanted, [], dry_run=False) == [doubt, f"routes {'replaced' if before else 'created'}"]
    assert api.sent == [("PUT", written(wanted), {"If-Match": '"7"'} if before else {"If-None-Match": "*"})]
    same = Api({**Routing.model_validate(after).document(), "revision": 7, "updated_at": "", "warnings": []})
    assert await apply(same, wanted, [], dry_run=False) == ["unchanged"]
    assert same.sent == []
