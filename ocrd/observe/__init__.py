"""What people and machines see of a running daemon: log, journal, systemd, metrics, notices."""
