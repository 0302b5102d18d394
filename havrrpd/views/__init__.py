"""What people and Prometheus see: functions of the state."""
