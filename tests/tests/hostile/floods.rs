//! Peers that send more frames than a client would.

use vitalmesh_tests::{eventually, scrape};

use crate::fixture::{METHOD, assert_serves, leaf};
use crate::frames::{
    CONTINUATION, DATA, ENHANCE_YOUR_CALM, Frames, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, field,
    frame, head, request, streams,
};

#[tokio::test]
async fn a_peer_that_provokes_stream_resets_gets_a_goaway() {
    let leaf = leaf(&[]).await;
    // A window above 2^31 - 1 is a stream error: the server resets the stream.
    let overflow = |stream| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
    let frames =
        |count| streams(count).flat_map(|stream| [request(stream), overflow(stream)].concat());
    let connection = Frames::connect(leaf.addresses().grpc).await;
    let (code, resets) = connection.provoke(frames(3000).collect()).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(resets <= 1025, "{resets} resets");
    assert_serves(&leaf).await;

    let connection = Frames::connect(leaf.addresses().grpc).await;
    let (code, resets) = connection.provoke(frames(200).collect()).await;
    assert_eq!((code, resets), (None, 200));
}

#[tokio::test]
async fn a_peer_that_opens_and_resets_streams_gets_a_goaway_or_ends_its_calls() {
    let leaf = leaf(&[]).await;
    let reset = |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let burst = streams(20_000).flat_map(|stream| [request(stream), reset(stream)].concat());
    let connection = Frames::connect(leaf.addresses().grpc).await;
    let (code, _) = connection.provoke(burst.collect()).await;
    assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{code:?}");
    assert_serves(&leaf).await;
    let page = scrape(leaf.addresses().scrape).await;
    let started = format!(
        "{{grpc_method=\"RevertName\",grpc_service=\"{}\",grpc_type=\"unary\"}}",
        "vitalmesh.revert_name.v1.RevertNameService"
    );
    let started = page
        .value(&format!("grpc_server_started_total{started}"))
        .unwrap();
    let ended = async || {
        let page = scrape(leaf.addresses().scrape).await;
        let of = page.of("grpc_server_handled_total{").into_iter();
        let ended: f64 = of.filter_map(|series| page.value(series)).sum();
        (ended >= started).then_some(())
    };
    eventually("every call that began has ended", ended).await;
}

#[tokio::test]
async fn floods_of_frames_get_a_goaway() {
    let leaf = leaf(&[]).await;
    let start = frame(HEADERS, 0, 1, &head(METHOD));
    let more = frame(CONTINUATION, 0, 1, &field("x", "y"));
    let empty = frame(DATA, 0, 1, &[]);
    for (what, frames) in [
        ("CONTINUATION", [start, more.repeat(200)].concat()),
        ("empty DATA", [request(1), empty.repeat(5000)].concat()),
    ] {
        let connection = Frames::connect(leaf.addresses().grpc).await;
        let (code, _) = connection.provoke(frames).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{what}");
    }
    let pings = frame(PING, 0, 0, b"12345678").repeat(20_000);
    let connection = Frames::connect(leaf.addresses().grpc).await;
    let (code, _) = connection.provoke(pings).await;
    assert_eq!(
        code, None,
        "PINGs are cheap, so the server may respond to them"
    );
    assert_serves(&leaf).await;
}
