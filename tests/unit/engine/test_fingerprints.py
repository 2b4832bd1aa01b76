"""Many fingerprints at once are those that each has by itself."""

from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.evaluate.fingerprints import fingerprints
from tocsin.schemas.labels import alert_fingerprint, alert_text

_LABELS = st.dictionaries(st.text(min_size=1, max_size=20) | st.just("alertname"), st.text(max_size=30), max_size=5)


@given(st.lists(st.tuples(st.text(max_size=10), _LABELS), max_size=30))
def test_many_are_hashed_as_one_is(alerts: list[tuple[str, dict[str, str]]]) -> None:
    expected = [alert_fingerprint(rule_id, labels) for rule_id, labels in alerts]

    assert fingerprints([alert_text(rule_id, labels) for rule_id, labels in alerts]) == expected


def test_more_than_fit_at_once_keep_their_order() -> None:
    alerts = [(f"rule-{number % 7}", {"host": "h" * (number % 90), "n": str(number)}) for number in range(2_000)]

    expected = [alert_fingerprint(*alert) for alert in alerts]

    assert fingerprints([alert_text(*alert) for alert in alerts]) == expected
