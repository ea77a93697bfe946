//! The pages of the scrape port.

use http::Request;
use vitalmesh_tests::{Mesh, Scrape, get, send};

#[tokio::test]
async fn the_scrape_port_has_four_pages_and_the_edge_one_more() {
    let mesh = Mesh::start().await;
    for service in [&mesh.edge, &mesh.revert_name, &mesh.time] {
        let address = service.addresses().scrape;
        for (path, content_type, body) in [
            (
                "/",
                "text/plain; version=0.0.4; charset=utf-8",
                "mesh_build_info",
            ),
            (
                "/metrics",
                "text/plain; version=0.0.4; charset=utf-8",
                "mesh_build_info",
            ),
            ("/livez", "text/plain; charset=utf-8", "ok\n"),
            ("/readyz", "text/plain; charset=utf-8", "ok\n"),
        ] {
            let page = get(address, path).await;
            assert_eq!(
                (page.status, page.header("content-type")),
                (200, content_type),
                "{path}"
            );
            assert!(page.body.contains(body), "{path}: {}", page.body);
        }
        assert_eq!(get(address, "/nothing").await.status, 404);
        let post = send(address, Request::post("/metrics")).await.unwrap();
        assert_eq!(post.status, 405);
        let browser = Request::get("/").header("accept", "text/html,*/*;q=0.8");
        let page = send(address, browser).await.unwrap();
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(
            page.body
                .contains(&format!("<title>{}</title>", service.name()))
        );
    }
    let page = get(mesh.http(), "/prometheus/metrics").await;
    assert_eq!(
        page.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(Scrape::parse(&page.body).of("mesh_build_info{").len(), 1);
}
