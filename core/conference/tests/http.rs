//! What the one port answers besides signalling.

mod common;

use common::{Client, Program};
use tokio_tungstenite::tungstenite;

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let program = Program::start().await;
    let (head, body) = program.get("/?room=R&name=N&join=1").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(!body.contains("http://") && !body.contains("https://"), "an address of another server");
    for line in body.lines().filter(|line| line.contains("src=\"") || line.contains("<link rel")) {
        let (_, rest) = line.split_once("src=\"").or_else(|| line.split_once("href=\"")).expect("an address");
        let path = rest.split('"').next().expect("quoted");
        let (head, body) = program.get(path).await;
        assert!(head.starts_with("http/1.1 200") && !body.is_empty(), "{path}: {head}");
    }
}

#[tokio::test]
async fn every_module_that_a_module_imports_is_there() {
    let program = Program::start().await;
    let (mut wanted, mut seen) = (vec!["/main.js".to_owned()], Vec::new());
    while let Some(path) = wanted.pop() {
        let (head, body) = program.get(&path).await;
        assert!(head.starts_with("http/1.1 200") && head.contains("text/javascript"), "{path}: {head}");
        for line in body.lines().filter(|line| line.starts_with("import ")) {
            let module = line.split("\"./").nth(1).and_then(|rest| rest.split('"').next()).expect("a local module");
            wanted.push(format!("/{module}"));
        }
        seen.push(path);
        wanted.retain(|path| !seen.contains(path));
    }
    assert!(seen.len() > 4, "{seen:?}");
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_of_loopback() {
    let program = Program::start().await;
    let (head, body) = program.get("/reachable.json").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: application/json"), "{head}");
    assert_eq!(body, r#"{"urls":[]}"#);
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let program = Program::start().await;
    let (head, _) = program.get_plain("/?room=R").await;
    assert!(head.starts_with("http/1.1 307"), "{head}");
    assert!(head.contains("location: https://example.test:4443/?room=r"), "{head}");
}

#[tokio::test]
async fn an_unknown_address_is_not_found() {
    let program = Program::start().await;
    assert!(program.get("/etc/passwd").await.0.starts_with("http/1.1 404"));
    assert!(program.get("/../main.js").await.0.starts_with("http/1.1 404"));
}

#[tokio::test]
async fn an_upgrade_without_ids_or_subprotocol_is_refused_with_the_reason() {
    let program = Program::start().await;
    for (path, subprotocol, status, reason) in [
        ("/?roomId=R", Some("protoo"), 400, "peerId"),
        ("/?peerId=P", Some("protoo"), 400, "roomId"),
        ("/?roomId=&peerId=P", Some("protoo"), 400, "roomId"),
        ("/?roomId=R&peerId=P", None, 403, "protoo"),
        ("/?roomId=R&peerId=P", Some("other"), 403, "protoo"),
    ] {
        match program.upgrade(path, subprotocol).await {
            Err(tungstenite::Error::Http(response)) => {
                assert_eq!(response.status(), status, "{path}");
                let said = response.headers()["x-websocket-reject-reason"].to_str().expect("text");
                assert!(said.contains(reason), "{path}: {said}");
            }
            other => panic!("{path}: {:?}", other.map(|_| ())),
        }
    }
}

#[tokio::test]
async fn an_id_that_is_too_long_is_refused_for_good_in_a_way_that_a_page_can_read() {
    let program = Program::start().await;
    let long = "x".repeat(201);
    for (path, name) in
        [(format!("/?roomId={long}&peerId=P"), "the room's name"), (format!("/?roomId=R&peerId={long}"), "peerId")]
    {
        let mut client = Client::new(program.upgrade(&path, Some("protoo")).await.expect("accepted"));
        let frame = client.closed().await.expect("a close frame");
        assert_eq!(u16::from(frame.code), 4000);
        assert!(frame.reason.starts_with(name) && frame.reason.contains("200 bytes"), "{}", frame.reason);
    }
    program.client(&long[1..], "P").await;
}

#[tokio::test]
async fn any_path_will_do_for_signalling() {
    let program = Program::start().await;
    program.upgrade("/some/where?roomId=R&peerId=P", Some("protoo")).await.expect("accepted");
}
