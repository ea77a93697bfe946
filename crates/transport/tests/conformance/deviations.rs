//! The cases that a transport does not pass.

/// A case that a transport is known not to pass. The suite fails if it passes after all, or fails
/// in another way.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// Theme and case.
    pub(crate) case: &'static str,
    /// A part of the failure's text.
    pub(crate) observed: &'static str,
    pub(crate) why: &'static str,
}

/// What our transport does not do yet.
pub(crate) const TRANSPORT: &[Deviation] = &[
    Deviation {
        case: "streaming::an_upload_ends_once_its_answer_is_complete",
        observed: "resets: []",
        why: "hyper's task holds the stream until the peer takes the rest of the upload or resets it",
    },
    Deviation {
        case: "loss::a_refused_stream_is_sent_again_once",
        observed: "not sent again: Unavailable",
        why: "hyper gives a request back only if it has not been sent",
    },
    Deviation {
        case: "resets::a_reset_during_the_response_has_the_code_of_the_protocol",
        observed: "NO_ERROR: no error",
        why: "hyper ends the body there, as HTTP allows; the status is missing, and the caller has to see it",
    },
    Deviation {
        case: "go_away::a_stream_above_the_last_one_is_sent_again_once",
        observed: "ended without another connection: Unavailable",
        why: "hyper gives a request back only if it has not been sent",
    },
    Deviation {
        case: "cancel::late_answers_to_cancelled_calls_are_ignored",
        observed: "the client closed the connection, error code Some(11)",
        why: "h2 ends a connection after 1024 late frames in its life: max_local_error_reset_streams",
    },
    Deviation {
        case: "cancel::a_dropped_response_body_takes_its_upload_with_it",
        observed: "the body is still held",
        why: "hyper's task holds the stream until the upload ends",
    },
    Deviation {
        case: "connect::a_peer_that_accepts_and_closes_is_backed_off_from",
        observed: "more than 20 connections in a second",
        why: "a connection counts as open before the peer's SETTINGS, and so resets the backoff",
    },
];

/// What tonic's channel does not do, with its feature `server`.
pub(crate) const TONIC: &[Deviation] = &[
    Deviation {
        case: "unary::a_call_has_no_deadline_but_its_callers",
        observed: "Timeout expired",
        why: "tonic's channel enforces grpc-timeout, as CANCELLED",
    },
    Deviation {
        case: "requests::the_user_agent_of_the_caller_stays",
        observed: "probe/1.2 tonic/",
        why: "tonic appends its own",
    },
    Deviation {
        case: "streaming::an_upload_ends_once_its_answer_is_complete",
        observed: "resets: []",
        why: "as ours: hyper",
    },
    Deviation {
        case: "loss::a_connection_lost_before_the_response_is_unavailable",
        observed: "left: Unknown",
        why: "tonic's code of a lost connection is UNKNOWN",
    },
    Deviation {
        case: "loss::a_connection_lost_before_the_request_was_read_is_unavailable",
        observed: "left: Unknown",
        why: "tonic's code of a lost connection is UNKNOWN",
    },
    Deviation {
        case: "loss::a_connection_lost_during_the_response_is_unavailable",
        observed: "left: Unknown",
        why: "tonic's code of a lost connection is UNKNOWN",
    },
    Deviation {
        case: "loss::a_loss_fails_every_call_of_the_connection",
        observed: "left: Unknown",
        why: "tonic's code of a lost connection is UNKNOWN",
    },
    Deviation {
        case: "loss::the_next_call_after_a_loss_connects_again_at_once",
        observed: "ended without another connection: Cancelled",
        why: "a request that the closed connection had not sent is CANCELLED, and not sent again",
    },
    Deviation {
        case: "loss::a_request_that_was_not_sent_goes_over_the_next_connection",
        observed: "ended without another connection: Cancelled",
        why: "a request that the closed connection had not sent is CANCELLED, and not sent again",
    },
    Deviation {
        case: "loss::a_request_is_sent_again_once_and_not_twice",
        observed: "connections\n  left: 1",
        why: "a request that the closed connection had not sent is CANCELLED, and not sent again",
    },
    Deviation {
        case: "loss::a_refused_stream_is_sent_again_once",
        observed: "not sent again: Unavailable",
        why: "as ours: hyper",
    },
    Deviation {
        case: "resets::a_reset_before_the_response_has_the_code_of_the_protocol",
        observed: "STREAM_CLOSED: Unknown, HTTP_1_1_REQUIRED: Unknown",
        why: "tonic leaves out what gRPC's mapping leaves out",
    },
    Deviation {
        case: "resets::a_reset_during_the_response_has_the_code_of_the_protocol",
        observed: "NO_ERROR: no error, STREAM_CLOSED: Unknown, HTTP_1_1_REQUIRED: Unknown",
        why: "both of the above",
    },
    Deviation {
        case: "resets::a_failure_is_a_status_whatever_tonic_knows",
        observed: "tonic::transport::Error",
        why: "the status depends on tonic's feature `server`",
    },
    Deviation {
        case: "go_away::streams_up_to_the_last_one_complete_and_new_calls_connect_again",
        observed: "ended without another connection: Cancelled",
        why: "a request that the closed connection had not sent is CANCELLED, and not sent again",
    },
    Deviation {
        case: "go_away::a_graceful_shutdown_in_two_steps_fails_no_call",
        observed: "ended without another connection: Cancelled",
        why: "a request that the closed connection had not sent is CANCELLED, and not sent again",
    },
    Deviation {
        case: "go_away::a_stream_above_the_last_one_is_unavailable_or_sent_again",
        observed: "Internal",
        why: "tonic's code of a connection's error is that of a reset stream",
    },
    Deviation {
        case: "go_away::a_stream_above_the_last_one_is_sent_again_once",
        observed: "ended without another connection: Internal",
        why: "as ours: hyper",
    },
    Deviation {
        case: "go_away::an_error_of_the_connection_is_unavailable_to_its_calls",
        observed: "left: Internal",
        why: "tonic's code of a connection's error is that of a reset stream",
    },
    Deviation {
        case: "cancel::late_answers_to_cancelled_calls_are_ignored",
        observed: "the client closed the connection, error code Some(11)",
        why: "as ours: h2",
    },
    Deviation {
        case: "cancel::a_dropped_response_body_takes_its_upload_with_it",
        observed: "the body is still held",
        why: "as ours: hyper",
    },
    Deviation {
        case: "keep_alive::a_peer_that_hangs_during_the_response_is_given_up",
        observed: "left: Unknown",
        why: "tonic's code of a lost connection is UNKNOWN",
    },
    Deviation {
        case: "connect::a_refused_connection_is_unavailable_and_names_its_address",
        observed: "refused by the test",
        why: "the message is `transport error`; the reason is its source, without the address",
    },
    Deviation {
        case: "connect::an_attempt_ends_after_a_second_and_names_its_address",
        observed: "left: Unknown",
        why: "a timeout to connect is UNKNOWN",
    },
    Deviation {
        case: "connect::a_hundred_callers_share_one_attempt_and_its_failure",
        observed: "left: 200",
        why: "tonic connects at each call, without backoff",
    },
    Deviation {
        case: "connect::attempts_back_off_from_50_ms_to_a_second",
        observed: "pause 0: 1 ms",
        why: "tonic connects at each call, without backoff",
    },
    Deviation {
        case: "connect::a_connection_that_opens_resets_the_backoff",
        observed: "4999 attempts",
        why: "tonic connects at each call, without backoff",
    },
    Deviation {
        case: "connect::a_peer_that_accepts_and_closes_is_backed_off_from",
        observed: "left: Cancelled",
        why: "a request that the closed connection had not sent is CANCELLED, and not sent again",
    },
    Deviation {
        case: "hostile::a_peer_that_speaks_http_1_is_unavailable",
        observed: "left: Internal",
        why: "tonic's code of a connection's error is that of a reset stream",
    },
    Deviation {
        case: "hostile::a_peer_that_sends_noise_is_unavailable",
        observed: "left: Internal",
        why: "tonic's code of a connection's error is that of a reset stream",
    },
    Deviation {
        case: "hostile::a_peer_that_speaks_tls_is_unavailable",
        observed: "left: Internal",
        why: "tonic's code of a connection's error is that of a reset stream",
    },
    Deviation {
        case: "hostile::a_frame_on_a_stream_that_nobody_opened_ends_the_connection",
        observed: "left: Internal",
        why: "tonic's code of a connection's error is that of a reset stream",
    },
    Deviation {
        case: "hostile::a_frame_above_16_kib_ends_the_connection",
        observed: "left: Internal",
        why: "tonic's code of a connection's error is that of a reset stream",
    },
];
