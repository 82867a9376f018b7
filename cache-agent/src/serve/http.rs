//! The HTTP server: metrics, health, and a page that says where they are.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time;

use super::{metrics, page};
use crate::snapshot::Snapshot;

/// Connections served at once; a scraper needs one.
const MAX_CONNECTIONS: usize = 64;

/// Room for the headers of a scraper behind a proxy or two; hyper's smallest is 8 KiB.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// For sending a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// For everything from accept to the last byte of the response: no client holds a place for longer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// For requests in flight when the server is told to stop; the agent has 5 s in all.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// After a failed accept, for example without a free descriptor: trying at once would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Serves until `shutdown`, then finishes the requests in flight.
pub async fn serve(
    listener: TcpListener,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    shutdown: impl Future,
) {
    let mut shutdown = pin!(shutdown);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, place) = tokio::select! {
            _ = &mut shutdown => break,
            accepted = accept(&listener, &places) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        spawn_connection(stream, place, snapshots.clone(), &graceful);
    }
    drop(listener);
    if time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests in flight were cut off");
    }
}

/// Waits for a free place first, so that clients beyond the bound wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn spawn_connection(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    graceful: &GracefulShutdown,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), &snapshots.borrow());
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
    tokio::spawn(async move {
        match time::timeout(CONNECTION_TIMEOUT, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "connection ended early"),
            Err(_elapsed) => tracing::debug!("connection timed out"),
        }
        drop(place);
    });
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
