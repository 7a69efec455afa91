"""What belongs to the demonstration (`sekisho demo`): it may be deleted together with its calls."""

DEMONSTRATION_TEAMS = ("demo-a", "demo-b", "demo-infra")
