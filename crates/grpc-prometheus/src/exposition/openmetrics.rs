//! OpenMetrics 1.0: content negotiation and exemplars.

use std::fmt::Write;

use crate::series::Exemplar;

pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const MEDIA_TYPE: &str = "application/openmetrics-text";

/// Whether this `Accept` header prefers OpenMetrics 1.0 to text.
pub(crate) fn is_preferred(accept: &str) -> bool {
    let best = |accepts: fn(&str, &str) -> bool| {
        let ranges = accept
            .split(',')
            .filter_map(|range| quality(range, accepts));
        ranges.fold(0.0, f64::max)
    };
    let openmetrics = best(|media_type, version| {
        media_type.eq_ignore_ascii_case(MEDIA_TYPE) && matches!(version, "" | "1.0.0")
    });
    let text = best(|media_type, version| {
        media_type.eq_ignore_ascii_case("text/plain") && matches!(version, "" | "0.0.4")
    });
    openmetrics > 0.0 && openmetrics >= text
}

/// The quality of a media range, if `accepts` matches its type and version.
fn quality(range: &str, accepts: fn(&str, &str) -> bool) -> Option<f64> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?;
    let (mut version, mut quality) = ("", "1");
    for parameter in parts {
        match parameter.split_once('=') {
            Some((name, value)) if name.trim() == "version" => version = value.trim_matches('"'),
            Some((name, value)) if name.trim() == "q" => quality = value.trim(),
            _ => {}
        }
    }
    accepts(media_type, version).then(|| quality.parse().unwrap_or(0.0))
}

/// ` # {trace_id="…"} 0.0123 1700000000.123`
pub(crate) fn push_exemplar(out: &mut String, exemplar: &Exemplar) {
    let value = exemplar.nanos as f64 / 1e9;
    let (seconds, millis) = (exemplar.at.as_secs(), exemplar.at.subsec_millis());
    let id = u128::from_be_bytes(exemplar.trace_id.0);
    // Writing to a string cannot fail.
    _ = write!(
        out,
        " # {{trace_id=\"{id:032x}\"}} {value} {seconds}.{millis:03}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_with_the_higher_quality_is_chosen() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, expected) in [
            (prometheus, true),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=\"1.0.0\"", true),
            ("application/openmetrics-text; version=1.0.0; q=0", false),
            ("application/openmetrics-text; version=0.0.1", false),
            (
                "application/openmetrics-text;q=0.2, text/plain;q=0.3",
                false,
            ),
            ("application/openmetrics-text;q=x", false),
            ("text/plain", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(is_preferred(accept), expected, "{accept}");
        }
    }
}
