//! Compiles gRPC's own services: health, and reflection in its two versions.

use std::error::Error;
use std::fs;
use std::path::Path;

use prost::Message;

const ROOT: &str = "proto";
const HEALTH: &str = "grpc/health/v1/health.proto";
const REFLECTION: &str = "grpc/reflection/v1/reflection.proto";
const REFLECTION_ALPHA: &str = "grpc/reflection/v1alpha/reflection.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let out = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let out = Path::new(&out);
    let servers = out.join("server");
    fs::create_dir_all(&servers)?;
    for (proto, set, package, module) in [
        (
            HEALTH,
            "health.binpb",
            ".grpc.health.v1",
            "crate::pb::health",
        ),
        (
            REFLECTION,
            "reflection.binpb",
            ".grpc.reflection.v1",
            "crate::pb::reflection",
        ),
    ] {
        let descriptors = protox::compile([proto], [ROOT])?;
        fs::write(out.join(set), descriptors.encode_to_vec())?;
        // Servers apart from the rest, because their codec differs.
        tonic_prost_build::configure()
            .build_transport(false)
            .build_client(false)
            .codec_path("vitalmesh_status::RequestCodec")
            .extern_path(package, module)
            .out_dir(&servers)
            .compile_fds(descriptors.clone())?;
        tonic_prost_build::configure()
            .build_transport(false)
            .build_server(false)
            .compile_fds(descriptors)?;
    }
    // The versions differ in their package alone.
    let alpha = fs::read_to_string(Path::new(ROOT).join(REFLECTION))?;
    let alpha = alpha.replace(
        "package grpc.reflection.v1;",
        "package grpc.reflection.v1alpha;",
    );
    let path = out.join(REFLECTION_ALPHA);
    fs::create_dir_all(path.parent().ok_or("a proto without a folder")?)?;
    fs::write(&path, alpha)?;
    let descriptors = protox::compile([REFLECTION_ALPHA], [out])?;
    fs::write(
        out.join("reflection_alpha.binpb"),
        descriptors.encode_to_vec(),
    )?;
    Ok(())
}
