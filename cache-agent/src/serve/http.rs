//! The HTTP server: metrics, health, and a page that says where they are.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time;

use super::{connections::Connections, hosts::Hosts, metrics, page};
use crate::snapshot::Snapshot;

/// Connections served at once; a scraper needs one. Beyond them the oldest that asked for nothing goes, or the new
/// one is refused.
const MAX_CONNECTIONS: usize = 64;

/// Room for the headers of a scraper behind a proxy or two; hyper's smallest is 8 KiB.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// For sending a request's head, from the first moment.
const HEADER_TIMEOUT: Duration = Duration::from_secs(1);

/// For who asks by a name that is not the agent's.
const NOT_CALLED_THAT: &str =
    "asked by a name that is not this host's; `hosts` in the configuration adds names\n";

/// For everything from accept to the last byte of the response: no client holds a place for longer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// For requests in flight when the server is told to stop; the agent has 5 s in all.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// After a failed accept, for example without a free descriptor: trying at once would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Serves until `shutdown`, then finishes the requests in flight.
pub async fn serve(
    listener: TcpListener,
    hosts: Hosts,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    shutdown: impl Future,
) {
    let mut shutdown = pin!(shutdown);
    let hosts = Arc::new(hosts);
    let mut connections = Connections::new(MAX_CONNECTIONS);
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            _ = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        if let Some(stream) = connections.admit(stream) {
            let (task, has_asked) =
                spawn_connection(stream, Arc::clone(&hosts), snapshots.clone(), &graceful);
            connections.add(task, has_asked);
        }
    }
    drop(listener);
    if time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests in flight were cut off");
    }
}

fn spawn_connection(
    stream: TcpStream,
    hosts: Arc<Hosts>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    graceful: &GracefulShutdown,
) -> (AbortHandle, Arc<AtomicBool>) {
    let has_asked = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&has_asked);
    let service = service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let response = if hosts.allow(request.uri(), request.headers()) {
            respond(request.method(), request.uri().path(), &snapshots.borrow())
        } else {
            text(StatusCode::FORBIDDEN, NOT_CALLED_THAT)
        };
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        // One request each: a scrape every few seconds gains nothing from an open connection.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    let task = tokio::spawn(async move {
        match time::timeout(CONNECTION_TIMEOUT, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "connection ended early"),
            Err(_elapsed) => tracing::debug!("connection timed out"),
        }
    });
    (task.abort_handle(), has_asked)
}

/// The whole API: a method, a path and the snapshot make the response.
fn respond(method: &Method, path: &str, snapshot: &Snapshot) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/" => typed(
            StatusCode::OK,
            "text/html; charset=utf-8",
            page::index(snapshot),
        ),
        "/metrics" => match metrics::render(snapshot) {
            Ok(body) => typed(StatusCode::OK, metrics::CONTENT_TYPE, body),
            Err(error) => {
                tracing::error!(%error, "cannot encode the metrics");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "cannot encode the metrics\n",
                )
            }
        },
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => readiness(snapshot),
        _ => text(StatusCode::NOT_FOUND, "no such page; see /\n"),
    }
}

/// Degraded is not unready: the reasons are told either way.
fn readiness(snapshot: &Snapshot) -> Response<Full<Bytes>> {
    let unready = page::unready_reasons(snapshot);
    let (status, first) = if unready.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let degraded = snapshot
        .degraded
        .iter()
        .map(|degraded| format!("degraded: {}", degraded.sentence));
    let lines: Vec<String> = std::iter::once(first.to_owned())
        .chain(unready)
        .chain(page::troubles(snapshot))
        .chain(degraded)
        .collect();
    text(status, lines.join("\n") + "\n")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
