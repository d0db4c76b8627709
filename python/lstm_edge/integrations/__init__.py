"""EdgeMonitor as a callback of training frameworks."""
