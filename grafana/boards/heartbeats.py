"""Who is alive, and what runs on a schedule."""

from parts import OUTCOMES, bad_over, bad_under, column, dashboard, merged, panel, q, sized, sorted_by, table, variable
from queries import RANGE, of_job, rate

AGE = "time() - max by (service) (mesh_heartbeat_last_seen_timestamp_seconds)"
INTERVAL = "max by (service) (mesh_heartbeat_expected_interval_seconds)"
# Things that happen every ten seconds make a saw of a window of twenty.
SLOW = {"interval": "1m"}


def alive():
    words = {"1": {"text": "alive", "index": 0}, "0": {"text": "late", "index": 1}}
    options = {"showValue": "auto", "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
               "mergeValues": True, "rowHeight": 0.8, "tooltip": {"mode": "single"}}
    return [
        panel("state-timeline", "Alive", "Alive where the last heartbeat is younger than three intervals.", "none",
              [q(f"({AGE}) < bool on (service) 3 * {INTERVAL}", "{{service}}")], 12, 7, bad_under(1), options=options,
              defaults={"custom": {"fillOpacity": 80}, "mappings": [{"type": "value", "options": words}]}),
        panel("bargauge", "Age of the last heartbeat, in intervals", "Over three intervals the alert goes pending.",
              "short", [q(f"({AGE}) / on (service) {INTERVAL}", "{{service}}")], 6, 7, bad_over(3),
              defaults={"min": 0, "max": 4}, options={"orientation": "horizontal", "displayMode": "basic"}),
        panel("stat", "Expected every", "How often each service says that it beats.", "s", [q(INTERVAL, "{{service}}")],
              6, 7),
    ]


def schedule():
    by = "max by (job, instance, task)"
    columns = {"job": "Service", "instance": "Instance", "task": "Task", "Value #D": "Runs", "Value #A": "Interval",
               "Value #B": "Last success", "Value #C": "Next run in"}
    words = {"1": {"text": "yes", "index": 0}, "0": {"text": "stopped", "index": 1}}
    return panel(
        "table", "Tasks", "The schedule: how often, when a run last succeeded, when the next one is due.", "s",
        [table(f"{by} ({of_job('mesh_task_interval_seconds')})", "A"),
         table(f"1000 * {by} ({of_job('mesh_task_last_success_timestamp_seconds')} > 0)", "B"),
         table(f"clamp_min({by} ({of_job('mesh_task_next_run_timestamp_seconds')}) - time(), 0)", "C"),
         table(f"{by} ({of_job('mesh_task_enabled')})", "D")], 24, 7,
        overrides=[sized("Last success", "dateTimeFromNow"),
                   column("Runs", ("unit", "none"), ("mappings", [{"type": "value", "options": words}]))],
        transformations=merged(columns), options=sorted_by("Service"))


def tasks():
    def slowest(family):
        buckets = f"sum by (job, task, le) (increase({of_job(family + '_bucket')}{RANGE}))"
        return [q(f"histogram_quantile(0.95, {buckets})", "{{job}} {{task}}")]

    runs = of_job("mesh_task_runs_total")
    return [
        schedule(),
        panel("timeseries", "Heartbeats received", "Heartbeats a minute, by service.", "cpm",
              [q("60 * " + rate("mesh_heartbeats_received_total", "service"), "{{service}}")], **SLOW),
        panel("timeseries", "Task runs by outcome", "Runs of scheduled tasks, a minute, by how they ended.", "cpm",
              [q(f"60 * {rate(runs, 'job, task, outcome')} > 0", "{{job}} {{task}} {{outcome}}")], colours=OUTCOMES,
              none="no runs", **SLOW),
        panel("timeseries", "Task duration p95", "The slowest 5 % of the runs in the range take this long or longer.",
              "s", slowest("mesh_task_duration_seconds"), none="no runs"),
        panel("timeseries", "Start delay p95", "The latest 5 % of the runs in the range begin this long after they are "
              "due, or longer.", "s", slowest("mesh_task_start_delay_seconds"), none="no runs"),
    ]


def board():
    jobs = variable("job", "label_values(mesh_task_interval_seconds, job)", "Service")
    return dashboard("mesh-heartbeats", "Mesh heartbeats and tasks", "Who is alive, and what runs on a schedule.",
                     [*alive(), *tasks()], [jobs])
