//! Random sequences of changes in a simulated file system: whatever is done, and whenever it is walked and measured, the
//! credits are those of the changes themselves.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::{Backend, Credits, World};

#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    MakeDirectory,
    Create,
    /// Opened without truncation, and written.
    Write,
    /// Opened with truncation, and written, or truncated.
    Truncate,
    Unlink,
    MoveFile,
    Replace,
    ExchangeFiles,
    MoveDirectory,
    ExchangeDirectories,
    RemoveDirectory,
    RemoveTree,
    /// User space looks; so many further steps happen while it walks.
    Measure(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) process: u32,
    pub(super) act: Act,
    /// Choose what it is done to.
    pub(super) which: [usize; 2],
    pub(super) size: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        3 => Just(Act::MakeDirectory),
        6 => Just(Act::Create),
        2 => Just(Act::Write),
        2 => Just(Act::Truncate),
        2 => Just(Act::Unlink),
        4 => Just(Act::MoveFile),
        2 => Just(Act::Replace),
        2 => Just(Act::ExchangeFiles),
        8 => Just(Act::MoveDirectory),
        2 => Just(Act::ExchangeDirectories),
        1 => Just(Act::RemoveDirectory),
        1 => Just(Act::RemoveTree),
        2 => (0..6usize).prop_map(Act::Measure),
    ];
    let step = (0..3u32, act, any::<[u16; 2]>(), 0..5000u64);
    let step = step.prop_map(|(process, act, which, size)| Step {
        process,
        act,
        which: which.map(usize::from),
        size,
    });
    prop::collection::vec(step, 1..120)
}

/// What the kernel side and the measuring credit, and what was done.
fn play(backend: Backend, steps: &[Step]) -> (Credits, Credits) {
    let mut world = World::new(backend);
    let (mut truth, mut at) = (Credits::new(), 0);
    while let Some(step) = steps.get(at) {
        at += 1;
        if let Act::Measure(meanwhile) = step.act {
            let rest = &steps[at..steps.len().min(at + meanwhile)];
            at += rest.len();
            world.measure(&mut truth, rest.iter().rev().copied().collect());
        } else {
            world.does(step, &mut truth);
        }
    }
    world.measure(&mut truth, Vec::new());
    let mut credits = world.credits;
    for credits in [&mut credits, &mut truth] {
        credits.retain(|_, credit| *credit != (0, 0));
    }
    (credits, truth)
}

fn sum(credits: &Credits) -> BTreeMap<u32, (i64, i64)> {
    let mut sums = BTreeMap::new();
    for ((_, root), (bytes, files)) in credits {
        let sum: &mut (i64, i64) = sums.entry(*root).or_default();
        sum.0 += bytes;
        sum.1 += files;
    }
    sums.retain(|_, sum| *sum != (0, 0));
    sums
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_all_is_seen_each_process_gets_what_it_did(steps in steps()) {
        let (credits, truth) = play(Backend::Fentry, &steps);
        prop_assert_eq!(credits, truth);
    }

    /// Except for what somebody cuts off a file that another has just moved in: that is neither's.
    #[test]
    fn where_opens_are_seen_late_the_sums_are_right(steps in steps()) {
        let (credits, truth) = play(Backend::Tracepoint, &steps);
        prop_assert_eq!(sum(&credits), sum(&truth));
    }

    #[test]
    fn where_opens_are_seen_late_one_process_gets_what_it_did(mut steps in steps()) {
        for step in &mut steps {
            step.process = 0;
        }
        let (credits, truth) = play(Backend::Tracepoint, &steps);
        prop_assert_eq!(credits, truth);
    }
}
