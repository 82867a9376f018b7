use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use crate::{
    model::root::RootState,
    snapshot::{Degraded, Reason, RootSnapshot},
};

fn snapshot(states: &[RootState]) -> Snapshot {
    let root = |(number, state): (usize, &RootState)| RootSnapshot {
        name: format!("r{number}"),
        state: *state,
        ..RootSnapshot::default()
    };
    Snapshot {
        backend: "tracepoint",
        degraded: vec![Degraded::new(Reason::Hooks, "no <io_uring>".to_owned())],
        coverage: vec![("open", crate::model::operation::Observation::Observed)],
        roots: states.iter().enumerate().map(root).collect(),
        ..Snapshot::default()
    }
}

fn with_runtime<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// Starts a server, lets `client` talk to it, stops it, and waits for its end.
fn with_server<F: Future>(
    snapshot: Snapshot,
    client: impl FnOnce(SocketAddr, oneshot::Sender<()>) -> F,
) -> F::Output {
    with_runtime(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_sender, receiver) = watch::channel(Arc::new(snapshot));
        let (stop, stopped) = oneshot::channel::<()>();
        let hosts = Hosts::of_machine_and(&["x".to_owned()]);
        let server = tokio::spawn(serve(listener, hosts, receiver, stopped));
        let output = client(address, stop).await;
        server.await.unwrap();
        output
    })
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

fn ask(snapshot: Snapshot, request: &str) -> String {
    with_server(snapshot, async |address, stop| {
        let response = exchange(address, &format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        drop(stop);
        response
    })
}

#[test]
fn pages() {
    for (request, status, expected) in [
        ("GET /", "200 OK", "no &lt;io_uring&gt;"),
        ("GET /metrics", "200 OK", "\ngo_cache_agent_ready 1\n"),
        ("GET /metrics?x=y", "200 OK", "\ngo_cache_agent_ready 1\n"),
        (
            "GET /metrics",
            "200 OK",
            "content-type: text/plain; version=0.0.4",
        ),
        ("GET /healthz", "200 OK", "\r\n\r\nok\n"),
        (
            "GET /readyz",
            "200 OK",
            "\r\n\r\nready\ndegraded: no <io_uring>\n",
        ),
        ("GET /other", "404 Not Found", "see /"),
        (
            "POST /metrics",
            "405 Method Not Allowed",
            "allow: GET, HEAD",
        ),
        ("DELETE /", "405 Method Not Allowed", "only GET and HEAD"),
    ] {
        let response = ask(snapshot(&[RootState::Watched, RootState::Absent]), request);
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request}: {response}"
        );
        assert!(response.contains(expected), "{request}: {response}");
    }
}

#[test]
fn head_has_no_body() {
    let response = ask(snapshot(&[]), "HEAD /healthz");
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\n"),
        "{response}"
    );
}

#[test]
fn unready_says_why() {
    let response = ask(
        snapshot(&[RootState::Watched, RootState::Walking]),
        "GET /readyz",
    );
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    let body = "\r\n\r\nnot ready\nroot r1 is not walked yet\ndegraded: no <io_uring>\n";
    assert!(response.ends_with(body), "{response}");
}

#[test]
fn a_root_in_trouble_is_told_and_makes_nobody_unready() {
    let mut snapshot = snapshot(&[RootState::Watched, RootState::Walking]);
    snapshot.roots[1].trouble = Some("cannot be walked: a\nb".to_owned());
    let response = ask(snapshot, "GET /readyz");
    let body = "\r\n\r\nready\nroot r1: cannot be walked: a\\nb\ndegraded: no <io_uring>\n";
    assert!(response.ends_with(body), "{response}");
    let mut snapshot = self::snapshot(&[RootState::Walking; 25]);
    for root in &mut snapshot.roots {
        root.trouble = Some("no".to_owned());
    }
    let response = ask(snapshot, "GET /readyz");
    assert_eq!(response.matches(": no\n").count(), 20, "{response}");
    assert!(
        response.contains("and 5 more roots in trouble\n"),
        "{response}"
    );
}

#[test]
fn who_asks_by_another_name_learns_nothing() {
    for head in [
        "Host: evil.example:10435",
        "Host: x\r\nOrigin: http://evil.example",
    ] {
        let request = format!("GET /metrics HTTP/1.1\r\n{head}\r\n\r\n");
        let response = with_server(snapshot(&[]), async |address, stop| {
            let response = exchange(address, &request).await;
            drop(stop);
            response
        });
        assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
        assert!(!response.contains("go_cache"), "{response}");
    }
}

#[test]
fn those_who_hold_connections_keep_nobody_out() {
    let (response, held) = with_server(snapshot(&[]), async |address, stop| {
        let mut held = Vec::new();
        for _ in 0..2 * MAX_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            held.push(stream);
        }
        let response = exchange(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        drop(stop);
        (response, held.len())
    });
    assert!(response.ends_with("\r\n\r\nok\n"), "{response}");
    assert_eq!(held, 2 * MAX_CONNECTIONS);
}

#[test]
fn a_head_that_does_not_come_is_waited_for_no_longer_than_its_time() {
    let waited = with_server(snapshot(&[]), async |address, stop| {
        let started = std::time::Instant::now();
        let response = exchange(address, "GET / HTTP/1.1\r\n").await;
        drop(stop);
        assert!(!response.contains("200 OK"), "{response}");
        started.elapsed()
    });
    assert!(waited < CONNECTION_TIMEOUT / 2, "{waited:?}");
}

#[test]
fn beyond_the_bound_of_those_who_asked_the_next_one_is_told() {
    let answer = with_runtime(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = Connections::new(1);
        let mut clients = Vec::new();
        for is_admitted in [true, false] {
            clients.push(TcpStream::connect(address).await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            let stream = connections.admit(stream);
            assert_eq!(stream.is_some(), is_admitted);
            if let Some(stream) = stream {
                let task = tokio::spawn(async move {
                    let _stream = stream;
                    std::future::pending::<()>().await;
                });
                let has_asked = Arc::new(AtomicBool::new(true));
                connections.add(task.abort_handle(), has_asked);
            }
        }
        let mut answer = String::new();
        let client = clients.last_mut().unwrap();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())));
}

#[test]
fn oversized_headers_are_refused() {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(MAX_HEADER_BYTES)
    );
    let response = with_server(snapshot(&[]), async |address, stop| {
        let response = exchange(address, &request).await;
        drop(stop);
        response
    });
    assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
}

#[test]
fn request_in_flight_is_finished_after_shutdown() {
    let response = with_server(snapshot(&[]), async |address, stop| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\n")
            .await
            .unwrap();
        // The server has taken the connection up once it answers a later one.
        exchange(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        drop(stop);
        tokio::task::yield_now().await;
        stream.write_all(b"Host: x\r\n\r\n").await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    });
    assert!(response.ends_with("ok\n"), "{response}");
}
