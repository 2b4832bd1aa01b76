"""What tocsin says and hears: metrics, rules, signals, alerts, commands, notifications, channels and topics."""
