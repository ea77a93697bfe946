//! Pages in the content coding that the client prefers: gzip, or as they are.

use std::io::Write;

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Response};

/// The rank of a coding in thousandths, as `q` has it.
type Weight = u16;

const FULL: Weight = 1000;

/// A page whose content depends on `Accept` and `Accept-Encoding`.
pub(crate) fn page(
    headers: &HeaderMap,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let body = body.into();
    let zipped = prefers_gzip(headers).then(|| gzip(&body)).flatten();
    let is_zipped = zipped.is_some();
    let mut response = Body::from(zipped.unwrap_or(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if is_zipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The fastest level: a page with many series shrinks to a fortieth at each level.
fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// RFC 9110, section 12.5.3: gzip is acceptable, and not less than the plain page.
fn prefers_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut others) = (None, None, None);
    for value in headers.get_all(ACCEPT_ENCODING) {
        let Ok(value) = value.to_str() else { continue };
        for element in value.split(',') {
            let mut parts = element.split(';');
            let coding = parts.next().unwrap_or_default().trim();
            let weight = weight(parts.next());
            let is = |name: &str| coding.eq_ignore_ascii_case(name);
            if is("gzip") || is("x-gzip") {
                gzip = Some(weight);
            } else if is("identity") {
                identity = Some(weight);
            } else if is("*") {
                others = Some(weight);
            }
        }
    }
    let gzip = gzip.or(others).unwrap_or(0);
    // A plain page that the client does not name is the last resort.
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// The weight of `q=0.5`; an invalid one is 0.
fn weight(parameter: Option<&str>) -> Weight {
    let Some(parameter) = parameter else {
        return FULL;
    };
    let parsed = parameter.split_once('=').and_then(|(name, value)| {
        let is_q = name.trim().eq_ignore_ascii_case("q");
        is_q.then(|| value.trim()).and_then(thousandths)
    });
    parsed.unwrap_or(0)
}

/// `0` or `1` with at most three decimals, at most 1.
fn thousandths(value: &str) -> Option<Weight> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let is_decimal = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match whole {
        "0" => 0,
        "1" => FULL,
        _ => return None,
    };
    let decimals: Weight = format!("{decimals:0<3}").parse().ok()?;
    (is_decimal && whole + decimals <= FULL).then_some(whole + decimals)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;

    use super::*;

    fn accepting(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn gzip_is_chosen_as_rfc_9110_weighs_it() {
        for lines in [
            ["gzip"].as_slice(),
            &["GZip"],
            &["x-gzip"],
            &["deflate, gzip;q=0.5, br"],
            &["gzip;q=1.000"],
            &["gzip ; q=0.001"],
            &["gzip;Q=0.8, identity;q=0.8"],
            &["br", "gzip"],
            &["*"],
            &["identity;q=0.5, *"],
            &["*;q=0.1, gzip"],
        ] {
            assert!(prefers_gzip(&accepting(lines)), "{lines:?}");
        }
        for lines in [
            [].as_slice(),
            &[""],
            &["identity"],
            &["br, deflate"],
            &["gzip;q=0"],
            &["gzip;q=0.000"],
            &["gzip;Q=0"],
            &["gzip;q=0, *"],
            &["*;q=0"],
            &["gzip;q=0.5, identity"],
            &["gzip;q=0.5, identity;q=0.6"],
            &["gzip;q=2"],
            &["gzip;q=1.001"],
            &["gzip;q=0.0001"],
            &["gzip;q=-1"],
            &["gzip;q=nan"],
            &["gzip;q="],
            &["gzipx"],
        ] {
            assert!(!prefers_gzip(&accepting(lines)), "{lines:?}");
        }
    }

    #[tokio::test]
    async fn a_page_is_the_same_in_both_codings_and_says_that_it_varies() {
        let text = "a_metric_total 1\n".repeat(1000);
        for (accept, coding) in [("gzip", Some("gzip")), ("gzip;q=0", None)] {
            let response = page(&accepting(&[accept]), "text/plain", text.clone());
            assert_eq!(response.headers()[VARY], "accept, accept-encoding");
            assert_eq!(response.headers()[CONTENT_TYPE], "text/plain");
            let found = response.headers().get(CONTENT_ENCODING);
            assert_eq!(found.map(HeaderValue::as_bytes), coding.map(str::as_bytes));
            let sent = response.into_body().collect().await.unwrap().to_bytes();
            let mut read = String::new();
            if coding.is_some() {
                assert!(sent.len() < text.len() / 40, "{}", sent.len());
                GzDecoder::new(&sent[..]).read_to_string(&mut read).unwrap();
            } else {
                read = String::from_utf8(sent.into()).unwrap();
            }
            assert_eq!(read, text);
        }
    }
}
