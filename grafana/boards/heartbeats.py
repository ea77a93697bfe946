"""Which services are alive, and how scheduled tasks run."""

from parts import (GREY, ORANGE, OUTCOMES, bad_over, column, dashboard, judged, merged, panel, q, sorted_by,
                   states, table, timeline, variable, widths)
from queries import AGE, GONE, INTERVAL, RANGE, SENDER, of_job, quantile, rate

NAME = "{{service}} {{service_instance}}"
# Events every ten seconds look like a saw in a window of twenty seconds.
SLOW = {"interval": "1m"}


def alive():
    seen = f"{AGE} <= bool on ({SENDER}) 3 * {INTERVAL}"
    return [
        timeline("Alive", "Each instance is alive if its last heartbeat is younger than three intervals, and gone when "
                 "the edge has forgotten it.",
                 [q(f"{seen} or on ({SENDER}) (0 * {INTERVAL} - 1) or on ({SENDER}) (0 * {GONE} - 2)", NAME)], 12, 9,
                 {"1": "alive", "0": "late", "-1": ("never seen", ORANGE), "-2": ("gone", GREY)}),
        panel("bargauge", "Age of the last heartbeat, in intervals", "Over three intervals the alert is pending.",
              "short", [q(f"{AGE} / on ({SENDER}) {INTERVAL}", NAME)], 6, 9, bad_over(3),
              defaults={"min": 0, "max": 4}, options={"orientation": "horizontal", "displayMode": "basic"}),
        panel("stat", "Expected interval", "Longest interval between heartbeats that an instance of each service "
              "announces.", "s", [q(f"max by (service) ({INTERVAL})", "{{service}}")], 6, 9),
    ]


def schedule():
    task = "job, instance, task"
    by, runs = f"max by ({task})", of_job("mesh_task_runs_total", 'outcome="error"')
    interval, done = of_job("mesh_task_interval_seconds"), of_job("mesh_task_last_success_timestamp_seconds") + " > 0"
    due = f"{of_job('mesh_task_next_run_timestamp_seconds')} and on ({task}) {of_job('mesh_task_enabled')} == 1"
    stopped = f"{by} ({of_job('mesh_task_enabled')}) - 1 < 0"
    columns = {"job": "Service", "instance": "Instance", "task": "Task", "Value #A": "Every", "Value #B": "Next in",
               "Value #C": "Success ago", "Value #D": "Intervals", "Value #E": "Errors"}
    return panel(
        "table", "Tasks", "Schedule and results of each task, with the errors of the last ten minutes; red marks a "
        "last success five of its intervals ago and three errors, both of which fire an alert if they last.", "s",
        [table(f"{by} ({interval})", "A"), table(f"clamp_min({by} ({due}) - time(), 0) or {stopped}", "B"),
         table(f"time() - {by} ({done})", "C"),
         table(f"(time() - {by} ({done})) / on ({task}) {by} ({interval})", "D"),
         table(f"sum by ({task}) (increase({runs}[10m]))", "E")], 24, 7,
        overrides=[column("Next in", ("mappings", states({"-1": "stopped"}))),
                   judged("Intervals", "short", bad_over(5)),
                   judged("Errors", "short", bad_over(2.5)),
                   *widths("Instance", 128, Service=93, Task=128, Every=66, Next_in=78, Success_ago=95, Intervals=78,
                           Errors=58)],
        transformations=merged(columns), options=sorted_by("Service"))


def tasks():
    def slowest(family):
        return [q(quantile(0.95, of_job(family + "_bucket"), "job, task, le", RANGE), "{{job}} {{task}}")]

    runs = of_job("mesh_task_runs_total")
    return [
        schedule(),
        panel("timeseries", "Heartbeats received", "Heartbeats per minute, by service.", "cpm",
              [q("60 * " + rate("mesh_heartbeats_received_total", "service"), "{{service}}")], **SLOW),
        panel("timeseries", "Task runs by outcome", "Runs of scheduled tasks per minute, by outcome.", "cpm",
              [q(f"60 * {rate(runs, 'job, task, outcome')} > 0", "{{job}} {{task}} {{outcome}}")], colours=OUTCOMES,
              none="no runs", **SLOW),
        panel("timeseries", "Task duration p95", "95 % of the runs in the time range are faster than this.", "s",
              slowest("mesh_task_duration_seconds"), none="no runs"),
        panel("timeseries", "Start delay p95", "95 % of the runs in the time range start within this time after their "
              "scheduled time.", "s", slowest("mesh_task_start_delay_seconds"), none="no runs"),
    ]


def board():
    jobs = variable("job", "label_values(mesh_task_interval_seconds, job)", "Service")
    return dashboard("mesh-heartbeats", "Mesh heartbeats and tasks", "Which services are alive, and how tasks run.",
                     [*alive(), *tasks()], [jobs])
