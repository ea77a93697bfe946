//! What a process writes to standard error. Alone in its process: it replaces standard error and
//! starts the process's log.

use std::fs::File;
use std::io::{BufRead, BufReader, stderr};
use std::thread;

use rustix::io::dup;
use rustix::pipe::pipe;
use rustix::stdio::dup2_stderr;
use serde_json::Value;
use vitalmesh_context::CallContext;
use vitalmesh_telemetry::{LogFormat, init_log};

#[test]
fn the_first_call_starts_the_log_and_panics_are_lines_of_it() {
    let own = dup(stderr()).unwrap();
    let (reader, writer) = pipe().unwrap();
    dup2_stderr(&writer).unwrap();
    drop(writer);

    let levels = "warn,shop=info".parse().unwrap();
    assert!(init_log(LogFormat::Json, levels).is_some());
    let more = "trace".parse().unwrap();
    assert!(init_log(LogFormat::Human, more).is_none());

    let context = CallContext::root(None);
    context.sync_scope(|| tracing::info!(target: "shop::orders", count = 3, "placed\norder"));
    tracing::debug!(target: "shop::orders", "below its level");
    tracing::info!(target: "other", "below the level of the rest");
    let panicked = thread::spawn(|| panic!("broken\norder"));
    assert!(panicked.join().is_err());

    dup2_stderr(&own).unwrap();
    let lines = BufReader::new(File::from(reader)).lines();
    let lines = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let lines: Vec<Value> = lines.collect();
    let [order, panic] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    for (key, expected) in [
        ("level", "INFO".to_owned()),
        ("target", "shop::orders".to_owned()),
        ("message", r"placed\norder".to_owned()),
        ("trace_id", context.trace.to_string()),
    ] {
        assert_eq!(order[key], expected, "{order}");
    }
    assert_eq!(order["count"], 3);
    assert_eq!(panic["level"], "ERROR");
    assert_eq!(panic["target"], "vitalmesh::panic");
    assert_eq!(panic["message"], r"broken\norder");
    let location = panic["location"].as_str().unwrap();
    assert!(location.contains("log_output.rs:"), "{location}");
}
