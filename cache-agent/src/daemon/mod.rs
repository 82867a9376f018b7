//! The daemon: one thread keeps the ledger, the rest of the agent talks to it through channels.
//!
//! ```text
//! orders ──► event loop ──► snapshots ──► /metrics, /healthz, /readyz
//! signals ─┘  (kernel side, walks) └─► minutes ──► history
//! ```

mod event_loop;
mod invocations;
mod last_sizes;
mod orders;
mod process_totals;
mod publish;
mod reconcile;
mod root_history;
mod root_watch;
mod roots;
mod self_test;
mod state_directory;
mod take_up;
#[cfg(test)]
mod testbed;
mod trouble;
mod update_roots;
mod wake;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
};

use self::{
    event_loop::{EventLoop, Order, Orders},
    root_history::Minutes,
};
use crate::{
    config::{self, Config, difference::Difference, overrides::Overrides},
    kernel::{detach::Detach, hooks::Choice, session::Purpose},
    ledger::Ledger,
    serve::{hosts::Hosts, http},
    snapshot::Snapshot,
    store::{
        Settings,
        writer::{StoreWriter, Writing},
    },
    sys::fs_rights,
};

/// Where the configuration comes from, now and at a reload.
#[derive(Debug)]
pub struct Source {
    /// The file named, if any.
    pub file: Option<PathBuf>,
    /// What the command line says instead.
    pub overrides: Overrides,
}

impl Source {
    fn load(&self) -> Result<Config> {
        Ok(config::load(self.file.as_deref().map(Path::new))?.overridden(&self.overrides)?)
    }
}

/// Runs until a signal ends it.
pub async fn run(source: Source, backend: Choice) -> Result<()> {
    let mut config = source.load()?;
    refuse_useless_roots(&config)?;
    let listener = TcpListener::bind(config.server.listen)
        .await
        .map_err(|error| cannot_listen(&config, &error))?;
    let address = listener.local_addr().context("no local address")?;
    let (ledger, process_maps) = Ledger::open(Purpose {
        // Names are what packages are told by.
        with_paths: true,
        backend,
        maps: config.kernel_maps,
        detach: Detach::Wait,
    })?;
    let history = Writing::start(Settings::of(&config))?;
    let (mut event_loop, mut orders) =
        EventLoop::start(ledger, process_maps, config.clone(), history.writer())?;
    // The inspector alone reads with the rights of others, and has been started.
    fs_rights::renounce();
    let (snapshots, readers) = watch::channel(Arc::new(event_loop.first_snapshot()?));
    let keeping = std::thread::Builder::new()
        .name("ledger".to_owned())
        .spawn(move || event_loop.run(&snapshots))
        .context("no thread for the ledger")?;
    tracing::info!(metrics = %format!("http://{address}/metrics"), "serving");

    let (stop_serving, stopped) = oneshot::channel::<()>();
    let hosts = Hosts::of_machine_and(&config.server.hosts);
    let serving = tokio::spawn(http::serve(listener, hosts, readers.clone(), async move {
        // An error means that the sender is gone, which is as good as its word.
        stopped.await.unwrap_or_default();
    }));
    let remembering = tokio::spawn(remember(readers.clone(), history.writer()));
    let outcome = handle_signals(&source, &mut config, &mut orders, readers, &history).await;
    notify(&[sd_notify::NotifyState::Stopping]);
    let settled = end(&mut orders, keeping);
    drop(stop_serving);
    serving.await.context("the server panicked")?;
    remembering.await.context("the history's task panicked")?;
    history.end();
    // What ended the event loop, if it ended by itself, says more than that it did.
    settled.and(outcome)
}

/// Sizes and crossings of every snapshot, until the event loop ends.
async fn remember(mut snapshots: watch::Receiver<Arc<Snapshot>>, writer: StoreWriter) {
    let mut minutes = Minutes::default();
    while snapshots.changed().await.is_ok() {
        let publish = Arc::clone(&snapshots.borrow_and_update());
        for record in minutes.look(&publish) {
            writer.record(record);
        }
    }
}

fn cannot_listen(config: &Config, error: &std::io::Error) -> anyhow::Error {
    let advice = match error.kind() {
        std::io::ErrorKind::AddrInUse => "is another agent running there? ",
        _ => "",
    };
    let address = config.server.listen;
    anyhow!("cannot listen on {address}: {error}; {advice}choose another address with --listen")
}

/// A root named by hand that can never be watched ends the agent at once, in one sentence.
fn refuse_useless_roots(config: &Config) -> Result<()> {
    for root in &config.roots {
        match crate::ledger::root::open_directory(&root.path) {
            Err(error) if root.path.symlink_metadata().is_ok() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Until SIGTERM or SIGINT, or the event loop's end.
async fn handle_signals(
    source: &Source,
    config: &mut Config,
    orders: &mut Orders,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    history: &Writing,
) -> Result<()> {
    let (writer, mut condition) = (history.writer(), history.condition());
    let catch = |kind| signal(kind).context("cannot catch signals");
    let (mut terminate, mut interrupt, mut hangup): (Signal, Signal, Signal) = (
        catch(SignalKind::terminate())?,
        catch(SignalKind::interrupt())?,
        catch(SignalKind::hangup())?,
    );
    let mut is_ready = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload(source, config, orders, &writer),
            Ok(()) = condition.changed() => {
                let condition = condition.borrow_and_update().clone();
                orders.give(Order::History(Box::new(condition)));
            }
            changed = snapshots.changed() => {
                if changed.is_err() {
                    bail!("the ledger stopped");
                }
                if !is_ready && snapshots.borrow_and_update().is_ready() {
                    is_ready = true;
                    tracing::info!("ready");
                    notify(&[sd_notify::NotifyState::Ready]);
                }
            }
        }
    }
}

/// Valid whole or not at all.
fn reload(source: &Source, config: &mut Config, orders: &mut Orders, history: &StoreWriter) {
    match source.load() {
        Ok(new) => {
            let difference = Difference::between(config, &new);
            if difference.needs_restart() {
                tracing::warn!(%difference, "configuration loaded again");
            } else {
                tracing::info!(%difference, "configuration loaded again");
            }
            if !(difference.history.is_empty() && difference.state.is_empty()) {
                history.set(Settings::of(&new));
            }
            orders.give(Order::Reload(Box::new((new.clone(), difference))));
            *config = new;
        }
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "configuration not loaded; the old one stays"
        ),
    }
}

fn end(orders: &mut Orders, keeping: JoinHandle<Result<()>>) -> Result<()> {
    orders.give(Order::Stop);
    match keeping.join() {
        Ok(outcome) => outcome,
        Err(_) => bail!("the ledger's thread panicked"),
    }
}

/// systemd is told where it listens; elsewhere nobody does.
fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}
