//! The gRPC status of a call whose stream or connection failed.

use std::error::Error;
use std::iter;

use h2::Reason;
use tonic::{Code, Status};

/// The status of a call that ended with `error`.
///
/// Not `Status::from_error`: which HTTP/2 errors that one knows depends on the features of tonic
/// that some other crate of the program enables.
pub(crate) fn status(error: &hyper::Error) -> Status {
    let h2 = causes(error).find_map(|cause| cause.downcast_ref::<h2::Error>());
    match h2 {
        Some(h2) if !h2.is_io() && !h2.is_go_away() => stream_status(h2),
        // Keep-alive timeouts, and requests that no connection took, have no h2 error.
        _ => Status::unavailable(format!("the connection was lost: {}", root_cause(error))),
    }
}

fn stream_status(error: &h2::Error) -> Status {
    // No reason: the request violates HTTP/2.
    let code = error.reason().map_or(Code::Internal, reset_code);
    Status::new(code, format!("the stream failed: {error}"))
}

/// The codes of gRPC's HTTP/2 mapping, and those of grpc-go for the reasons that it leaves out.
const fn reset_code(reason: Reason) -> Code {
    match reason {
        Reason::REFUSED_STREAM => Code::Unavailable,
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        Reason::NO_ERROR
        | Reason::PROTOCOL_ERROR
        | Reason::INTERNAL_ERROR
        | Reason::FLOW_CONTROL_ERROR
        | Reason::SETTINGS_TIMEOUT
        | Reason::STREAM_CLOSED
        | Reason::FRAME_SIZE_ERROR
        | Reason::COMPRESSION_ERROR
        | Reason::CONNECT_ERROR
        | Reason::HTTP_1_1_REQUIRED => Code::Internal,
        _ => Code::Unknown,
    }
}

/// The innermost cause, which names the system's error.
pub(crate) fn root_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (**error).source()
    })
}
