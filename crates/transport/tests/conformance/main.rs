//! What a transport does, shown against peers that control each frame.
//!
//! Each case runs against every [`stack::Stack`]: our transport in memory and over TCP, and tonic's
//! own channel, which shows that the cases are about behaviour and not about one implementation.
//! Cases under `timed` run in memory under paused time. [`deviations`] lists what a stack does not
//! pass.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod client;
mod deviations;
mod frame;
mod peer;
mod served;
mod stack;
mod wire;

mod cancel;
mod connect;
mod go_away;
mod hostile;
mod keep_alive;
mod loss;
mod requests;
mod resets;
mod sharing;
mod streaming;
mod unary;

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::runtime::Builder;
use tokio::time::timeout;

use self::stack::{InMemory, OverTcp, Stack, Tonic};

/// Runs a case; one that the stack is known not to pass has to fail as the table says.
fn run<S: Stack>(case: &str, test: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder
        .enable_all()
        .start_paused(S::PAUSED)
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        let ended = timeout(S::PATIENCE, Box::pin(test));
        AssertUnwindSafe(ended).catch_unwind().await
    });
    let failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some("it does not end".to_owned()),
        Err(panic) => Some(message(&*panic)),
    };
    let deviation = S::DEVIATIONS
        .iter()
        .find(|deviation| deviation.case == case);
    match (failure, deviation) {
        (None, None) => {}
        (Some(failure), None) => panic!("{failure}"),
        (None, Some(deviation)) => panic!("passes; no longer so: {}", deviation.why),
        (Some(failure), Some(deviation)) => assert!(
            failure.contains(deviation.observed),
            "fails otherwise than the table of deviations says: {failure}"
        ),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_default()
}

macro_rules! suite {
    (
        core { $($core:ident { $($core_case:ident)* })* }
        timed { $($timed:ident { $($timed_case:ident)* })* }
    ) => {
        const CASES: &[&str] = &[
            $($(concat!(stringify!($core), "::", stringify!($core_case)),)*)*
            $($(concat!(stringify!($timed), "::", stringify!($timed_case)),)*)*
        ];

        suite! { @stack in_memory InMemory $($core { $($core_case)* })* }
        suite! { @stack in_memory_timed InMemory $($timed { $($timed_case)* })* }
        suite! { @stack tonic_channel Tonic $($core { $($core_case)* })* }
        suite! { @stack tonic_channel_timed Tonic $($timed { $($timed_case)* })* }
        suite! { @stack over_tcp OverTcp $($core { $($core_case)* })* }
    };
    (@stack $module:ident $stack:ident $($theme:ident { $($case:ident)* })*) => {
        mod $module {
            $(suite! { @theme $stack $theme { $($case)* } })*
        }
    };
    (@theme $stack:ident $theme:ident { $($case:ident)* }) => {
        mod $theme {
            $(
                #[test]
                fn $case() {
                    let name = concat!(stringify!($theme), "::", stringify!($case));
                    crate::run::<crate::$stack>(name, crate::$theme::$case::<crate::$stack>());
                }
            )*
        }
    };
}

suite! {
    core {
        unary {
            the_status_arrives_in_the_trailers
            a_response_of_headers_alone_carries_the_status
            a_mebibyte_arrives_whole_in_both_directions
            padding_and_continuations_are_taken_off
            an_interim_response_is_skipped
            a_response_that_is_not_grpc_passes_through
        }
        requests {
            the_pseudo_headers_name_the_origin_and_the_method
            the_origin_replaces_an_authority_that_the_request_has
            the_headers_of_the_caller_arrive_as_they_are
            headers_of_http_1_connections_are_left_out
            a_request_without_a_user_agent_gets_one
            the_user_agent_of_the_caller_stays
        }
        streaming {
            each_message_is_answered_before_the_next_is_sent
            the_response_may_begin_before_the_request_has_a_body
            an_answer_before_the_end_of_the_upload_stands
            a_failing_upload_resets_its_stream_alone
        }
        sharing {
            a_hundred_concurrent_calls_share_one_connection
            calls_in_a_row_use_one_connection
            a_reset_stream_leaves_the_others_alone
        }
        loss {
            a_connection_lost_before_the_response_is_unavailable
            a_connection_lost_before_the_request_was_read_is_unavailable
            a_connection_lost_during_the_response_is_unavailable
            what_arrived_before_the_loss_can_be_read
            a_loss_fails_every_call_of_the_connection
            an_idle_connection_that_is_shut_down_is_replaced
            a_request_that_was_not_sent_goes_over_the_next_connection
        }
        resets {
            a_reset_before_the_response_has_the_code_of_the_protocol
            a_reset_during_the_response_has_the_code_of_the_protocol
            a_failure_is_a_status_whatever_tonic_knows
        }
        go_away {
            streams_up_to_the_last_one_complete_and_new_calls_connect_again
            a_graceful_shutdown_in_two_steps_fails_no_call
            a_stream_above_the_last_one_is_unavailable_or_sent_again
            an_error_of_the_connection_is_unavailable_to_its_calls
        }
        cancel {
            a_dropped_call_is_cancelled_at_the_peer
            a_dropped_response_body_is_cancelled_at_the_peer
            late_answers_to_cancelled_calls_are_ignored
        }
        keep_alive {
            a_ping_of_the_peer_is_answered
        }
        hostile {
            a_peer_that_speaks_http_1_is_unavailable
            a_peer_that_sends_noise_is_unavailable
            a_peer_that_speaks_tls_is_unavailable
            a_header_list_of_15_kib_is_accepted
            a_header_list_above_16_kib_fails_its_call_alone
            an_endless_header_list_ends_the_connection
            data_before_the_response_fails_the_call
            a_frame_on_a_stream_that_nobody_opened_ends_the_connection
            a_frame_above_16_kib_ends_the_connection
            a_response_without_a_status_line_fails_its_call
            an_upper_case_header_fails_its_call
        }
    }
    timed {
        unary {
            a_call_has_no_deadline_but_its_callers
        }
        streaming {
            an_upload_stalls_at_the_window_of_the_peer
            a_larger_initial_window_lets_a_stalled_upload_go_on
            a_response_that_is_not_read_stalls_the_peer
            a_response_that_is_not_read_leaves_room_for_other_calls
            unread_bytes_of_cancelled_calls_are_given_back
            an_upload_ends_once_its_answer_is_complete
            a_peer_that_exceeds_the_window_fails_the_call
        }
        sharing {
            calls_above_the_limit_of_the_peer_wait
            a_raised_limit_lets_waiting_calls_go
            a_call_that_stops_waiting_for_the_limit_is_not_run
            the_connection_closes_with_the_last_handle_and_call
        }
        loss {
            the_next_call_after_a_loss_connects_again_at_once
            an_idle_loss_is_not_seen_by_the_next_call
            a_request_is_sent_again_once_and_not_twice
            a_refused_stream_is_sent_again_once
        }
        go_away {
            a_stream_above_the_last_one_is_sent_again_once
        }
        cancel {
            a_dropped_call_takes_its_stalled_upload_with_it
            a_dropped_response_body_takes_its_upload_with_it
            a_reset_by_the_peer_ends_the_upload
            an_attempt_to_connect_outlives_the_call_that_began_it
        }
        keep_alive {
            a_peer_that_hangs_is_given_up_after_interval_and_timeout
            a_peer_that_hangs_during_the_response_is_given_up
            a_connection_that_hangs_while_idle_is_replaced
            a_slow_peer_that_answers_pings_is_kept
        }
        connect {
            nothing_connects_before_the_first_call
            a_refused_connection_is_unavailable_and_names_its_address
            an_attempt_ends_after_a_second_and_names_its_address
            a_peer_that_never_speaks_is_given_up
            a_hundred_callers_share_one_attempt_and_its_failure
            a_hundred_callers_share_one_attempt_and_its_connection
            attempts_back_off_from_50_ms_to_a_second
            a_connection_that_opens_resets_the_backoff
            a_peer_that_comes_back_is_found_within_a_second
            a_peer_that_accepts_and_closes_is_backed_off_from
            calls_survive_a_restart_of_the_peer
        }
        hostile {
            data_after_the_end_of_the_stream_changes_nothing
        }
    }
}

#[test]
fn each_deviation_is_of_a_case() {
    for deviation in deviations::TRANSPORT.iter().chain(deviations::TONIC) {
        assert!(CASES.contains(&deviation.case), "{}", deviation.case);
    }
}
