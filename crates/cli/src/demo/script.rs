//! The steps of the tour. The alert is the real one, with its windows and its `for` of one minute.

use std::time::Duration;

use super::load::LoadProfile;
use super::tour::{Check, Step, Unit};

const LIGHT: LoadProfile = LoadProfile {
    calls_per_second: 5,
    faults_in_ten: 0,
};
const FAULTY: LoadProfile = LoadProfile {
    faults_in_ten: 3,
    ..LIGHT
};
/// The windows of the alert keep the faults for half an hour: successful calls outnumber them.
const RECOVERY: LoadProfile = LoadProfile {
    calls_per_second: 100,
    ..LIGHT
};

pub(super) const STEPS: [Step; 5] = [
    Step {
        title: "Light load: GET /proxy/Ana, 5 a second",
        profile: LIGHT,
        panels: &[
            ("Mesh overview", "Calls by service"),
            ("Mesh overview", "Topology"),
        ],
        checks: &[
            Check {
                expression: "min(up)",
                expected: 1.0..=1.0,
                meaning: "every service is up",
                unit: Unit::State,
            },
            Check {
                expression: r#"edge:grpc_client_handled:rate5m{source="edge",target="revert-name"}"#,
                expected: 0.1..=f64::INFINITY,
                meaning: "calls a second from edge to revert-name, over five minutes",
                unit: Unit::Number,
            },
            NO_ALERT,
        ],
        within: Duration::from_secs(90),
    },
    Step {
        title: "Of the calls of revert-name, 30 % fail: GET /proxy/internal",
        profile: FAULTY,
        panels: &[
            ("Mesh overview", "Topology"),
            ("Mesh overview", "Fault share by service"),
            ("Mesh client", "Faults by code"),
        ],
        checks: &[
            Check {
                expression: FAULT_SHARE,
                expected: 0.2..=0.4,
                meaning: "of the calls of revert-name end in a fault, over half a minute",
                unit: Unit::Share,
            },
            Check {
                expression: r#"edge:grpc_client_faults:rate5m{source="edge",target="revert-name"}"#,
                expected: 0.1..=f64::INFINITY,
                meaning: "faults a second from edge to revert-name, over five minutes",
                unit: Unit::Number,
            },
        ],
        within: Duration::from_secs(90),
    },
    Step {
        title: "The error budget burns: the alert is pending",
        profile: FAULTY,
        panels: &[
            ("Mesh SLO", "Burn rate over 5m and 1h"),
            ("Mesh overview", "Alerts"),
        ],
        checks: &[Check {
            expression: r#"ALERTS{alertname="MeshErrorBudgetBurnFast",job="revert-name",alertstate="pending"}"#,
            expected: 1.0..=1.0,
            meaning: "pending",
            unit: Unit::State,
        }],
        within: Duration::from_secs(90),
    },
    Step {
        title: "It lasts for a minute: the alert fires",
        profile: FAULTY,
        panels: &[("Mesh overview", "Firing alerts")],
        checks: &[Check {
            expression: r#"ALERTS{alertname="MeshErrorBudgetBurnFast",job="revert-name",alertstate="firing"}"#,
            expected: 1.0..=1.0,
            meaning: "firing; docs/runbooks/MeshErrorBudgetBurnFast.md says what to do",
            unit: Unit::State,
        }],
        within: Duration::from_secs(120),
    },
    Step {
        title: "The faults stop, and 100 successful calls a second outnumber them",
        profile: RECOVERY,
        panels: &[
            ("Mesh overview", "Fault share by service"),
            ("Mesh overview", "Firing alerts"),
        ],
        checks: &[
            Check {
                expression: r#"job:slo_errors:ratio_rate30m{job="revert-name"}"#,
                expected: 0.0..=0.06,
                meaning: "of the calls, over half an hour",
                unit: Unit::Share,
            },
            Check {
                expression: FAULT_SHARE,
                expected: 0.0..=0.0,
                meaning: "of the calls, over half a minute",
                unit: Unit::Share,
            },
            NO_ALERT,
        ],
        within: Duration::from_secs(180),
    },
];

/// The expression of the panel.
const FAULT_SHARE: &str = r#"sum(rate(grpc_server_handled_total{job="revert-name",grpc_code="Internal"}[30s])) / sum(rate(grpc_server_handled_total{job="revert-name"}[30s]))"#;

const NO_ALERT: Check = Check {
    expression: r#"count(ALERTS{alertstate="firing"}) or vector(0)"#,
    expected: 0.0..=0.0,
    meaning: "alerts fire",
    unit: Unit::Number,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_panels_of_each_step_are_in_the_dashboards() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../grafana/dashboards");
        let mut panels = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let board: Value = serde_json::from_str(&text).unwrap();
            let title = |of: &Value| of["title"].as_str().unwrap().to_owned();
            for panel in board["panels"].as_array().unwrap() {
                panels.insert((title(&board), title(panel)));
            }
        }
        for (dashboard, panel) in STEPS.iter().flat_map(|step| step.panels) {
            let named = ((*dashboard).to_owned(), (*panel).to_owned());
            assert!(panels.contains(&named), "{named:?}");
        }
    }
}
