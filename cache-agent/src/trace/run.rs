//! Walk, run, sweep, walk, report.

use std::{
    ffi::OsString,
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    command::{self, Ended, Family},
    events::EventLines,
    history::Past,
    options::Options,
    report::{self, json::Document},
    roots::Places,
    user::{self, Credentials},
    watched::Watched,
};
use crate::{
    invocation::observer::Observer,
    kernel::{
        counters::Counters, detach::Detach, file_events::Fact, kernel_side::KernelSide as _,
        session::Purpose,
    },
    ledger::{Ledger, accounts::Accounts},
    model::{changes::Changes, invocation::Finished},
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
    let are_given = !args.roots.is_empty();
    let watched = Watched::start(&mut ledger, &mut observer, &places, are_given);
    let mut watched = watched.inspect_err(|_| places.clean(&credentials))?;
    let baseline = ledger.accounts()?;
    let counted = ledger.counters()?;
    let mut lines = EventLines::new(args.events);
    lines.name(watched.paths());
    watched.command_starts();
    let mut family = spawn(&mut ledger, &mut observer, &args.command, &credentials)?;
    let mut next_sweep = Instant::now() + SWEEP_TICK;
    let bells = bells(&observer)?;
    let ended = family.wait(TICK, &bells, || {
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
        watched.look(&mut ledger, &mut observer, &mut lines, note)?;
        ledger.measure(|fact| note(&lines, &mut observer, fact))
    })?;
    observer.wait_for_answers();
    let mut accounts =
        watched.settle(&mut ledger, &mut observer, &baseline, |observer, fact| {
            note(&lines, observer, fact);
        })?;
    observer.look();
    observer.identify(&mut accounts);
    let mut finished = observer.finish(&accounts.by_invocation());
    remember(args, &mut finished);
    let report = changed(accounts);
    let (roots, mut elsewhere) = watched.rows();
    elsewhere.retain(|one| !one.is_replaced(&finished));
    places.clean(&credentials);
    let document = Document {
        backend: ledger.session().backend().as_str(),
        coverage: ledger.session().coverage().operations(),
        argv: &args.command,
        ended: &ended,
        roots: &roots,
        elsewhere: &elsewhere,
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

/// Readable once a tool starts, and once caches were found: to be looked at before anything is written.
fn bells(observer: &Observer) -> Result<[OwnedFd; 2]> {
    let [steps, found] = [observer.events_fd(), observer.bell()];
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().context("no descriptor left");
    Ok([own(steps)?, own(found)?])
}

/// One event: printed if asked for, and taken into account of its invocation.
fn note(lines: &EventLines, observer: &mut Observer, fact: Fact) {
    lines.print(&fact);
    observer.fact(fact);
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
