//! Which component answers, and what is answered without one.

use crate::support::{Host, own_id};

#[tokio::test]
async fn the_most_specific_route_wins() {
    let host = Host::plain().await;
    for path in [
        "/api",
        "/api/orders/7",
        "/api/cart",
        "/api/cart/7",
        "/api/cart/7/lines",
        "/api/c%61rt/7",
    ] {
        assert_eq!(host.ask("GET", path, "").await.status, 200, "{path}");
    }
    let routed: Vec<_> = host
        .calls()
        .iter()
        .map(|call| (call.component.to_string(), call.route.clone()))
        .collect();
    let expected = [
        ("shop", "/api/..."),
        ("shop", "/api/..."),
        ("cart", "/api/cart/..."),
        ("item", "/api/cart/:id"),
        ("cart", "/api/cart/..."),
        ("item", "/api/cart/:id"),
    ];
    assert_eq!(
        routed,
        expected.map(|(component, route)| (component.to_owned(), route.to_owned()))
    );
}

#[tokio::test]
async fn an_unknown_path_is_a_404_in_both_shapes() {
    let host = Host::plain().await;
    for (count, path) in ["/", "/apis", "/api%2Fcart", "//api"].iter().enumerate() {
        host.ask("GET", path, "")
            .await
            .is_error(404, "not_found", "Not Found", own_id(count as u64));
    }
    assert!(host.calls().is_empty());
}

#[tokio::test]
async fn every_usual_method_reaches_the_component_as_it_is() {
    let host = Host::plain().await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(host.ask(method, "/api/x", "").await.status, 200);
    }
    let methods: Vec<_> = host.calls().into_iter().map(|call| call.request.method).collect();
    assert_eq!(methods, ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);
}

#[tokio::test]
async fn other_methods_are_a_405_that_says_which_there_are() {
    let host = Host::plain().await;
    for (count, method) in ["TRACE", "PROPFIND", "get"].iter().enumerate() {
        let answer = host.ask(method, "/api/x", "").await;
        answer.is_error(405, "method_not_allowed", "Method Not Allowed", own_id(count as u64));
        assert_eq!(
            answer.header("allow"),
            Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        );
    }
    assert!(host.calls().is_empty());
}

#[tokio::test]
async fn connect_opens_no_tunnel() {
    let host = Host::plain().await;
    let answer = host
        .send("CONNECT shop.test:443 HTTP/1.1\r\nhost: shop.test\r\n\r\n")
        .await;
    answer.is_error(405, "method_not_allowed", "Method Not Allowed", own_id(0));
}
