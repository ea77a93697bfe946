//! The options of a registration.

use std::time::Duration;

use super::{
    bounds::Bounds,
    buckets::Buckets,
    conventions::RpcConventions,
    families::{Family, Side},
    labels::ExtraLabel,
    layout::Layout,
    spelling::{CodeLabel, LabelStyle},
};

/// Which series of a method exist before its first call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZeroInit {
    /// All series, with all 17 codes, except for the histograms of
    /// [`CodeLabel::Full`](crate::CodeLabel::Full). The default without extra labels.
    #[default]
    All,
    /// All series, but with the code `OK` only.
    OkOnly,
    /// No series. The default with extra labels.
    None,
}

/// The options of a registration. Registrations that share series must agree on all of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) side: Side,
    pub(crate) namespace: Option<String>,
    pub(crate) const_labels: Vec<(String, String)>,
    pub(crate) extra_labels: Vec<ExtraLabel>,
    pub(crate) style: LabelStyle,
    pub(crate) code_label: CodeLabel,
    pub(crate) zero_init: ZeroInit,
    pub(crate) handling: Option<Buckets>,
    pub(crate) sizes: Option<Buckets>,
    pub(crate) message_times: Option<Buckets>,
    /// The server's own timeout.
    pub(crate) timeout: Option<Duration>,
    pub(crate) exemplars: bool,
    pub(crate) native: bool,
    pub(crate) start_timestamps: bool,
    pub(crate) conventions: RpcConventions,
}

// === impl Config ===

impl Config {
    pub(crate) fn family(&self, family: Family) -> String {
        let (system, side, suffix) = (family.system(), self.side, family.suffix());
        match &self.namespace {
            Some(namespace) => format!("{namespace}_{system}_{side}_{suffix}"),
            None => format!("{system}_{side}_{suffix}"),
        }
    }

    /// Whether both have the same metric names and constant labels, and so share series.
    pub(crate) fn same_series(&self, other: &Self) -> bool {
        self.side == other.side
            && self.namespace == other.namespace
            && self.const_labels == other.const_labels
    }

    /// The first option in which they differ.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let options = [
            ("label style", self.style == other.style),
            ("code on the histogram", self.code_label == other.code_label),
            ("zero initialisation", self.zero_init == other.zero_init),
            ("extra labels", self.extra_labels == other.extra_labels),
            ("handling buckets", self.handling == other.handling),
            ("message sizes", self.sizes == other.sizes),
            ("message times", self.message_times == other.message_times),
            ("timeout", self.timeout == other.timeout),
            ("exemplars", self.exemplars == other.exemplars),
            ("native histograms", self.native == other.native),
            (
                "start timestamps",
                self.start_timestamps == other.start_timestamps,
            ),
            ("conventions", self.conventions == other.conventions),
        ];
        let different = options.into_iter().find(|(_, equal)| !equal);
        different.map(|(option, _)| option)
    }

    /// The codes that the cells of the handling-time histogram tell apart: those that any family
    /// shows.
    fn recorded_codes(&self) -> CodeLabel {
        match self.conventions.has_stable() {
            true => CodeLabel::Full,
            false => self.code_label,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        let seconds = |buckets: &Buckets| Bounds::seconds(buckets.bounds());
        let handling = self.handling.as_ref().map(seconds);
        Layout::new(
            self.recorded_codes(),
            self.native,
            handling,
            self.sizes
                .as_ref()
                .map(|buckets| Bounds::bytes(buckets.bounds()))
                .as_ref(),
            self.message_times.as_ref().map(seconds).as_ref(),
        )
    }
}
