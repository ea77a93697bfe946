//! Compiles the OTLP definitions below `proto/` to messages and clients.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

const ROOT: &str = "proto";
const SERVICES: [&str; 2] = [
    "opentelemetry/proto/collector/logs/v1/logs_service.proto",
    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).open_files(SERVICES)?;
    fs::write(
        out.join("otlp.binpb"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_transport(false)
        .build_server(false)
        // The comments have no meaning without the links and code blocks that rustdoc breaks.
        .disable_comments(["."])
        .include_file("otlp.rs")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
