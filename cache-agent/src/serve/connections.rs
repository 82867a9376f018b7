//! Connections at the same time: bounded, and never taken by those who only hold them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{net::TcpStream, task::AbortHandle};

/// What somebody gets for whom there is no place.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
content-length: 21\r\nconnection: close\r\nretry-after: 1\r\n\r\ntoo many connections\n";

/// Those served at the moment, oldest first.
#[derive(Debug)]
pub(super) struct Connections {
    open: Vec<Connection>,
    most: usize,
}

#[derive(Debug)]
struct Connection {
    has_asked: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Connections {
    /// At most so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            open: Vec::new(),
            most,
        }
    }

    /// Gives the stream back if there is a place for it, that of the oldest one that has asked for nothing yet if
    /// need be; else its client is told so.
    pub(super) fn admit(&mut self, stream: TcpStream) -> Option<TcpStream> {
        self.open
            .retain(|connection| !connection.task.is_finished());
        if self.open.len() < self.most {
            return Some(stream);
        }
        let is_idle = |connection: &Connection| !connection.has_asked.load(Ordering::Relaxed);
        if let Some(oldest) = self.open.iter().position(is_idle) {
            self.open.remove(oldest).task.abort();
            return Some(stream);
        }
        // The first bytes of a connection fit its buffer; a client that is gone already needs no answer.
        stream.try_write(BUSY).unwrap_or_default();
        None
    }

    /// The stream is served by this task, which says when it was asked something.
    pub(super) fn add(&mut self, task: AbortHandle, has_asked: Arc<AtomicBool>) {
        self.open.push(Connection { has_asked, task });
    }
}
