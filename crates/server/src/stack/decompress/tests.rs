use std::convert::Infallible;
use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tonic::Code;
use tower::{ServiceExt, service_fn};

use super::*;

const ENCODINGS: [&str; 3] = ["gzip", "deflate", "zstd"];

fn compressed(encoding: &str, message: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(message).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(message).unwrap();
            encoder.finish().unwrap()
        }
        _ => compress_to_vec(message, CompressionLevel::Fastest),
    }
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let size = u32::try_from(message.len()).unwrap();
    [&[flag], &size.to_be_bytes()[..], message].concat()
}

/// What the handler reads of a request that arrives in pieces of this size.
async fn handled(encoding: &str, sent: &[u8], piece: usize) -> Result<Vec<u8>, Status> {
    let pieces: Vec<_> = sent.chunks(piece).map(Bytes::copy_from_slice).collect();
    let pieces = pieces
        .into_iter()
        .map(|piece| Ok::<_, Status>(Frame::data(piece)));
    let handler = service_fn(async |request: Request<Body>| {
        let is_plain = !request.headers().contains_key(GRPC_ENCODING);
        let mut response = match request.into_body().collect().await {
            Ok(body) => Response::new(Body::new(http_body_util::Full::new(body.to_bytes()))),
            Err(status) => status.into_http(),
        };
        response
            .headers_mut()
            .insert("plain", u64::from(is_plain).into());
        Ok::<_, Infallible>(response)
    });
    let request = Request::builder().header(GRPC_ENCODING, encoding);
    let request = request.body(Body::new(StreamBody::new(stream::iter(pieces))));
    let response = DecompressLayer.layer(handler).oneshot(request.unwrap());
    let response = response.await.unwrap();
    let known = &response.headers()[GRPC_ACCEPT_ENCODING];
    assert_eq!(known, "gzip,deflate,zstd,identity");
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Err(status);
    }
    assert_eq!(response.headers()["plain"], "1");
    Ok(response
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .into())
}

#[tokio::test]
async fn messages_arrive_without_compression_however_the_request_is_cut() {
    let long = b"vitalmesh ".repeat(1000);
    for encoding in ENCODINGS {
        let sent = [
            framed(1, &compressed(encoding, b"one")),
            framed(0, b"plain"),
            framed(0, b""),
            framed(1, &compressed(encoding, &long)),
            framed(1, &compressed(encoding, b"")),
        ]
        .concat();
        let expected = [&b"one"[..], b"plain", b"", &long, b""].map(|m| framed(0, m));
        for piece in [1, 2, 7, sent.len()] {
            let read = handled(encoding, &sent, piece).await.unwrap();
            assert_eq!(read, expected.concat(), "{encoding} {piece}");
        }
    }
}

#[tokio::test]
async fn a_message_may_have_the_limit_and_not_a_byte_more() {
    for encoding in ENCODINGS {
        let zeros = vec![0; MAX_MESSAGE + 1];
        let fits = framed(1, &compressed(encoding, &zeros[1..]));
        let read = handled(encoding, &fits, 1 << 14).await.unwrap();
        assert_eq!(read.len(), PREFIX + MAX_MESSAGE);
        let sent = framed(1, &compressed(encoding, &zeros));
        let refused = handled(encoding, &sent, 1 << 14).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{encoding}");
    }
    // Refused by its size, before any of it is kept.
    let sent = [1, 0xff, 0xff, 0xff, 0xff];
    let refused = handled("gzip", &sent, 5).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_bomb_costs_the_limit_and_not_its_size() {
    let zeros = vec![0; 64 << 20];
    for encoding in ENCODINGS {
        let bomb = framed(1, &compressed(encoding, &zeros));
        let begun = tokio::time::Instant::now();
        let refused = handled(encoding, &bomb, 1 << 14).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{encoding}");
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_cannot_be_decompressed_is_an_invalid_argument() {
    for encoding in ENCODINGS {
        let valid = compressed(encoding, &b"vitalmesh".repeat(9));
        for wrong in [
            &b""[..],
            b"x",
            b"not compressed at all",
            &valid[..valid.len() / 2],
        ] {
            let refused = handled(encoding, &framed(1, wrong), 3).await;
            assert_eq!(
                refused.unwrap_err().code(),
                Code::InvalidArgument,
                "{encoding} {wrong:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_a_whole_message_is_an_invalid_argument() {
    for sent in [
        &framed(1, b"abc")[..6],
        &framed(0, b"abc")[..6],
        &[1, 0, 0],
        &[7, 0, 0, 0, 1, 9],
    ] {
        for encoding in ["gzip", "identity"] {
            let refused = handled(encoding, sent, 2).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{encoding} {sent:?}");
        }
    }
}
