//! Which histograms a family shows of each series: one, or one per code or group of codes.

use std::ops::Range;

use crate::series::{CodeLabel, Family, LabelStyle, Schema, Side, labels};

/// One histogram of a family and series.
pub(crate) struct Group {
    /// The histograms of the series, by code, that it sums up.
    pub(crate) indices: Range<usize>,
    pub(crate) labels: Vec<(&'static str, &'static str)>,
    pub(crate) zero: Zero,
}

/// When a histogram without calls exists.
#[derive(Clone, Copy)]
pub(crate) enum Zero {
    /// With its series.
    Always,
    /// If the counter of this code does.
    Like(usize),
    Never,
}

/// The histograms that a family shows of each series.
pub(crate) fn of(family: Family, schema: &Schema) -> Vec<Group> {
    let (config, recorded) = (&schema.config, schema.layout.code_label);
    let shown = match family {
        Family::Handling => config.code_label,
        Family::CallDuration => CodeLabel::Full,
        _ => return vec![Group::of(0..1)],
    };
    let all = recorded.histograms();
    match shown {
        CodeLabel::None => vec![Group::of(0..all)],
        CodeLabel::OkError => [(0..1, 0), (1..all, 1)].map(Group::ok_or_error).into(),
        CodeLabel::Full => (0..all)
            .map(|code| Group {
                indices: code..code + 1,
                labels: match family {
                    Family::CallDuration => stable_code(config.side, code),
                    _ => vec![(labels::CODE, config.style.codes()[code])],
                },
                // 17 empty histograms per method would be nine tenths of the page.
                zero: if code == 0 {
                    Zero::Like(0)
                } else {
                    Zero::Never
                },
            })
            .collect(),
    }
}

// === impl Group ===

impl Group {
    fn of(indices: Range<usize>) -> Self {
        Self {
            indices,
            labels: Vec::new(),
            zero: Zero::Always,
        }
    }

    fn ok_or_error((indices, code): (Range<usize>, usize)) -> Self {
        Self {
            indices,
            labels: vec![(labels::CODE, ["OK", "error"][code])],
            zero: Zero::Like(code),
        }
    }
}

/// The labels of a code by OpenTelemetry's stable conventions. On a server some codes are no errors:
/// they say what the caller did.
fn stable_code(side: Side, code: usize) -> Vec<(&'static str, &'static str)> {
    /// `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`.
    const SERVER_ERRORS: [usize; 6] = [2, 4, 12, 13, 14, 15];

    let name = LabelStyle::Python.codes()[code];
    let is_error = match side {
        Side::Server => SERVER_ERRORS.contains(&code),
        Side::Client => code != 0,
    };
    let error = is_error.then_some((labels::ERROR_TYPE, name));
    error
        .into_iter()
        .chain([(labels::STATUS_CODE, name)])
        .collect()
}
