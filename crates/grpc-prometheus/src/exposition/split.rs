//! Families without a type: one for each sample name.

use std::collections::{BTreeMap, HashSet};

use super::page::Page;

/// The sample lines of the families that are split, by sample name.
#[derive(Debug, Default)]
pub(crate) struct SplitFamilies {
    families: BTreeMap<String, SplitFamily>,
}

/// A family of unknown type.
#[derive(Debug, Default)]
pub(crate) struct SplitFamily {
    help: String,
    lines: Vec<String>,
    series: HashSet<String>,
}

// === impl SplitFamilies ===

impl SplitFamilies {
    /// Adds sample lines without exemplars. Two families may have the same series, which the page
    /// has once: the first counts.
    pub(crate) fn add(&mut self, help: &str, lines: &str) {
        for line in lines.lines() {
            // Label values may contain braces, numbers do not.
            let brace = line.rfind('}').map(|brace| brace + 1);
            let end = brace.or_else(|| line.find(' ')).unwrap_or(line.len());
            let series = &line[..end];
            let name = series.split('{').next().unwrap_or(series);
            let family = self.families.entry(name.to_owned()).or_default();
            if family.help.is_empty() {
                help.clone_into(&mut family.help);
            }
            if family.series.insert(series.to_owned()) {
                family.lines.push(line.to_owned());
            }
        }
    }

    pub(crate) fn into_families(self) -> impl Iterator<Item = (String, SplitFamily)> {
        self.families.into_iter()
    }
}

// === impl SplitFamily ===

impl SplitFamily {
    pub(crate) fn write(&self, name: &str, page: &mut Page) {
        page.untyped_head(name, &self.help);
        for line in &self.lines {
            page.push(&[line, "\n"]);
        }
    }
}
