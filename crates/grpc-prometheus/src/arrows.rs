//! Which folder uses which, read from the sources.

use std::{collections::BTreeSet, fs, path::Path};

/// Each folder with the folders that it may use.
const ALLOWED: [(&str, &[&str]); 4] = [
    ("configuration", &["exposition", "recording", "series"]),
    ("exposition", &["series"]),
    ("recording", &["series"]),
    ("series", &[]),
];

#[test]
fn folders_use_only_what_is_below_them() {
    for (folder, allowed) in ALLOWED {
        let mut used = BTreeSet::new();
        for source in sources(folder) {
            used.extend(crate_paths(&source));
            assert!(!source.contains("super::super"), "{folder}");
        }
        // Its own name stands in tests, whose parent is a file of the folder.
        used.remove(folder);
        let allowed: BTreeSet<_> = allowed.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(used, allowed, "{folder}");
    }
}

#[test]
fn every_source_file_is_in_a_folder() {
    let known = ALLOWED.map(|(folder, _)| folder);
    for entry in fs::read_dir(src()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected = ["lib", "arrows"].contains(&name) || known.contains(&name);
        assert!(expected, "{}", path.display());
    }
}

#[test]
fn paths_are_read_from_use_lines_groups_and_expressions() {
    let source = "
        use crate::{a::{x, y}, b, c::Z};
        use crate::d::E; // and crate::comment
        /// [`F`](crate::F)
        let g = crate::g::f();
    ";
    let paths: Vec<_> = crate_paths(source).into_iter().collect();
    assert_eq!(paths, ["a", "b", "c", "d", "g"]);
}

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// The folder's parent module and all of its files.
fn sources(folder: &str) -> Vec<String> {
    let files = fs::read_dir(src().join(folder)).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let parent = src().join(folder).with_extension("rs");
    let sources = files.chain([parent]);
    sources
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// The first name of each path that begins with `crate::`, outside of comments.
fn crate_paths(source: &str) -> BTreeSet<String> {
    let lines = source.lines().map(|line| line.split("//").next().unwrap());
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    let rests = code.split("crate::").skip(1);
    rests.flat_map(first_names).collect()
}

fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![first_name(rest)];
    };
    let mut names = Vec::new();
    let (mut depth, mut item) = (0, String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut item)),
            c => item.push(c),
        }
    }
    names.push(item);
    let names = names.iter().map(|item| first_name(item.trim()));
    names.filter(|name| !name.is_empty()).collect()
}

fn first_name(path: &str) -> String {
    let name = path.chars();
    name.take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
