//! Which families of a page keep their type.
//!
//! Both formats show each series under the name that it was registered with. OpenMetrics demands
//! more of names than the registry does: a counter's end in `_total`, and no family may have a name
//! that a sample of another could have. A family that breaks these rules is split: each of its
//! sample names is a family of its own, of unknown type.

use std::collections::HashMap;

use prometheus::proto::MetricType;

use super::negotiation::Format;

/// A family of the page.
struct Named<'a> {
    name: &'a str,
    /// `None` if collectors disagree.
    metric_type: Option<MetricType>,
    split: bool,
}

/// Whether each of these families, with unique names, must be split.
pub(crate) fn split(families: &[(&str, Option<MetricType>)], format: Format) -> Vec<bool> {
    let named = families.iter().map(|(name, metric_type)| Named {
        name,
        metric_type: *metric_type,
        split: metric_type.is_none(),
    });
    let mut named: Vec<_> = named.collect();
    if format == Format::OpenMetrics {
        for family in &mut named {
            let counter = family.metric_type == Some(MetricType::COUNTER);
            family.split |= counter && stem(family.name).is_none();
        }
    }
    // Each step settles clashes, so that later steps, whose types tell more, split fewer families.
    let steps: [&[MetricType]; 3] = [
        &[MetricType::COUNTER],
        &[MetricType::HISTOGRAM, MetricType::SUMMARY],
        &[MetricType::COUNTER, MetricType::GAUGE, MetricType::UNTYPED],
    ];
    for (step, types) in steps.into_iter().enumerate() {
        if step == 0 && format == Format::Text {
            // Here a counter has one name, like a gauge.
            continue;
        }
        let claims: Vec<_> = named.iter().map(|family| family.claims(format)).collect();
        let mut claimed: HashMap<&str, usize> = HashMap::new();
        for name in claims.iter().flatten() {
            *claimed.entry(name).or_default() += 1;
        }
        for (family, claims) in named.iter_mut().zip(&claims) {
            let affected = family.metric_type.is_some_and(|own| types.contains(&own));
            family.split |= affected && claims.iter().any(|name| claimed[name.as_str()] > 1);
        }
    }
    named.iter().map(|family| family.split).collect()
}

/// The name of a counter's family in OpenMetrics.
pub(crate) fn stem(name: &str) -> Option<&str> {
    name.strip_suffix("_total").filter(|stem| !stem.is_empty())
}

// === impl Named ===

impl Named<'_> {
    /// The names that no other family may have.
    fn claims(&self, format: Format) -> Vec<String> {
        let (own, samples): (&[&str], _) = match self.metric_type {
            Some(MetricType::HISTOGRAM) => (&[""], &["_bucket", "_count", "_sum"][..]),
            Some(MetricType::SUMMARY) => (&[], &["", "_count", "_sum"][..]),
            Some(MetricType::COUNTER) if format == Format::OpenMetrics && !self.split => {
                let stem = stem(self.name).unwrap_or_default();
                return vec![stem.into(), format!("{stem}_created"), self.name.into()];
            }
            Some(_) => (&[], &[""][..]),
            // Any of them.
            None => (&[], &["", "_bucket", "_count", "_sum"][..]),
        };
        let own = own.iter().filter(|_| !self.split);
        let created = !self.split && format == Format::OpenMetrics && samples.len() > 1;
        let created = created.then_some(&"_created");
        let suffixes = samples.iter().chain(own).chain(created);
        suffixes
            .map(|suffix| format!("{}{suffix}", self.name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: Option<MetricType> = Some(MetricType::COUNTER);
    const G: Option<MetricType> = Some(MetricType::GAUGE);
    const H: Option<MetricType> = Some(MetricType::HISTOGRAM);
    const S: Option<MetricType> = Some(MetricType::SUMMARY);

    /// The names of the families that are split.
    fn splits(
        families: &[(&'static str, Option<MetricType>)],
        format: Format,
    ) -> Vec<&'static str> {
        let split = split(families, format);
        let families = families.iter().zip(split);
        families
            .filter_map(|((name, _), split)| split.then_some(*name))
            .collect()
    }

    #[test]
    fn only_families_whose_type_breaks_a_rule_are_split() {
        for (families, openmetrics, text) in [
            (
                &[("a_total", C), ("b", G), ("c", H), ("d", S)][..],
                &[][..],
                &[][..],
            ),
            (&[("a", C)], &["a"], &[]),
            (&[("_total", C)], &["_total"], &[]),
            (&[("a", C), ("a_total", C)], &["a", "a_total"], &[]),
            (&[("a", G), ("a_total", C)], &["a_total"], &[]),
            (
                &[("a_total", G), ("a_total_total", C)],
                &["a_total_total"],
                &[],
            ),
            (&[("a_created", G), ("a_total", C)], &["a_total"], &[]),
            (&[("a_created", G), ("a", H)], &["a"], &[]),
            (&[("a_created", G), ("a", S)], &["a"], &[]),
            (&[("a", H), ("a_total", C)], &["a_total"], &[]),
            (
                &[("a", H), ("a_bucket", G)],
                &["a", "a_bucket"],
                &["a", "a_bucket"],
            ),
            (&[("a", S), ("a_sum", C)], &["a", "a_sum"], &["a", "a_sum"]),
            (&[("a", S), ("a_bucket", G)], &[], &[]),
            (
                &[("a", H), ("a_count", H)],
                &["a", "a_count"],
                &["a", "a_count"],
            ),
            (&[("a_info", G), ("a", G)], &[], &[]),
            (
                &[("a", None), ("a_sum", G)],
                &["a", "a_sum"],
                &["a", "a_sum"],
            ),
        ] {
            assert_eq!(
                splits(families, Format::OpenMetrics),
                openmetrics,
                "{families:?}"
            );
            assert_eq!(splits(families, Format::Text), text, "{families:?}");
        }
    }
}
