"""From a notification to what is sent: the message in words, with what can be done about it, and its chart."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tocsin.context import Context
from tocsin.deliver.actions import Actions
from tocsin.deliver.message import compose
from tocsin.deliver.pictures import Pictures
from tocsin.deliver.protocol import Outgoing
from tocsin.schemas.notification import Notification, Remembered


@dataclass(frozen=True, slots=True)
class Composer:
    """`base_url` is where the dashboard is; without `pictures` no message has a chart, without `actions` no link that
    does something."""

    base_url: str
    pictures: Pictures | None = None
    actions: Actions | None = None

    def outgoing(self, notification: Notification, template: str = "", earlier: Remembered | None = None) -> Outgoing:
        """The notification as it is sent; `earlier` is what the channel said about the same before."""
        actions = self.actions.of(notification) if self.actions else ()
        message = compose(notification, self.base_url, template, actions)
        return Outgoing(notification, message, earlier=(earlier.reference or None) if earlier else None)

    async def illustrated(self, outgoing: Outgoing) -> Outgoing:
        """The same with a chart, where there is one to be had soon."""
        if self.pictures is None:
            return outgoing
        chart = await self.pictures.of(outgoing.notification)
        return replace(outgoing, message=replace(outgoing.message, chart=chart))


def base_url(context: Context) -> str:
    """Where links in messages lead."""
    settings = context.settings
    if settings.delivery.public_url:
        return settings.delivery.public_url
    host = f"[{settings.api.host}]" if ":" in settings.api.host else settings.api.host
    return f"http://{host}:{settings.api.port}"
