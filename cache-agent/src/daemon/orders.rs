//! What the rest of the agent tells the event loop, and the bell that wakes it.

use crate::{
    config::{Config, difference::Difference},
    store::writer::Condition,
};

/// What the rest of the agent asks of the event loop.
#[derive(Debug)]
pub(super) enum Order {
    /// Settle, publish once more, end.
    Stop,
    /// Another configuration, and what differs in it.
    Reload(Box<(Config, Difference)>),
    /// How the history fares.
    History(Box<Condition>),
}

/// Sends orders and wakes the event loop.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) sender: std::sync::mpsc::Sender<Order>,
    pub(super) bell: std::io::PipeWriter,
}

impl Orders {
    /// Gives an order; a event loop that is gone needs none.
    pub(super) fn give(&mut self, order: Order) {
        use std::io::Write as _;
        if self.sender.send(order).is_err() || self.bell.write_all(&[0]).is_err() {
            tracing::debug!("the event loop has ended already");
        }
    }
}
