//! Generates the modules of this crate from the files under `proto/`: one per package of
//! `proto/vitalmesh`, and one descriptor set per file of `proto/legacy`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

const ROOT: &str = "../../proto";

/// The versions of a contract, each with the files of its package.
type Versions = BTreeMap<String, Vec<PathBuf>>;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut modules = String::new();
    for (contract, versions) in contracts()? {
        modules += &contract_module(&contract, &versions, &out)?;
    }
    fs::write(out.join("contracts.rs"), modules)?;
    fs::write(out.join("legacy.rs"), legacy_constants(&out)?)?;
    Ok(())
}

/// The contracts of `proto/vitalmesh/<contract>/<version>/`, by name.
fn contracts() -> Result<BTreeMap<String, Versions>, Box<dyn Error>> {
    let mut contracts: BTreeMap<String, Versions> = BTreeMap::new();
    for contract in entries(&Path::new(ROOT).join("vitalmesh"))? {
        for version in entries(&contract)? {
            let protos = protos(&version)?;
            if !protos.is_empty() {
                let versions = contracts.entry(file_name(&contract)?).or_default();
                versions.insert(file_name(&version)?, protos);
            }
        }
    }
    Ok(contracts)
}

/// Writes the types and the descriptor set of each version, and returns the module that includes
/// them.
fn contract_module(
    contract: &str,
    versions: &Versions,
    out: &Path,
) -> Result<String, Box<dyn Error>> {
    let mut module = format!("#[doc = \"`vitalmesh.{contract}`\"]\npub mod {contract} {{\n");
    for (version, protos) in versions {
        let package = format!("vitalmesh.{contract}.{version}");
        let descriptors = compile(protos, &out.join(&package).with_added_extension("binpb"))?;
        check_packages(&descriptors, protos, &package)?;
        generate(
            descriptors,
            &package,
            &format!("crate::{contract}::{version}"),
            out,
        )?;
        write!(
            module,
            "#[doc = \"`{package}`\"]
pub mod {version} {{
    include!(concat!(env!(\"OUT_DIR\"), \"/{package}.rs\"));
    include!(concat!(env!(\"OUT_DIR\"), \"/server/{package}.rs\"));

    /// The encoded `FileDescriptorSet` of this contract and its imports.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{package}.binpb\"));
}}
"
        )?;
    }
    Ok(module + "}\n")
}

/// Writes the messages and clients of a package, and apart from them its servers, whose codec
/// differs. `module` has the messages.
fn generate(
    descriptors: FileDescriptorSet,
    package: &str,
    module: &str,
    out: &Path,
) -> Result<(), Box<dyn Error>> {
    let servers = out.join("server");
    fs::create_dir_all(&servers)?;
    tonic_prost_build::configure()
        .build_transport(false)
        .build_client(false)
        .codec_path("vitalmesh_status::RequestCodec")
        .extern_path(format!(".{package}"), module)
        .out_dir(servers)
        .compile_fds(descriptors.clone())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .build_server(false)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Writes the descriptor set of each file of `proto/legacy`, and returns a constant for each.
fn legacy_constants(out: &Path) -> Result<String, Box<dyn Error>> {
    let mut constants = String::new();
    for proto in protos(&Path::new(ROOT).join("legacy"))? {
        let name = proto.with_extension("");
        let name = file_name(&name)?;
        compile(&[proto], &out.join(format!("legacy.{name}.binpb")))?;
        write!(
            constants,
            "#[doc = \"The encoded `FileDescriptorSet` of `{name}.proto`.\"]
pub const {}: &[u8] = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/legacy.{name}.binpb\"));
",
            name.to_uppercase()
        )?;
    }
    Ok(constants)
}

/// Compiles files with their imports, and writes their descriptor set to `to`.
fn compile(protos: &[PathBuf], to: &Path) -> Result<FileDescriptorSet, Box<dyn Error>> {
    let descriptors = protox::compile(protos, [ROOT])?;
    fs::write(to, descriptors.encode_to_vec())?;
    Ok(descriptors)
}

/// A file of another package would be compiled into a module that nothing includes.
fn check_packages(
    descriptors: &FileDescriptorSet,
    protos: &[PathBuf],
    package: &str,
) -> Result<(), Box<dyn Error>> {
    for proto in protos {
        let name = proto.strip_prefix(ROOT)?;
        let mut files = descriptors.file.iter();
        let file = files.find(|file| Path::new(file.name()) == name);
        let found = file.map_or("", |file| file.package());
        if found != package {
            let name = name.display();
            return Err(format!("proto/{name}: package is `{found}`, not `{package}`").into());
        }
    }
    Ok(())
}

fn protos(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut protos = entries(folder)?;
    protos.retain(|path| path.extension().is_some_and(|kind| kind == "proto"));
    Ok(protos)
}

/// What is in a folder, by name; nothing where it is no folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> Result<String, Box<dyn Error>> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.ok_or("a path without a name in UTF-8")?.to_owned())
}
