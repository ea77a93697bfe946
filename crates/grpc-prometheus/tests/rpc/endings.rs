//! A table of endings, types of RPC and sides.

use futures_util::stream;

use crate::{
    caller::{EchoClient, drain},
    duplex::Fixture,
    echo::texts,
    expect::{calls, exactly, wait_for},
};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Unary,
    Server,
    Client,
    Bidi,
}

/// One call: the service's script, the number of messages that the client sends, and the expected
/// (code, received, sent) of both sides.
#[derive(Debug)]
struct Case {
    kind: Kind,
    script: &'static str,
    sends: usize,
    server: (&'static str, u64, u64),
    client: (&'static str, u64, u64),
}

const fn case(
    kind: Kind,
    script: &'static str,
    sends: usize,
    server: (&'static str, u64, u64),
    client: (&'static str, u64, u64),
) -> Case {
    Case {
        kind,
        script,
        sends,
        server,
        client,
    }
}

const CASES: &[Case] = {
    use Kind::{Bidi, Client, Server, Unary};
    &[
        // M16 M65
        case(Unary, "head", 1, ("OK", 1, 1), ("OK", 1, 1)),
        // M17 M66
        case(Unary, "err5", 1, ("NotFound", 1, 0), ("NotFound", 0, 1)),
        // M34 M68
        case(Server, "head send3", 1, ("OK", 1, 3), ("OK", 3, 1)),
        // M35
        case(Server, "head", 1, ("OK", 1, 0), ("OK", 0, 1)),
        // M36
        case(
            Server,
            "err9",
            1,
            ("FailedPrecondition", 1, 0),
            ("FailedPrecondition", 0, 1),
        ),
        // M37
        case(
            Server,
            "head err3",
            1,
            ("InvalidArgument", 1, 0),
            ("InvalidArgument", 0, 1),
        ),
        // M38 M70
        case(
            Server,
            "head send2 err15",
            1,
            ("DataLoss", 1, 2),
            ("DataLoss", 2, 1),
        ),
        // The status of the trailers counts, after any frames.
        case(
            Server,
            "head send1 yield send1 err8",
            1,
            ("ResourceExhausted", 1, 2),
            ("ResourceExhausted", 2, 1),
        ),
        // M44 M71
        case(Client, "readall", 3, ("OK", 3, 1), ("OK", 1, 3)),
        // M45
        case(Client, "readall", 0, ("OK", 0, 1), ("OK", 1, 0)),
        // M46: the layer saw the frame with all three messages, the handler read two.
        case(
            Client,
            "read2 err10",
            3,
            ("Aborted", 3, 0),
            ("Aborted", 0, 3),
        ),
        // The server responds before it reads.
        case(
            Client,
            "err7",
            0,
            ("PermissionDenied", 0, 0),
            ("PermissionDenied", 0, 0),
        ),
        // M50 M73
        case(Bidi, "readall head send3", 3, ("OK", 3, 3), ("OK", 3, 3)),
        // M51
        case(Bidi, "readall head", 0, ("OK", 0, 0), ("OK", 0, 0)),
        // Half of the requests are read after the head.
        case(
            Bidi,
            "head send1 readall send1",
            2,
            ("OK", 2, 2),
            ("OK", 2, 2),
        ),
        case(
            Bidi,
            "read2 head send1 err13",
            3,
            ("Internal", 3, 1),
            ("Internal", 1, 3),
        ),
        case(
            Bidi,
            "err16",
            0,
            ("Unauthenticated", 0, 0),
            ("Unauthenticated", 0, 0),
        ),
    ]
};

#[tokio::test]
async fn every_ending_of_every_kind_counts_the_same_on_the_wire_and_in_the_scrape() {
    for case in CASES {
        let mut fixture = Fixture::new();
        run(&mut fixture.echo, case).await;
        let method = format!("{:?}", case.kind);
        let (code, received, sent) = case.server;
        let server = calls("server", &method, code, received, sent);
        let (code, received, sent) = case.client;
        let client = calls("client", &method, code, received, sent);
        println!("{case:?}");
        wait_for(&fixture.exposition, exactly(&[server, client])).await;
    }
}

async fn run<T, B>(echo: &mut EchoClient<T>, case: &Case)
where
    T: tonic::client::GrpcService<tonic::body::Body, ResponseBody = B>,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let requests = stream::iter(texts(case.sends));
    let code = match case.kind {
        Kind::Unary => echo.unary(case.script).await.err(),
        Kind::Client => echo.client(case.script, requests).await.err(),
        Kind::Server => match echo.server(case.script).await {
            Ok(stream) => drain(stream).await.1.err(),
            Err(status) => Some(status),
        },
        Kind::Bidi => match echo.bidi(case.script, requests).await {
            Ok(stream) => drain(stream).await.1.err(),
            Err(status) => Some(status),
        },
    };
    let code = code.map_or(tonic::Code::Ok, |status| status.code());
    assert_eq!(
        format!("{code:?}").to_uppercase(),
        case.client.0.to_uppercase(),
        "{case:?}"
    );
}

// M5
#[tokio::test]
async fn every_code_has_its_go_spelling() {
    let mut fixture = Fixture::new();
    for code in 1..=16 {
        let status = fixture.echo.unary(&format!("err{code}")).await.unwrap_err();
        assert_eq!(status.code() as i32, code);
    }
    let codes = "Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists \
        PermissionDenied ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented \
        Internal Unavailable DataLoss Unauthenticated";
    let mut lines: Vec<_> = ["server", "client"]
        .iter()
        .flat_map(|side| {
            let handled = codes.split_whitespace();
            let handled = handled.map(move |code| format!("{side} handled {code} Unary 1"));
            let messages = match *side {
                "server" => "server msg_received Unary 16".to_owned(),
                _ => "client msg_sent Unary 16".to_owned(),
            };
            handled.chain([
                format!("{side} started Unary 16"),
                format!("{side} handling Unary 16"),
                messages,
            ])
        })
        .collect();
    lines.sort();
    wait_for(&fixture.exposition, lines).await;
}
