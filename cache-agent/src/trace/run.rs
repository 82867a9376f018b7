//! Walk, run, sweep, walk, report.

use std::{
    ffi::OsString,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    command::{self, Ended, Family},
    events::EventLines,
    history::Past,
    options::Options,
    report::{
        self,
        json::{Document, RootRow},
    },
    roots::Places,
    user::{self, Credentials},
};
use crate::{
    invocation::observer::Observer,
    kernel::{
        counters::Counters, detach::Detach, file_events::Fact, kernel_side::KernelSide as _,
        session::Purpose,
    },
    ledger::{Ledger, accounts::Accounts, root::Ambiguous},
    model::{changes::Changes, invocation::Finished, printable::printable, process::Identity},
    sys::usage,
};

/// Looks at the rings and at the command: a tool that is gone before is known by what the kernel side saw only.
const TICK: Duration = Duration::from_millis(10);

/// Between two looks at the files that stay open: what they grew by is told this much later at most.
const SWEEP_TICK: Duration = Duration::from_secs(1);

/// Runs the command; its exit status.
pub fn run(args: &Options) -> Result<Ended> {
    let credentials = user::resolve(args.user.as_ref())?;
    command::find(&args.command)?;
    let report_to = args.json.as_ref().map(report::file::open).transpose()?;
    // Names are what packages are told by.
    let (mut ledger, process_maps) = Ledger::open(Purpose {
        with_paths: true,
        backend: args.backend,
        maps: args.maps()?,
        // The command has ended, and so does the caller's wait.
        detach: Detach::Leave,
    })?;
    let mut observer = Observer::start(process_maps, [])?;
    let places = Places::prepare(&args.roots, &credentials)?;
    let watched = watch(&mut ledger, &mut observer, &places);
    let mut roots = watched.inspect_err(|_| places.clean(&credentials))?;
    let baseline = ledger.accounts()?;
    let counted = ledger.counters()?;
    let lines = EventLines::new(args.events, &roots);
    let mut family = spawn(&mut ledger, &mut observer, &args.command, &credentials)?;
    let mut next_sweep = Instant::now() + SWEEP_TICK;
    let ended = family.wait(TICK, || {
        if Instant::now() >= next_sweep {
            next_sweep = Instant::now() + SWEEP_TICK;
            ledger.sweep_open()?;
        }
        loop {
            let facts = ledger.drain(|fact| note(&lines, &mut observer, fact));
            if facts + observer.look() == 0 {
                break;
            }
        }
        ledger.measure(|fact| note(&lines, &mut observer, fact))
    })?;
    let (report, finished) = settle(&mut ledger, &mut roots, &baseline, |fact| {
        note(&lines, &mut observer, fact);
    })
    .map(|accounts| {
        observer.look();
        let mut finished = observer.finish(&accounts.by_invocation());
        remember(args, &mut finished);
        (changed(accounts), finished)
    })?;
    places.clean(&credentials);
    let document = Document {
        backend: ledger.session().backend().as_str(),
        coverage: ledger.session().coverage().operations(),
        argv: &args.command,
        ended: &ended,
        roots: &roots,
        accounts: &report,
        finished: &finished,
        counters: since(&counted, &ledger.counters()?),
        process_events_dropped: observer.lost()?,
        missed_runs: ledger.session().missed_runs(),
        usage: usage::own().context("cannot read the agent's own usage")?,
    };
    report::table::print(&document, &mut std::io::stderr().lock())?;
    if let Some(mut report_to) = report_to {
        write_json(&mut report_to, &document)?;
    }
    Ok(ended)
}

/// One event: printed if asked for, and taken into account of its invocation.
fn note(lines: &EventLines, observer: &mut Observer, fact: Fact) {
    lines.print(&fact);
    observer.fact(fact);
}

/// Registers the roots and walks them.
fn watch(ledger: &mut Ledger, observer: &mut Observer, places: &Places) -> Result<Vec<RootRow>> {
    let mut roots = Vec::new();
    for place in places.list() {
        let index = ledger.watch(&place.path)?;
        if let Some(root) = ledger.root(index) {
            let directory = root.directory().as_fd().try_clone_to_owned();
            let directory = directory.context("no descriptor left")?;
            let path = printable(place.path.as_os_str().as_encoded_bytes());
            observer.watch(index, path, place.kind, directory);
        }
        roots.push(RootRow::new(index, place));
    }
    ledger.seed_open_files()?;
    ledger.wait_for_walks(|_| ())?;
    for row in &mut roots {
        row.before(ledger)?;
    }
    Ok(roots)
}

/// Starts the command as a child of the family, of which this process is the head only for that long.
fn spawn(
    ledger: &mut Ledger,
    observer: &mut Observer,
    command: &[OsString],
    run_as: &Credentials,
) -> Result<Family> {
    let own = ledger.identify()?;
    ledger.with_family(|| observer.with_head(own, || Family::spawn(command, run_as)))
}

/// The last account: everything settled, every root walked once more.
fn settle(
    ledger: &mut Ledger,
    roots: &mut [RootRow],
    baseline: &Accounts,
    each: impl FnMut(Fact),
) -> Result<Accounts> {
    ledger.sweep()?;
    for row in roots.iter() {
        ledger.start_walk(row.index)?;
    }
    let reconciliations = ledger.wait_for_walks(each)?;
    let mut accounts = ledger.accounts()?.since(baseline);
    for found in &reconciliations {
        if let Some((mover, moved)) = &found.moved {
            let account = accounts.processes.entry(*mover).or_default();
            account.roots.entry(found.index).or_default().add(moved);
            if let Some(process) = ledger.process(mover)? {
                account.identity = Identity::of(&process);
            }
        }
        if let Some(row) = roots.iter_mut().find(|row| row.index == found.index) {
            row.after(found, &accounts);
            row.ambiguous = ledger
                .root(found.index)
                .map_or_else(Ambiguous::default, |root| root.ambiguous);
        }
    }
    Ok(accounts)
}

/// Causes come from what earlier traces and the daemon remember; this trace is remembered too.
fn remember(args: &Options, finished: &mut [Finished]) {
    let past = if args.no_store {
        Past::none()
    } else {
        Past::open(args.state_dir.as_deref())
    };
    Observer::explain(finished, |one| past.before(one));
    past.keep(
        finished
            .iter()
            .map(|one| (one.record.clone(), one.packages.clone())),
    );
}

/// Processes that changed something.
fn changed(mut accounts: Accounts) -> Accounts {
    accounts
        .processes
        .retain(|_, account| account.total() != Changes::default());
    accounts
}

fn since(earlier: &Counters, later: &Counters) -> Counters {
    let mut counters = *later;
    for (later, earlier) in counters.iter_mut().zip(earlier) {
        *later -= earlier;
    }
    counters
}

/// Opened before anything is started: a report that cannot be written must not cost a build.
fn write_json(output: &mut impl std::io::Write, document: &Document<'_>) -> Result<()> {
    let mut text = serde_json::to_vec(&document.to_json()).context("cannot write the report")?;
    text.push(b'\n');
    output
        .write_all(&text)
        .and_then(|()| output.flush())
        .context("cannot write the report")
}
