//! Labels with values from the request.

use grpc_prometheus::{Builder, ServerMetrics, ZeroInit};
use http::Request;
use tonic::body::Body;

use crate::{
    echo::echo_descriptor_set,
    expect::{expected, page},
    unknown::Answer,
};

fn tenants(builder: Builder<ServerMetrics>) -> Builder<ServerMetrics> {
    builder
        .descriptor_set(&echo_descriptor_set())
        .metadata_label("tenant", "x-tenant", ["a", "b"], "other")
}

async fn as_tenant(answer: &Answer, tenant: Option<&[u8]>) {
    let mut request = Request::post("/t.v1.Echo/Unary").header("content-type", "application/grpc");
    if let Some(tenant) = tenant {
        request = request.header("x-tenant", tenant);
    }
    answer.request(request.body(Body::empty()).unwrap()).await;
}

// M62
#[tokio::test]
async fn an_extra_label_is_limited_to_its_allow_list() {
    let answer = Answer::with("0", tenants);
    assert_eq!(page(&answer.exposition), "", "no series before traffic");
    for tenant in [
        Some(&b"a"[..]),
        Some(b"b"),
        Some(b"zzz"),
        Some(b"a"),
        Some(b"\xff"),
        None,
    ] {
        as_tenant(&answer, tenant).await;
    }
    let page = page(&answer.exposition);
    let started: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("grpc_server_started_total"))
        .collect();
    let labels = "grpc_method=\"Unary\",grpc_service=\"t.v1.Echo\",grpc_type=\"unary\"";
    assert_eq!(
        started,
        [
            format!("grpc_server_started_total{{{labels},tenant=\"other\"}} 3"),
            format!("grpc_server_started_total{{{labels},tenant=\"a\"}} 2"),
            format!("grpc_server_started_total{{{labels},tenant=\"b\"}} 1"),
        ]
    );
}

// M63
#[tokio::test]
async fn extra_labels_multiply_and_may_come_from_extensions() {
    #[derive(Clone)]
    struct Zone(String);

    let answer = Answer::with("5", |builder| {
        tenants(builder).extension_label(
            "zone",
            |extensions| extensions.get::<Zone>().map(|zone| zone.0.as_str()),
            ["east"],
            "elsewhere",
        )
    });
    for (tenant, zone) in [("a", "east"), ("a", "west"), ("c", "east")] {
        let request = Request::post("/t.v1.Echo/Unary")
            .header("content-type", "application/grpc")
            .header("x-tenant", tenant)
            .extension(Zone(zone.to_owned()));
        answer.request(request.body(Body::empty()).unwrap()).await;
    }
    assert_eq!(
        answer.nonzero_samples(),
        expected(&[
            "server handled NotFound Unary a east 1",
            "server handled NotFound Unary a elsewhere 1",
            "server handled NotFound Unary other east 1",
            "server handling Unary a east 1",
            "server handling Unary a elsewhere 1",
            "server handling Unary other east 1",
            "server started Unary a east 1",
            "server started Unary a elsewhere 1",
            "server started Unary other east 1",
        ])
    );
}

// M64
#[tokio::test]
async fn extra_labels_can_start_at_zero() {
    let answer = Answer::with("0", |builder| tenants(builder).zero_init(ZeroInit::OkOnly));
    let page = page(&answer.exposition);
    assert_eq!(page.matches("grpc_server_started_total{").count(), 4 * 3);
    assert_eq!(page.matches("grpc_server_handled_total{").count(), 4 * 3);
    assert_eq!(page.matches("tenant=\"b\"} 0\n").count(), 4 * (5 + 2));
    assert_eq!(answer.nonzero_samples(), expected(&[]));
}
