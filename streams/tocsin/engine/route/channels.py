"""From the names in a rule's `notifications` to channels."""

from collections.abc import Collection, Iterable, Mapping

from tocsin.schemas.channel import Channel


def find_channels(
    names: Iterable[str],
    channels: Mapping[str, Channel],
    types: Collection[str],
    named_by: str = "the rule's notifications",
) -> tuple[dict[str, Channel], dict[str, str]]:
    """The channels to tell, by id, and for each name that leads to none the reason and its mend.

    A name is a channel's id; a channel type means every enabled channel of that type.
    """
    found: dict[str, Channel] = {}
    missing: dict[str, str] = {}
    for name in names:
        named = [channel for channel in channels.values() if name in (channel.id, channel.type)]
        hits = [channel for channel in named if channel.type in types]
        enabled = [channel for channel in hits if channel.enabled]
        found |= {channel.id: channel for channel in enabled}
        if enabled:
            continue
        if named and not hits:
            known = ", ".join(sorted(types))
            missing[name] = f"nothing delivers to channels of type {named[0].type!r}; the types are {known}"
        elif hits:
            missing[name] = f"every channel that {name!r} names is disabled; enable one"
        elif name in types:
            missing[name] = f"there is no channel of type {name!r}; add one"
        else:
            missing[name] = f"there is no channel {name!r}; add it, or correct {named_by}"
    return found, missing
