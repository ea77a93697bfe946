//! The format and the coding of a page, chosen by RFC 9110, sections 12.5.1 and 12.5.3.

use super::accept::{self, Preference, Weight};

/// The content of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Page(Format),
    /// `io.prometheus.client.MetricFamily`, delimited: the only format with native histograms.
    Protobuf,
}

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

/// A format's media type.
struct MediaType {
    content: Content,
    kind: &'static str,
    subtype: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

/// How closely a media range names a media type; the closest range decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    /// `*/*`
    Any,
    /// `text/*`
    Kind,
    /// `text/plain`, and the number of parameters that it names.
    Type(usize),
}

/// In the order of preference, for clients that name several with the same weight.
const OFFERS: [MediaType; 3] = [
    MediaType {
        content: Content::Page(Format::OpenMetrics),
        kind: "application",
        subtype: "openmetrics-text",
        parameters: &[("version", "1.0.0"), ("charset", "utf-8")],
    },
    MediaType {
        content: Content::Protobuf,
        kind: "application",
        subtype: "vnd.google.protobuf",
        parameters: &[
            ("proto", "io.prometheus.client.MetricFamily"),
            ("encoding", "delimited"),
        ],
    },
    MediaType {
        content: Content::Page(Format::Text),
        kind: "text",
        subtype: "plain",
        parameters: &[("version", "0.0.4"), ("charset", "utf-8")],
    },
];

/// Prometheus 3 asks for names in an escaping. All names of a page are valid in each of them.
const ESCAPING: &str = "escaping";

/// The format of the page for this `Accept` header: text if the client names none, or none of ours.
pub(crate) fn format(accept: Option<&str>) -> Format {
    let is_page = |offer: &&MediaType| offer.content != Content::Protobuf;
    match best(accept, OFFERS.iter().filter(is_page)) {
        Content::Page(format) => format,
        Content::Protobuf => Format::Text,
    }
}

/// The content for this `Accept` header: text if the client names none, or none of ours.
pub(crate) fn content(accept: Option<&str>) -> Content {
    best(accept, OFFERS.iter())
}

fn best<'a>(accept: Option<&str>, offers: impl Iterator<Item = &'a MediaType>) -> Content {
    let ranges: Vec<_> = accept::preferences(accept.unwrap_or_default()).collect();
    let mut best = (0, Closeness::Any, Content::Page(Format::Text));
    for offer in offers {
        let Some((closeness, weight)) = offer.weight(&ranges) else {
            continue;
        };
        // The number of parameters decides between ranges, not between formats.
        let closeness = closeness.min(Closeness::Type(0));
        let order = (weight, closeness).cmp(&(best.0, best.1));
        // A client that takes anything gets text.
        let text = closeness == Closeness::Any && offer.content == Content::Page(Format::Text);
        if weight > 0 && (order.is_gt() || order.is_eq() && text) {
            best = (weight, closeness, offer.content);
        }
    }
    best.2
}

/// Whether gzip is acceptable for this `Accept-Encoding` header, and not less than a plain page.
pub(crate) fn prefers_gzip(accept_encoding: &str) -> bool {
    let (mut gzip, mut identity, mut others) = (None, None, None);
    for coding in accept::preferences(accept_encoding) {
        let is = |name: &str| coding.value.eq_ignore_ascii_case(name);
        let found = match () {
            () if is("gzip") || is("x-gzip") => &mut gzip,
            () if is("identity") => &mut identity,
            () if is("*") => &mut others,
            () => continue,
        };
        *found = (*found).max(Some(coding.weight));
    }
    // A plain page that the client does not name is the last resort.
    let gzip = gzip.or(others).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

// === impl Content ===

impl Content {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Page(format) => format.content_type(),
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }
}

// === impl Format ===

impl Format {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

// === impl MediaType ===

impl MediaType {
    /// The closeness and weight of the closest range, if any range includes this type.
    fn weight(&self, ranges: &[Preference<'_>]) -> Option<(Closeness, Weight)> {
        let including = ranges
            .iter()
            .filter_map(|range| Some((self.closeness(range)?, range.weight)));
        including.max()
    }

    fn closeness(&self, range: &Preference<'_>) -> Option<Closeness> {
        let (kind, subtype) = range.value.split_once('/')?;
        let named = range.parameters.iter();
        let mut named = named.filter(|(name, _)| !name.eq_ignore_ascii_case(ESCAPING));
        let count = named.clone().count();
        if !named.all(|(name, value)| self.has(name, value)) {
            return None;
        }
        match (kind, subtype) {
            ("*", "*") => Some(Closeness::Any),
            (kind, "*") if kind.eq_ignore_ascii_case(self.kind) => Some(Closeness::Kind),
            (kind, subtype) => (kind.eq_ignore_ascii_case(self.kind)
                && subtype.eq_ignore_ascii_case(self.subtype))
            .then_some(Closeness::Type(count)),
        }
    }

    fn has(&self, name: &str, value: &str) -> bool {
        let mut own = self.parameters.iter();
        own.any(|(own, expected)| {
            name.eq_ignore_ascii_case(own) && value.eq_ignore_ascii_case(expected)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_format_is_chosen_by_rfc_9110() {
        use Format::{OpenMetrics, Text};
        let prometheus2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let prometheus3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,\
            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,\
            */*;q=0.1";
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, expected) in [
            (prometheus2, OpenMetrics),
            (prometheus3, OpenMetrics),
            (browser, Text),
            ("", Text),
            ("*/*", Text),
            ("text/plain", Text),
            ("image/png", Text),
            ("application/openmetrics-text", OpenMetrics),
            // Names have no case, and values of these parameters have none either.
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\"",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;VERSION=1.0.0;CharSet=UTF-8",
                OpenMetrics,
            ),
            ("application/openmetrics-text; version=1.0.0; q=0", Text),
            ("application/openmetrics-text; version=1.0.0; Q=0", Text),
            ("application/openmetrics-text; version=1.0.0; Q=0.000", Text),
            ("application/openmetrics-text; version=0.0.1", Text),
            ("application/openmetrics-text; Version=0.0.1", Text),
            ("application/openmetrics-text; version=\"0.0.1\"", Text),
            // A parameter that the page's type does not have.
            ("application/openmetrics-text; charset=utf-16", Text),
            ("application/openmetrics-text; format=long", Text),
            // Weights.
            ("application/openmetrics-text;q=0.2, text/plain;q=0.3", Text),
            (
                "application/openmetrics-text;q=0.3, text/plain;Q=0.2",
                OpenMetrics,
            ),
            ("application/openmetrics-text;q=0.5, text/*;q=0.9", Text),
            (
                "application/openmetrics-text;q=0.5, Text/*;q=0.4",
                OpenMetrics,
            ),
            ("application/openmetrics-text;q=0.5, */*;q=0.9", Text),
            ("application/openmetrics-text;q=0.9, */*;q=0.5", OpenMetrics),
            ("application/openmetrics-text, text/plain", OpenMetrics),
            ("text/plain, application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text, */*", OpenMetrics),
            ("application/openmetrics-text;q=x", Text),
            ("application/openmetrics-text;q=x, text/plain;q=0.1", Text),
            // The closest range decides, wherever it is in the list.
            ("application/*", OpenMetrics),
            ("application/*, text/plain", Text),
            ("application/*;q=0.9, text/plain;q=0.8", OpenMetrics),
            ("application/openmetrics-text;q=0, application/*", Text),
            (
                "application/*, application/openmetrics-text;q=0.1, text/plain;q=0.5",
                Text,
            ),
            (
                "text/plain;q=0.1, text/*, application/openmetrics-text;q=0.5",
                OpenMetrics,
            ),
            (
                "text/plain;version=0.0.4;q=0.1, text/plain, application/openmetrics-text;q=0.5",
                OpenMetrics,
            ),
            (
                "text/plain;version=1.0.0, application/openmetrics-text;q=0.5",
                OpenMetrics,
            ),
            (
                "*/*;q=0.9, text/plain;q=0.1, application/openmetrics-text;q=0.2",
                OpenMetrics,
            ),
            // A comma or semicolon in a quoted string separates nothing.
            ("image/png;a=\", application/openmetrics-text\"", Text),
            ("application/openmetrics-text;version=\"1.0.0;q=0\"", Text),
            (
                "application/openmetrics-text ; version = 1.0.0 ;\tq=1 , text/plain;q=0.9",
                OpenMetrics,
            ),
            ("text/*;q=0, */*;q=0.1", OpenMetrics),
            // No acceptable format: the page is text, as without negotiation.
            ("text/plain;q=0, application/openmetrics-text;q=0", Text),
            // Not a media range.
            ("openmetrics-text", Text),
            ("*", Text),
            ("*/openmetrics-text", Text),
        ] {
            assert_eq!(format(Some(accept)), expected, "{accept}");
        }
        assert_eq!(format(None), Text);
    }

    #[test]
    fn protobuf_is_chosen_by_clients_that_name_it() {
        const PROTOBUF: &str = "application/vnd.google.protobuf;\
            proto=io.prometheus.client.MetricFamily;encoding=delimited";
        const OPENMETRICS: Content = Content::Page(Format::OpenMetrics);
        const TEXT: Content = Content::Page(Format::Text);
        let rest = "application/openmetrics-text;version=1.0.0;q=0.8,\
            application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let other = PROTOBUF.replace("delimited", "text");
        for (accept, expected) in [
            (format!("{PROTOBUF},{rest}"), Content::Protobuf),
            (
                format!("{PROTOBUF};escaping=allow-utf-8;q=0.6,text/plain;q=0.5"),
                Content::Protobuf,
            ),
            (format!("{PROTOBUF};q=0.7,{rest}"), OPENMETRICS),
            (format!("{PROTOBUF};q=0,{rest}"), OPENMETRICS),
            (format!("{other},text/plain;q=0.5"), TEXT),
            (
                "application/vnd.google.protobuf".to_owned(),
                Content::Protobuf,
            ),
            ("application/*".to_owned(), OPENMETRICS),
            ("*/*".to_owned(), TEXT),
        ] {
            assert_eq!(content(Some(&accept)), expected, "{accept}");
        }
        assert_eq!(format(Some(PROTOBUF)), Format::Text);
        let both = format!("{PROTOBUF},application/openmetrics-text;q=0.1");
        assert_eq!(format(Some(&both)), Format::OpenMetrics);
    }

    #[test]
    fn gzip_is_chosen_by_rfc_9110() {
        for accepted in [
            "gzip",
            "GZip",
            "x-gzip",
            "deflate, gzip;q=0.5, br",
            "gzip;q=1.000",
            "gzip ; q=0.001",
            "gzip;Q=0.8, identity;q=0.8",
            "*",
            "identity;q=0.5, *",
            "identity;q=0, *",
            "*;q=0.1, gzip",
            "gzip;q=0.5, *;q=0",
            "gzip;q=0, x-gzip",
        ] {
            assert!(prefers_gzip(accepted), "{accepted}");
        }
        for other in [
            "",
            "identity",
            "br, deflate",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip;Q=0",
            "gzip;q=0, *",
            "*;q=0",
            "identity;q=0",
            "gzip;q=0.5, identity",
            "gzip;q=0.5, identity;q=0.6",
            "gzip;q=2",
            "gzip;q=nan",
            "gzip;q=",
            "gzipx",
            "br;a=\", gzip\"",
        ] {
            assert!(!prefers_gzip(other), "{other}");
        }
    }

    /// One range of an `Accept` header with its weight in thousandths.
    fn range() -> impl Strategy<Value = (&'static str, Weight)> {
        let ranges = prop::sample::select(vec![
            "*/*",
            "text/*",
            "application/*",
            "text/plain",
            "text/plain;version=0.0.4",
            "text/plain;version=9",
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0",
            "application/openmetrics-text;version=0.0.1",
            "image/png",
        ]);
        (ranges, 0..=1_000_u16)
    }

    /// The weight of the first of these ranges, from the closest on, that the header has.
    fn weight_of(closest_first: [&str; 4], ranges: &[(&str, Weight)]) -> Weight {
        let weight = |name| {
            let same = ranges.iter().filter(|(range, _)| *range == name);
            same.map(|(_, weight)| *weight).max()
        };
        closest_first.into_iter().find_map(weight).unwrap_or(0)
    }

    proptest! {
        #[test]
        fn the_page_has_no_lower_weight_than_the_other_format(
            ranges in prop::collection::vec(range(), 0..6),
        ) {
            let list: Vec<_> = ranges.iter()
                .map(|(range, weight)| format!("{range};q={}.{:03}", weight / 1_000, weight % 1_000))
                .collect();
            let text = weight_of(
                ["text/plain;version=0.0.4", "text/plain", "text/*", "*/*"], &ranges,
            );
            let openmetrics = weight_of(
                ["application/openmetrics-text;version=1.0.0", "application/openmetrics-text",
                 "application/*", "*/*"], &ranges,
            );
            let chosen = format(Some(&list.join(", ")));
            let expected = match chosen {
                Format::Text => text >= openmetrics,
                Format::OpenMetrics => openmetrics >= text && openmetrics > 0,
            };
            prop_assert!(expected, "{list:?}: {chosen:?}, text {text}, OpenMetrics {openmetrics}");
        }
    }
}
