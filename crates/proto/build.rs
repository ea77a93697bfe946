//! Compiles every proto below `proto/vitalmesh` to types and one descriptor set each, and those
//! below `proto/legacy` to descriptor sets alone: what answers their calls has the new types.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

const ROOT: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for proto in protos("vitalmesh")? {
        tonic_prost_build::configure()
            .build_transport(false)
            .compile_fds(describe(&proto, &out)?)?;
    }
    for proto in protos("legacy")? {
        describe(&proto, &out)?;
    }
    Ok(())
}

/// Writes the descriptor set of a proto and its imports to where the proto is in its tree.
fn describe(proto: &Path, out: &Path) -> Result<FileDescriptorSet, Box<dyn Error>> {
    let descriptors = protox::compile([proto], [ROOT])?;
    let file = out.join(proto.strip_prefix(ROOT)?).with_extension("binpb");
    fs::create_dir_all(file.parent().ok_or("a proto without a folder")?)?;
    fs::write(file, descriptors.encode_to_vec())?;
    Ok(descriptors)
}

fn protos(folder: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut protos = Vec::new();
    find(&Path::new(ROOT).join(folder), &mut protos)?;
    protos.sort();
    Ok(protos)
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
