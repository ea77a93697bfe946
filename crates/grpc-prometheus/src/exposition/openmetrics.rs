//! OpenMetrics 1.0: exemplars.

use std::fmt::Write;

use crate::series::Exemplar;

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
