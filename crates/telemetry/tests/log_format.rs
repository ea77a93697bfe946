//! The log format that suits standard error. Alone in its process: it replaces standard error.

use std::io::stderr;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::dup;
use rustix::pipe::pipe;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::stdio::dup2_stderr;
use vitalmesh_telemetry::LogFormat;

#[test]
fn a_terminal_gets_lines_for_people_and_everything_else_gets_json() {
    let own = dup(stderr()).unwrap();
    let (_reader, writer) = pipe().unwrap();
    let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&pty).unwrap();
    unlockpt(&pty).unwrap();
    let name = ptsname(&pty, Vec::new()).unwrap();
    let terminal = open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();

    let detected = [&writer, &terminal, &writer].map(|output| {
        dup2_stderr(output).unwrap();
        LogFormat::detect()
    });
    dup2_stderr(&own).unwrap();
    let expected = [LogFormat::Json, LogFormat::Human, LogFormat::Json];
    assert_eq!(detected, expected);
}
