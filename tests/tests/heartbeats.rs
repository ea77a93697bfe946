//! Heartbeats, from the leaves' schedules to the edge's database, list and metrics.

use rustix::process::Signal;
use serde_json::{Value, json};
use tonic::Code;
use vitalmesh_proto::heartbeat::v1::BeatHeartRequest;
use vitalmesh_proto::heartbeat::v1::heartbeat_service_client::HeartbeatServiceClient;
use vitalmesh_tests::{Mesh, Program, channel, eventually, get, scrape};

const EVERY_SECOND: [&str; 2] = ["--heartbeat-cron", "* * * * * *"];

async fn listed(mesh: &Mesh, service: &str) -> Value {
    let list = get(mesh.http(), "/heartbeats").await;
    assert_eq!(
        (list.status, list.header("content-type")),
        (200, "application/json")
    );
    entry(&list.json(), service)
}

/// A service's entry in a list; `null` where it has none.
fn entry(list: &Value, service: &str) -> Value {
    let services = list["services"].as_array().cloned().unwrap_or_default();
    let found = services.into_iter().find(|line| line["service"] == service);
    found.unwrap_or_default()
}

#[tokio::test]
async fn each_leaf_beats_by_its_schedule_and_is_listed() {
    let mesh = Mesh::with(&[], &EVERY_SECOND).await;
    for service in ["revert-name", "time"] {
        let line = eventually("three beats", async || {
            let line = listed(&mesh, service).await;
            (line["beats"].as_i64() >= Some(3)).then_some(line)
        })
        .await;
        assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(line["interval_seconds"], 1.0);
        assert_eq!(line["late"], false);
        assert!(line["age_seconds"].as_f64().unwrap() < 3.0, "{line}");
        assert!(!line["instance"].as_str().unwrap().is_empty(), "{line}");
        assert!(
            line["started_at"].as_str() < line["last_seen"].as_str(),
            "{line}"
        );
    }

    let page = scrape(mesh.edge.addresses().scrape).await;
    for service in ["revert-name", "time"] {
        let instance = listed(&mesh, service).await["instance"].clone();
        let labels = format!("{{service=\"{service}\",service_instance={instance}}}");
        let of = |family: &str| page.value(&format!("{family}{labels}"));
        assert!(of("mesh_heartbeats_received_total") >= Some(3.0));
        assert_eq!(of("mesh_heartbeat_expected_interval_seconds"), Some(1.0));
        assert!(of("mesh_heartbeat_last_seen_timestamp_seconds") > Some(1.7e9));
    }
}

#[tokio::test]
async fn the_edge_expects_the_services_of_its_setting_and_no_others() {
    for (setting, expected) in [
        ("", vec![]),
        ("time", vec![("time", 10.0)]),
        ("time=1m,greet", vec![("greet", 10.0), ("time", 60.0)]),
    ] {
        let data = tempfile::tempdir().unwrap();
        let flags = ["--expected-services", setting];
        let edge = vitalmesh_tests::edge(data.path(), &flags)
            .start()
            .await
            .unwrap();
        let list = get(edge.addresses().http.unwrap(), "/heartbeats")
            .await
            .json();
        let page = scrape(edge.addresses().scrape).await;
        let series = "mesh_heartbeat_expected_interval_seconds{";
        assert_eq!(page.of(series).len(), expected.len(), "{setting}");
        let lines = list["services"].as_array().unwrap();
        assert_eq!(lines.len(), expected.len(), "{list}");
        for (line, (service, interval)) in lines.iter().zip(expected) {
            assert_eq!(
                (&line["service"], &line["interval_seconds"]),
                (&json!(service), &json!(interval))
            );
            assert_eq!(
                (&line["beats"], &line["last_seen"]),
                (&json!(0), &Value::Null)
            );
            let series = format!("{series}service=\"{service}\",service_instance=\"\"}}");
            assert_eq!(page.value(&series), Some(interval));
        }
    }
}

#[tokio::test]
async fn beats_survive_a_restart_of_the_edge() {
    let mesh = Mesh::start().await;
    let both = async || {
        let beats = (
            listed(&mesh, "time").await,
            listed(&mesh, "revert-name").await,
        );
        (beats.0["beats"] == 1 && beats.1["beats"] == 1).then_some(beats)
    };
    let before = eventually("one beat each", both).await;
    mesh.edge.stop().await;

    let edge = vitalmesh_tests::edge(mesh.data.path(), &[])
        .start()
        .await
        .unwrap();
    let list = get(edge.addresses().http.unwrap(), "/heartbeats")
        .await
        .json();
    for before in [&before.0, &before.1] {
        let entry = entry(&list, before["service"].as_str().unwrap());
        for field in ["service", "instance", "beats"] {
            assert_eq!(entry[field], before[field], "{field}");
        }
        for field in ["last_seen", "started_at"] {
            assert_eq!(
                microseconds(&entry[field]),
                microseconds(&before[field]),
                "{field}"
            );
        }
    }
}

/// A time with the precision of the database: the second and its microseconds.
fn microseconds(time: &Value) -> (String, String) {
    let time = time.as_str().unwrap_or_default().trim_end_matches('Z');
    let (second, fraction) = time.split_once('.').unwrap_or((time, ""));
    (second.to_owned(), format!("{fraction:0<6.6}"))
}

#[tokio::test]
async fn a_leaf_that_stops_beating_is_late() {
    let mesh = Mesh::with(&[], &EVERY_SECOND).await;
    eventually("a beat", async || {
        (listed(&mesh, "time").await["beats"] != 0).then_some(())
    })
    .await;
    let Mesh {
        edge,
        revert_name: _revert_name,
        time,
        data: _data,
    } = mesh;
    time.stop().await;
    let http = edge.addresses().http.unwrap();
    let late = async || {
        let list = get(http, "/heartbeats").await.json();
        let late = ["revert-name", "time"].map(|service| entry(&list, service)["late"].clone());
        (late == [json!(false), json!(true)]).then_some(())
    };
    eventually("time is late and revert-name is not", late).await;
}

#[tokio::test]
async fn two_instances_of_a_leaf_are_listed_and_the_one_that_is_killed_is_late_and_then_forgotten()
{
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let edge = Program::service("edge", &["--data-dir", folder, "--forget-after", "2s"]);
    let (http, metrics) = (edge.address("http").await, edge.address("scrape").await);
    let url = format!("http://{}", edge.address("grpc").await);
    let flags = [["--edge-url", &url].as_slice(), &EVERY_SECOND].concat();
    let named =
        |id: &'static str| Program::service("time", &[&flags[..], &["--instance-id", id]].concat());
    let (_survivor, killed) = (named("pod-a"), named("pod-b"));
    // Each instance with whether it is late, and whether the service is.
    let states = async || {
        let list = get(http, "/heartbeats").await.json();
        let time = entry(&list, "time");
        let instances = time["instances"].as_array().cloned().unwrap_or_default();
        let states = instances
            .iter()
            .map(|it| (it["instance"].clone(), it["late"].clone()));
        (
            states.collect::<Vec<_>>(),
            time["late"].clone(),
            time["live_instances"].clone(),
        )
    };
    let is = async |expected: &[(&str, bool)], live: u32| {
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, late)| (json!(id), json!(late)))
            .collect();
        eventually("the states", async || {
            (states().await == (expected.clone(), json!(false), json!(live))).then_some(())
        })
        .await;
    };
    let series = async || {
        let page = scrape(metrics).await;
        let seen = page.of("mesh_heartbeat_last_seen_timestamp_seconds{service=\"time\"");
        seen.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };

    is(&[("pod-a", false), ("pod-b", false)], 2).await;
    assert_eq!(series().await.len(), 2);
    killed.signal(Signal::KILL);
    is(&[("pod-a", false), ("pod-b", true)], 1).await;
    assert_eq!(series().await.len(), 2);
    is(&[("pod-a", false)], 1).await;
    let left = series().await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("service_instance=\"pod-a\""), "{left:?}");

    let of_killed = async || {
        let lines = edge.lines();
        let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        let lines = lines.filter(|line: &Value| line["instance"] == "pod-b");
        let lines: Vec<_> = lines
            .map(|line| (line["level"].clone(), line["message"].clone()))
            .collect();
        (lines.len() == 3).then_some(lines)
    };
    let logged = eventually("a line for each change", of_killed).await;
    let expected = [
        ("INFO", "first heartbeat of an instance"),
        ("WARN", "no heartbeat for three intervals"),
        ("INFO", "silent instance forgotten"),
    ];
    assert_eq!(
        logged,
        expected.map(|(level, message)| (json!(level), json!(message)))
    );
}

#[tokio::test]
async fn a_leaf_that_restarts_is_the_same_instance() {
    let data = tempfile::tempdir().unwrap();
    let edge = vitalmesh_tests::edge(data.path(), &[]);
    let edge = edge.start().await.unwrap();
    let http = edge.addresses().http.unwrap();
    let url = format!("http://{}", edge.addresses().grpc);
    let address = vitalmesh_tests::free_address();
    let grpc = address.to_string();
    for beats in 1..=2 {
        let time = vitalmesh_tests::time(&["--edge-url", &url, "--grpc-address", &grpc]);
        let time = time.start().await.unwrap();
        let line = eventually("a beat of this start", async || {
            let line = entry(&get(http, "/heartbeats").await.json(), "time");
            (line["beats"] == beats).then_some(line)
        })
        .await;
        assert_eq!(line["instances"].as_array().unwrap().len(), 1, "{line}");
        assert_eq!(line["instances"][0]["beats"], beats);
        let id = line["instance"].as_str().unwrap();
        assert!(id.ends_with(&format!(":{}", address.port())), "{id}");
        time.stop().await;
    }
}

#[tokio::test]
async fn senders_without_an_instance_are_one_instance_without_a_name() {
    let mesh = Mesh::start().await;
    let mut client = HeartbeatServiceClient::new(channel(mesh.edge.addresses().grpc));
    for instance in ["", "", "host:1"] {
        let beat = BeatHeartRequest {
            service_name: "old-one".to_owned(),
            instance: instance.to_owned(),
            ..BeatHeartRequest::default()
        };
        client.beat_heart(beat).await.unwrap();
    }
    let line = listed(&mesh, "old-one").await;
    let instances = line["instances"].as_array().unwrap().iter();
    let found: Vec<_> = instances
        .map(|it| (&it["instance"], &it["beats"]))
        .collect();
    let expected = [(&Value::Null, &json!(2)), (&json!("host:1"), &json!(1))];
    assert_eq!(found, expected, "{line}");
}

#[tokio::test]
async fn a_leaf_serves_without_the_edge_and_beats_again_when_it_is_back() {
    let mesh = Mesh::with(&[], &EVERY_SECOND).await;
    eventually("a beat", async || {
        (listed(&mesh, "time").await["beats"] != 0).then_some(())
    })
    .await;
    let Mesh {
        edge,
        revert_name: _revert_name,
        time,
        data,
    } = mesh;
    let grpc = edge.addresses().grpc.to_string();
    edge.stop().await;
    let runs =
        |outcome: &str| format!("mesh_task_runs_total{{outcome=\"{outcome}\",task=\"heartbeat\"}}");
    let counted = async |outcome: &str| {
        scrape(time.addresses().scrape)
            .await
            .value(&runs(outcome))
            .unwrap()
    };
    eventually("a beat fails", async || {
        (counted("error").await > 0.0).then_some(())
    })
    .await;

    let edge = vitalmesh_tests::edge(data.path(), &["--grpc-address", &grpc]);
    let _edge = edge.start().await.unwrap();
    let before = counted("success").await;
    eventually("a beat arrives", async || {
        (counted("success").await > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_leaf_logs_the_first_failed_beat_and_the_recovery_once_each() {
    let data = tempfile::tempdir().unwrap();
    let edge = vitalmesh_tests::edge(data.path(), &[]);
    let edge = edge.start().await.unwrap();
    let grpc = edge.addresses().grpc.to_string();
    let url = format!("http://{grpc}");
    let flags = [["--edge-url", &url].as_slice(), &EVERY_SECOND].concat();
    let leaf = Program::service("time", &flags);
    let page = leaf.address("scrape").await;
    let two_more = async |outcome: &str| {
        let runs = format!("mesh_task_runs_total{{outcome=\"{outcome}\",task=\"heartbeat\"}}");
        let counted = async || scrape(page).await.value(&runs);
        let before = counted().await.unwrap();
        eventually("two runs more", async || {
            (counted().await >= Some(before + 2.0)).then_some(())
        })
        .await;
    };

    two_more("success").await;
    edge.stop().await;
    two_more("error").await;
    let edge = vitalmesh_tests::edge(data.path(), &["--grpc-address", &grpc]);
    let edge = edge.start().await.unwrap();
    two_more("success").await;
    edge.stop().await;
    two_more("error").await;

    let lines = leaf.lines();
    let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    let logged: Vec<_> = lines
        .filter(|line: &Value| line["task"] == "heartbeat")
        .map(|line| (line["level"].clone(), line["message"].clone()))
        .collect();
    let away = (json!("WARN"), json!("task failed"));
    let back = (json!("INFO"), json!("task recovered"));
    assert_eq!(logged, [away.clone(), back, away]);
}

#[tokio::test]
async fn service_names_are_validated_and_limited_in_number() {
    let mesh = Mesh::start().await;
    let mut client = HeartbeatServiceClient::new(channel(mesh.edge.addresses().grpc));
    let mut beat = async |service_name: &str| {
        let service_name = service_name.to_owned();
        let beat = BeatHeartRequest {
            service_name,
            ..BeatHeartRequest::default()
        };
        client
            .beat_heart(beat)
            .await
            .map(|_| ())
            .map_err(|status| status.code())
    };
    eventually("both leaves", async || {
        (listed(&mesh, "time").await["beats"] == 1
            && listed(&mesh, "revert-name").await["beats"] == 1)
            .then_some(())
    })
    .await;
    for name in ["", "a b", "<script>", "a\n", "é", "'; DROP TABLE beats; --"] {
        assert_eq!(beat(name).await, Err(Code::InvalidArgument), "{name}");
    }
    // The four expected services have their places, with or without a beat.
    for number in 0..60 {
        assert_eq!(beat(&format!("service-{number}")).await, Ok(()));
    }
    assert_eq!(beat("one-too-many").await, Err(Code::ResourceExhausted));
    assert_eq!(beat("service-0").await, Ok(()));

    let page = scrape(mesh.edge.addresses().scrape).await;
    assert_eq!(page.of("mesh_heartbeats_received_total{").len(), 64);
    let again = "mesh_heartbeats_received_total{service=\"service-0\",service_instance=\"\"}";
    assert_eq!(page.value(again), Some(2.0));
}
