//! Compiles every proto below `proto/vitalmesh` to types and one descriptor set each.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

const ROOT: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut protos = Vec::new();
    find(Path::new(ROOT), &mut protos)?;
    protos.sort();
    for proto in protos {
        let descriptors = protox::compile([&proto], [ROOT])?;
        let stem = proto.file_stem().ok_or("a proto without a name")?;
        fs::write(
            out.join(stem).with_extension("binpb"),
            descriptors.encode_to_vec(),
        )?;
        tonic_prost_build::configure()
            .build_transport(false)
            .compile_fds(descriptors)?;
    }
    Ok(())
}

fn find(folder: &Path, protos: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, protos)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            protos.push(path);
        }
    }
    Ok(())
}
