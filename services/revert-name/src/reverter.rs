//! The handler: validates the request, waits for its delay, reverses the name.

use std::time::Duration;

use tonic::{Request, Response, Status};
use unicode_segmentation::UnicodeSegmentation;
use vitalmesh_proto::revert_name::v1::revert_name_service_server::RevertNameService;
use vitalmesh_proto::revert_name::v1::{RevertNameRequest, RevertNameResponse};

use crate::faults;

const MAX_NAME_BYTES: usize = 1024;
const MAX_NAME_GRAPHEMES: usize = 256;
const MAX_DELAY_SECONDS: i32 = 3600;

/// Reverses names by grapheme cluster.
#[derive(Clone, Copy, Debug)]
pub struct Reverter {
    faults_on_demand: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidRequest {
    #[error("name has {0} bytes; send at most {MAX_NAME_BYTES}")]
    NameBytes(usize),
    #[error("name has {0} grapheme clusters; send at most {MAX_NAME_GRAPHEMES}")]
    NameGraphemes(usize),
    #[error("delay is {0}; send 0 to {MAX_DELAY_SECONDS} seconds")]
    Delay(i32),
}

// === impl Reverter ===

impl Reverter {
    /// With `faults_on_demand`, a name such as `not_found` fails with that status, and `exception`
    /// panics.
    pub const fn new(faults_on_demand: bool) -> Self {
        Self { faults_on_demand }
    }
}

impl Default for Reverter {
    fn default() -> Self {
        Self::new(true)
    }
}

#[tonic::async_trait]
impl RevertNameService for Reverter {
    async fn revert_name(
        &self,
        request: Request<RevertNameRequest>,
    ) -> Result<Response<RevertNameResponse>, Status> {
        let RevertNameRequest { name, delay } = request.into_inner();
        check_name(&name)?;
        let delay = check_delay(delay)?;
        // A sleep of zero would wait for the timer's next millisecond.
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if self.faults_on_demand {
            faults::on_demand(&name)?;
        }
        let name = reversed(&name);
        Ok(Response::new(RevertNameResponse { name }))
    }
}

// === impl InvalidRequest ===

impl From<InvalidRequest> for Status {
    fn from(invalid: InvalidRequest) -> Self {
        Self::invalid_argument(invalid.to_string())
    }
}

fn check_name(name: &str) -> Result<(), InvalidRequest> {
    if name.len() > MAX_NAME_BYTES {
        return Err(InvalidRequest::NameBytes(name.len()));
    }
    match name.graphemes(true).count() {
        0..=MAX_NAME_GRAPHEMES => Ok(()),
        graphemes => Err(InvalidRequest::NameGraphemes(graphemes)),
    }
}

fn check_delay(seconds: i32) -> Result<Duration, InvalidRequest> {
    match u64::try_from(seconds) {
        Ok(delay) if seconds <= MAX_DELAY_SECONDS => Ok(Duration::from_secs(delay)),
        _ => Err(InvalidRequest::Delay(seconds)),
    }
}

fn reversed(name: &str) -> String {
    name.graphemes(true).rev().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::Instant;
    use tonic::Code;

    use super::*;

    const E_ACUTE: &str = "e\u{301}";
    const FAMILY: &str = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    const HANGUL_JAMO: &str = "\u{1112}\u{1161}\u{11ab}";

    async fn revert(reverter: Reverter, name: &str, delay: i32) -> Result<String, Status> {
        let name = name.to_owned();
        let request = Request::new(RevertNameRequest { name, delay });
        let response = reverter.revert_name(request).await?;
        Ok(response.into_inner().name)
    }

    #[tokio::test]
    async fn names_are_reversed() {
        for (name, expected) in [
            ("", ""),
            ("Ana", "anA"),
            ("OK", "KO"),
            (&format!("Rene{E_ACUTE}"), &format!("{E_ACUTE}eneR")),
            ("🇩🇪🇫🇷", "🇫🇷🇩🇪"),
            (&format!("a{FAMILY}b"), &format!("b{FAMILY}a")),
            (&format!("{HANGUL_JAMO}x"), &format!("x{HANGUL_JAMO}")),
            ("a\r\nb", "b\r\na"),
            ("👍🏽!", "!👍🏽"),
        ] {
            assert_eq!(
                revert(Reverter::default(), name, 0).await.unwrap(),
                expected
            );
        }
    }

    #[tokio::test]
    async fn a_name_is_accepted_up_to_its_limits() {
        let reverter = Reverter::default();
        let wide = "👍🏽".repeat(128);
        for (name, refusal) in [
            ("a".repeat(256), None),
            (
                "a".repeat(257),
                Some("name has 257 grapheme clusters; send at most 256"),
            ),
            (E_ACUTE.repeat(256), None),
            (wide.clone(), None),
            (wide + "a", Some("name has 1025 bytes; send at most 1024")),
        ] {
            let refused = revert(reverter, &name, 0).await.err();
            let refused = refused.map(|status| (status.code(), status.message().to_owned()));
            let expected = refusal.map(|message| (Code::InvalidArgument, message.to_owned()));
            assert_eq!(refused, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_its_delay() {
        for seconds in [0, 1, 3600] {
            let start = Instant::now();
            revert(Reverter::default(), "Ana", seconds).await.unwrap();
            assert_eq!(start.elapsed().as_secs(), u64::try_from(seconds).unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_out_of_range_is_rejected_at_once() {
        let start = Instant::now();
        for delay in [-1, 3601, i32::MIN, i32::MAX] {
            let status = revert(Reverter::default(), "Ana", delay).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert_eq!(
                status.message(),
                format!("delay is {delay}; send 0 to 3600 seconds")
            );
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_comes_after_the_delay() {
        let start = Instant::now();
        let status = revert(Reverter::default(), "unavailable", 2)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test]
    async fn without_faults_on_demand_every_name_is_reversed() {
        let reverter = Reverter::new(false);
        for (name, expected) in [
            ("NOT_FOUND", "DNUOF_TON"),
            ("exception", "noitpecxe"),
            ("key_error", "rorre_yek"),
        ] {
            assert_eq!(revert(reverter, name, 0).await.unwrap(), expected);
        }
    }

    /// Clusters that do not join with another of the list, in either order.
    fn cluster() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "a",
            "Z",
            "7",
            " ",
            "-",
            E_ACUTE,
            "ñ",
            "字",
            "🙂",
            FAMILY,
            "👍🏽",
            "☕\u{fe0f}",
            HANGUL_JAMO,
            "각",
            "नि",
        ])
    }

    proptest! {
        #[test]
        fn reversing_twice_restores_the_clusters(clusters in prop::collection::vec(cluster(), 0..=256)) {
            let name = clusters.concat();
            let expected: String = clusters.iter().rev().copied().collect();
            prop_assert_eq!(reversed(&name), expected);
            prop_assert_eq!(reversed(&reversed(&name)), name);
        }

        #[test]
        fn any_text_keeps_its_clusters(name in "\\PC{0,64}|.{0,64}") {
            let mut clusters: Vec<_> = name.graphemes(true).collect();
            clusters.reverse();
            prop_assert_eq!(reversed(&name), clusters.concat());
            prop_assert_eq!(reversed(&name).len(), name.len());
        }

        #[test]
        fn names_are_valid_exactly_within_the_limits(clusters in prop::collection::vec(cluster(), 0..=300)) {
            let name = clusters.concat();
            let fits = name.len() <= 1024 && clusters.len() <= 256;
            prop_assert_eq!(check_name(&name).is_ok(), fits);
        }
    }
}
