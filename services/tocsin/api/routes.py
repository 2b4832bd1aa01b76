"""Every route, once: what answers it, and what the OpenAPI document says about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel

from tocsin.api import (
    acting,
    acts,
    alerts,
    auditing,
    backtests,
    baselines,
    channels,
    deadletters,
    escalations,
    events,
    feedback,
    health,
    incidents,
    oncall,
    overview,
    previews,
    routing,
    rules,
    shadows,
    silences,
    suggestions,
    windows,
)
from tocsin.api.calendars import TYPE as CALENDAR
from tocsin.schemas.channel import Channel
from tocsin.schemas.escalation import KINDS
from tocsin.schemas.oncall import Schedule
from tocsin.schemas.route import Routing
from tocsin.schemas.rule import Rule

PREFIX = "/api/v1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PAGE = ("limit", "cursor")
_ALERT = ("severity", "status", "rule_id", "category", "q", "label.NAME", *_PAGE)
_DELIVERY = ("channel_id", "channel_type", "outcome", "rule_id", "fingerprint", "notification_id", *_PAGE)


@dataclass(frozen=True, slots=True)
class Route:
    """A method on a path below /api/v1. `answers` is the schema in the document, or a media type that is not JSON;
    one that only `reads`, with whatever method, goes on no record."""

    method: str
    path: str
    handler: Handler
    tag: str
    answers: str
    status: int = 200
    query: tuple[str, ...] = ()
    body: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    reads: bool = False

    @property
    def pattern(self) -> str:
        """The path as the router takes it: of itself it stops at a brace, and a series has two."""
        return PREFIX + self.path.replace("{series}", "{series:.+}")

    @property
    def summary(self) -> str:
        """The handler's docstring."""
        return " ".join((self.handler.__doc__ or "").split())


def _resource(resource: escalations.Resource, answers: str) -> tuple[Route, ...]:
    """The routes of people, schedules or policies."""
    path, tag, model = f"/{resource.kind}", "escalations", KINDS[resource.kind]
    return (
        Route("GET", path, resource.list_, tag, f"{answers}List", query=_PAGE),
        Route("POST", path, resource.create, tag, answers, 201, body=model, errors=(409, 422, 503)),
        Route("GET", f"{path}/{{id}}", resource.get, tag, answers, errors=(404,)),
        Route("PUT", f"{path}/{{id}}", resource.replace, tag, answers, body=model, errors=(412, 422, 503)),
        Route("PATCH", f"{path}/{{id}}", resource.patch, tag, answers, body=model, errors=(404, 412, 422, 503)),
        Route("DELETE", f"{path}/{{id}}", resource.delete, tag, "", 204, errors=(404, 409, 412, 503)),
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/alerts/active", alerts.active, "alerts", "AlertList", query=_ALERT),
    Route(
        "GET", "/alerts/history", alerts.history, "alerts", "AlertList",
        query=(*_ALERT, "type", "fingerprint", "learns", "from", "to", "sort"),
    ),
    Route(
        "POST", "/alerts/trigger", acting.trigger, "alerts", "Alert", 201, body=acts.TriggerBody, errors=(404, 422, 503)
    ),
    Route("GET", "/alerts/{fingerprint}", alerts.one, "alerts", "AlertDetail", errors=(404,)),
    Route(
        "POST", "/alerts/{fingerprint}/acknowledge", acting.acknowledge, "alerts", "Alert",
        body=acts.Acknowledging, errors=(404, 409, 422, 503),
    ),
    Route(
        "POST", "/alerts/{fingerprint}/snooze", acting.snooze, "alerts", "Alert",
        body=acts.Snoozing, errors=(404, 409, 422, 503),
    ),
    Route(
        "POST", "/alerts/{fingerprint}/unacknowledge", acting.unacknowledge, "alerts", "Alert",
        body=acts.Said, errors=(404, 409, 422, 503),
    ),
    Route(
        "POST", "/alerts/{fingerprint}/resolve", acting.resolve, "alerts", "Alert",
        body=acts.Said, errors=(404, 409, 422, 503),
    ),
    Route(
        "POST", "/alerts/{fingerprint}/feedback", feedback.give, "alerts", "Feedback",
        body=acts.Judging, errors=(404, 409, 422, 503),
    ),
    Route(
        "GET", "/feedback", feedback.list_, "alerts", "FeedbackList", query=("fingerprint", "rule_id", "from", *_PAGE)
    ),
    Route(
        "GET", "/rules", rules.list_, "rules", "RuleList",
        query=("id", "severity", "category", "metric_type", "enabled", "q", *_PAGE), errors=(404,),
    ),
    Route("POST", "/rules", rules.create, "rules", "Rule", 201, body=Rule, errors=(409, 422, 503)),
    Route("PUT", "/rules", rules.replace, "rules", "Rule", query=("id",), body=Rule, errors=(412, 422, 503)),
    Route(
        "DELETE", "/rules", rules.delete, "rules", "", 204,
        query=("id",), body=rules.RuleName, errors=(404, 409, 412, 422, 503),
    ),
    Route("POST", "/rules/validate", rules.validate, "rules", "Validation", body=Rule, reads=True),
    Route(
        "POST", "/rules/backtest", backtests.backtest, "rules", "Backtest",
        body=backtests.BacktestBody, errors=(413, 422, 429, 503), reads=True,
    ),
    Route("GET", "/rules/{id}", rules.get, "rules", "Rule", errors=(404,)),
    Route("PUT", "/rules/{id}", rules.replace, "rules", "Rule", body=Rule, errors=(412, 422, 503)),
    Route("PATCH", "/rules/{id}", rules.patch, "rules", "Rule", body=Rule, errors=(404, 412, 422, 503)),
    Route("DELETE", "/rules/{id}", rules.delete, "rules", "", 204, errors=(404, 409, 412, 503)),
    Route("GET", "/rules/{id}/shadow", shadows.report, "shadows", "ShadowReport", errors=(404,)),
    Route(
        "PUT", "/rules/{id}/shadow", shadows.start, "shadows", "Shadow", body=shadows.ShadowBody, errors=(412, 422, 503)
    ),
    Route("DELETE", "/rules/{id}/shadow", shadows.stop, "shadows", "", 204, errors=(404, 412, 503)),
    Route("POST", "/rules/{id}/shadow/promote", shadows.promote, "shadows", "Rule", errors=(404, 409, 412, 503)),
    Route(
        "GET", "/baselines/{series}", baselines.show, "rules", "Baseline",
        query=("rule", "since", "topic"), errors=(404, 422, 429, 503),
    ),
    Route(
        "GET", "/rules/{id}/suggestions", suggestions.show, "rules", "Suggestions",
        query=("since", "topic"), errors=(404, 409, 422, 429, 503),
    ),
    Route("GET", "/shadows", shadows.list_, "shadows", "ShadowList", query=_PAGE),
    Route("GET", "/channels", channels.list_, "channels", "ChannelList", query=_PAGE),
    Route("POST", "/channels", channels.create, "channels", "Channel", 201, body=Channel, errors=(409, 422, 503)),
    Route(
        "POST", "/channels/test", channels.test, "channels", "ChannelTest",
        body=channels.TestBody, errors=(404, 409, 422, 503, 504),
    ),
    Route(
        "POST", "/channels/preview", previews.show, "channels", "Preview",
        body=previews.PreviewBody, errors=(404, 409, 422), reads=True,
    ),
    Route("GET", "/channels/{id}", channels.get, "channels", "Channel", errors=(404,)),
    Route("PUT", "/channels/{id}", channels.replace, "channels", "Channel", body=Channel, errors=(412, 422, 503)),
    Route(
        "PATCH", "/channels/{id}", channels.patch, "channels", "Channel",
        body=Channel, errors=(404, 409, 412, 422, 503),
    ),
    Route(
        "DELETE", "/channels/{id}", channels.delete, "channels", "", 204,
        query=("force",), errors=(404, 409, 412, 503),
    ),
    Route("GET", "/routes", routing.get, "routing", "Routing", errors=(404,)),
    Route("PUT", "/routes", routing.replace, "routing", "Routing", body=Routing, errors=(412, 422, 503)),
    Route("PATCH", "/routes", routing.patch, "routing", "Routing", body=Routing, errors=(404, 412, 422, 503)),
    Route("DELETE", "/routes", routing.delete, "routing", "", 204, errors=(404, 412, 503)),
    Route(
        "POST", "/routes/test", routing.test, "routing", "RouteTest",
        body=routing.RouteTestBody, errors=(404, 409, 422), reads=True,
    ),
    Route(
        "GET", "/incidents", incidents.list_, "alerts", "IncidentList",
        query=("status", "severity", "correlation", *_PAGE),
    ),
    Route("GET", "/incidents/{id}", incidents.get, "alerts", "Incident", errors=(404,)),
    Route("GET", "/silences", silences.list_, "routing", "SilenceList", query=("state", *_PAGE)),
    Route(
        "POST", "/silences", silences.create, "routing", "Silence", 201,
        body=silences.SilenceBody, errors=(409, 422, 503),
    ),
    Route(
        "POST", "/silences/preview", silences.preview, "routing", "SilencePreview",
        body=silences.SilenceBody, errors=(422,), reads=True,
    ),
    Route("GET", "/silences/calendar", windows.list_, "routing", "SilenceCalendar", query=("from", "to")),
    Route("GET", "/silences/calendar.ics", windows.file, "routing", CALENDAR, query=("from", "to")),
    Route("GET", "/silences/{id}", silences.get, "routing", "Silence", errors=(404, 409)),
    Route(
        "PUT", "/silences/{id}", silences.replace, "routing", "Silence",
        body=silences.SilenceBody, errors=(409, 412, 422, 503),
    ),
    Route("DELETE", "/silences/{id}", silences.delete, "routing", "", 204, errors=(404, 503)),
    *_resource(escalations.PEOPLE, "Person"),
    Route(
        "GET", "/people/{id}/calendar.ics", oncall.person_calendar, "escalations", CALENDAR,
        query=("from", "to"), errors=(404,),
    ),
    *_resource(escalations.SCHEDULES, "Schedule"),
    Route(
        "POST", "/schedules/preview", oncall.preview, "escalations", "SchedulePreview",
        query=("from", "to"), body=Schedule, errors=(422,), reads=True,
    ),
    Route(
        "GET", "/schedules/{id}/shifts", oncall.shifts, "escalations", "SchedulePreview",
        query=("from", "to"), errors=(404, 409),
    ),
    Route(
        "GET", "/schedules/{id}/calendar.ics", oncall.schedule_calendar, "escalations", CALENDAR,
        query=("from", "to", "person"), errors=(404, 409),
    ),
    Route(
        "POST", "/schedules/{id}/overrides", oncall.add_override, "escalations", "Schedule", 201,
        body=oncall.OverrideBody, errors=(404, 409, 412, 422, 503),
    ),
    Route(
        "DELETE", "/schedules/{id}/overrides/{override}", oncall.remove_override, "escalations", "", 204,
        errors=(404, 409, 412, 503),
    ),
    Route(
        "GET", "/oncall", oncall.on_call, "escalations", "OnCallList",
        query=("at", "schedule", *_PAGE), errors=(404,),
    ),
    *_resource(escalations.POLICIES, "EscalationPolicy"),
    Route("GET", "/statistics", overview.figures, "overview", "Statistics", query=("from", "to", "bucket")),
    Route("GET", "/configuration", overview.configuration, "overview", "Configuration"),
    Route(
        "GET", "/audit", auditing.list_, "overview", "AuditEntryList", query=("actor", "action", "from", "to", *_PAGE)
    ),
    Route(
        "GET", "/events", events.stream, "alerts", events.TYPE, query=("severity", "type", "rule_id"), errors=(503,)
    ),
    Route("GET", "/audit/verify", auditing.verify, "overview", "AuditVerdict", errors=(503,)),
    Route("GET", "/deliveries", deadletters.deliveries, "deliveries", "DeliveryList", query=_DELIVERY),
    Route("GET", "/dlq", deadletters.dead_letters, "deliveries", "DeadLetterList", query=("reason", *_PAGE)),
    Route(
        "POST", "/dlq/redrive", deadletters.redrive, "deliveries", "Redriven",
        body=deadletters.RedriveBody, errors=(404, 409, 410, 422, 503),
    ),
)  # fmt: skip

READING = frozenset(route.handler for route in ROUTES if route.reads)
OPEN: tuple[tuple[str, Handler], ...] = (
    ("/healthz", health.healthz),
    ("/readyz", health.readyz),
    ("/metrics", health.metrics),
)
