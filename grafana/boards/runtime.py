"""The processes: CPU, memory, descriptors, Tokio, connections, scrapes, versions."""

from parts import bad_over, dashboard, merged, panel, q, row, states, table, timeline, variable, widths
from queries import of_job, rate

LEGEND = "{{job}} {{instance}}"
BY = "job, instance"
# How many instances share a process, and whether all do, as under `mesh up`.
IN_ONE = 'max(count_values("id", mesh_process_id))'
ALL_IN_ONE = f"{IN_ONE} == count(mesh_process_id) > 1"


def lines(title, description, unit, targets, **more):
    targets = [q(expr, LEGEND + name) for expr, name in targets]
    return panel("timeseries", title, description, unit, targets, 8, 7, **more)


def once(expr):
    """A value of the process or its Tokio runtime: one series, not one for each service, if all are one process."""
    one = f'label_replace(max({expr}) and on () {ALL_IN_ONE}, "job", "the one process of all services", "", "")'
    return f"({expr} unless on () {ALL_IN_ONE}) or {one}"


def process():
    def of_process(name):
        return [(once(of_job(f"process_{name}")), "")]

    return [
        row("Process"),
        panel("stat", "Processes", "How many services share a process; under `mesh up` it is one process with one "
              "Tokio runtime, whose values are shown once.", "suffix:services in one process", [q(IN_ONE)], 24, 3,
              defaults={"mappings": states({"1": "a process for each service"})}),
        timeline("Up", "Whether Prometheus can scrape the instance; an alert fires after a minute of failures.",
                 [q(of_job("up"), LEGEND)], 24, 6, {"1": "up", "0": "down"}),
        lines("CPU", "Cores in use.", "short", [(once(rate(of_job("process_cpu_seconds_total"), BY)), "")],
              interval="1m"),
        lines("Resident memory", "Resident memory of the process.", "bytes",
              of_process("resident_memory_bytes")),
        lines("Virtual memory", "Virtual address space of the process.", "bytes",
              of_process("virtual_memory_bytes")),
        lines("Descriptors in use", "Share of the limit on open files that is used; the line is no alert.",
              "percentunit",
              [(once(f'{of_job("process_open_fds")} / {of_job("process_max_fds")}'), "")], thresholds=bad_over(0.8),
              high=1),
        lines("Threads", "Threads of the operating system.", "short", of_process("threads")),
        panel("stat", "Restarts in an hour", "How often a process restarted.", "none",
              [q(f'sum by (job) (changes({of_job("process_start_time_seconds")}[1h]))', "{{job}}")], 8, 7, bad_over(1)),
    ]


def tokio():
    busy = rate(of_job("tokio_workers_busy_seconds_total"), BY)
    return [
        row("Tokio"),
        lines("Tokio busy share", "Share of the workers' time spent on tasks; the line is no alert.", "percentunit",
              [(once(f"{busy} / sum by ({BY}) ({of_job('tokio_workers')})"), "")], thresholds=bad_over(0.9), high=1),
        lines("Tokio tasks", "Tasks alive, and tasks waiting in the shared queue.", "short",
              [(once(of_job("tokio_alive_tasks")), " alive"), (once(of_job("tokio_global_queue_depth")), " queued")]),
        lines("Tokio parks", "How often per second a worker had no work and parked.", "short",
              [(once(rate(of_job("tokio_worker_parks_total"), BY)), "")]),
    ]


def network():
    opened, closed = (rate(of_job(f"grpc_server_connections_{verb}_total"), BY) for verb in ("opened", "closed"))
    return [
        row("Connections and scrapes"),
        lines("gRPC connections open", "Open connections to the gRPC port.", "short",
              [(of_job("grpc_server_connections"), "")]),
        lines("gRPC connections opened and closed", "Connections opened and closed per second.", "short",
              [(opened, " opened"), (closed, " closed")]),
        lines("Series per target", "Samples on a metrics page.", "short",
              [(of_job("scrape_samples_post_metric_relabeling"), "")]),
        lines("Scrape duration", "Duration of a scrape; the timeout is 4 s.", "s",
              [(of_job("scrape_duration_seconds"), "")]),
        panel("table", "Versions", "Instances by version and revision.", "none",
              [table(f"count by (job, version, revision) ({of_job('mesh_build_info')})", "A")], 16, 7,
              overrides=widths("Revision", 150, Service=100, Version=110, Instances=90),
              transformations=merged({"job": "Service", "version": "Version", "revision": "Revision",
                                      "Value": "Instances"})),
    ]


def to_the_collector():
    def panel_of(title, what, family):
        exported, dropped = (of_job(f"{family}_{verb}_total") for verb in ("exported", "dropped"))
        return panel("timeseries", title, f"{what} per second that the collector accepted, and that were dropped.",
                     "short", [q(rate(exported, BY) + " > 0", f"{LEGEND} exported"),
                               q(rate(dropped, f"{BY}, reason") + " > 0", f"{LEGEND} dropped: {{{{reason}}}}")], 12, 7,
                     none="nothing is exported: tracing is off, or there is no traffic")

    return [row("Spans and log lines"), panel_of("Spans", "Spans", "mesh_spans"),
            panel_of("Log lines", "Log lines", "mesh_log_lines")]


def board():
    jobs = variable("job", "label_values(process_start_time_seconds, job)", "Service")
    return dashboard("mesh-runtime", "Mesh runtime", "The processes: CPU, memory, descriptors, Tokio, scrapes.",
                     [*process(), *tokio(), *network(), *to_the_collector()], [jobs])
