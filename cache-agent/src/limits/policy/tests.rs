use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NOW: Moment = Moment {
    seconds: 1_800_000_000,
    invocation: 1000,
};
const DAY: u32 = 86_400;

fn used(days_ago: u32, invocations_ago: u32) -> Moment {
    Moment {
        seconds: NOW.seconds - days_ago * DAY,
        invocation: NOW.invocation - invocations_ago,
    }
}

/// A group of its own, looked up often, never changed.
fn entry(key: u64, last_use: Moment) -> Entry {
    Entry {
        key,
        bytes: 4096,
        cost_s: 1.0,
        group: u32::MAX,
        first_seen: last_use.seconds,
        last_use,
        interval: 1.0,
        invocations: 1.0,
        ..Entry::default()
    }
}

fn keys(entries: &[Entry], victims: &[Victim]) -> Vec<u64> {
    let key = |victim: &Victim| entries[victim.index as usize].key;
    victims.iter().map(key).collect()
}

fn reasons(victims: &[Victim]) -> Vec<Reason> {
    victims.iter().map(|victim| victim.reason).collect()
}

#[test]
fn nothing_goes_when_nothing_is_needed_or_there() {
    let entries = [entry(1, used(1, 1))];
    for policy in Policy::ALL {
        assert_eq!(plan(&entries, &[], 0, policy, NOW), []);
        assert_eq!(plan(&[], &[], u64::MAX, policy, NOW), []);
    }
}

#[test]
fn sizes_beyond_all_bounds_saturate() {
    let huge = Entry {
        bytes: u64::MAX,
        ..entry(1, used(1, 1))
    };
    let entries = [huge, Entry { key: 2, ..huge }];
    for policy in Policy::ALL {
        assert_eq!(plan(&entries, &[], u64::MAX, policy, NOW).len(), 1);
    }
}

#[test]
fn value_goes_by_tier() {
    let unreachable = Entry {
        unreachable: true,
        ..entry(1, used(0, 0))
    };
    let superseded = Entry {
        group: 0,
        ..entry(2, used(2, 20))
    };
    let executable = Entry {
        kind: Kind::Executable,
        cost_s: 100.0,
        ..entry(3, used(0, 1))
    };
    let unused = Entry {
        interval: 0.0,
        cost_s: 1000.0,
        ..entry(4, used(6, 40))
    };
    let worthless = Entry {
        cost_s: 0.0,
        ..entry(5, used(5, 30))
    };
    let groups = [Group {
        last_use: NOW.invocation,
        compiled: NOW.invocation,
        interval: 1.0,
        lookups: 5.0,
        exposure: 50.0,
        ..Group::default()
    }];
    let entries = [worthless, unused, executable, superseded, unreachable];
    let victims = plan(&entries, &groups, u64::MAX, Policy::Value, NOW);
    assert_eq!(keys(&entries, &victims), [1, 2, 3, 4, 5]);
    assert_eq!(reasons(&victims), Reason::ALL[..5]);
}

#[test]
fn a_superseded_entry_has_its_grace() {
    let group = Group {
        last_use: NOW.invocation,
        compiled: NOW.invocation,
        interval: 1.0,
        lookups: 5.0,
        exposure: 50.0,
        ..Group::default()
    };
    let reason = |invocations_ago, group: Group| {
        let entries = [Entry {
            group: 0,
            ..entry(1, used(0, invocations_ago))
        }];
        let victims = plan(&entries, &[group], 1, Policy::Value, NOW);
        victims.first().map(|victim| victim.reason)
    };
    assert_eq!(reason(8, group), Some(Reason::LowValue));
    assert_eq!(reason(9, group), Some(Reason::Superseded));
    // Where branches are switched, old entries come back.
    let returning = Group {
        returns: 25.0,
        ..group
    };
    assert_eq!(reason(9, returning), Some(Reason::LowValue));
}

#[test]
fn what_its_group_left_behind_goes_before_what_it_uses() {
    let groups = [Group {
        last_use: NOW.invocation - 1,
        compiled: NOW.invocation - 1,
        interval: 1.0,
        lookups: 5.0,
        ..Group::default()
    }];
    let current = Entry {
        group: 0,
        ..entry(1, used(0, 1))
    };
    let old = Entry {
        cost_s: 1.5,
        ..Entry {
            group: 0,
            ..entry(2, used(0, 2))
        }
    };
    let entries = [current, old];
    let victims = plan(&entries, &groups, 1, Policy::Value, NOW);
    assert_eq!(keys(&entries, &victims), [2]);
}

#[test]
fn what_comes_round_seldom_goes_before_what_is_used_each_time() {
    let often = entry(1, used(0, 2));
    let seldom = Entry {
        interval: 30.0,
        ..entry(2, used(0, 1))
    };
    let entries = [often, seldom];
    let victims = plan(&entries, &[], 1, Policy::Value, NOW);
    assert_eq!(keys(&entries, &victims), [2]);
}

#[test]
fn the_other_policies_go_by_their_names() {
    let first_made = Entry {
        first_seen: NOW.seconds - 30 * DAY,
        invocations: 9.0,
        ..entry(1, used(1, 1))
    };
    let longest_unused = Entry {
        first_seen: NOW.seconds - 20 * DAY,
        invocations: 20.0,
        ..entry(2, used(2, 2))
    };
    let cheap = Entry {
        cost_s: 0.01,
        invocations: 9.0,
        ..entry(3, used(1, 1))
    };
    let entries = [first_made, longest_unused, cheap];
    for (policy, key, reason) in [
        (Policy::Age, 1, Reason::Oldest),
        (Policy::Lru, 2, Reason::LeastRecent),
        (Policy::Gdsf, 3, Reason::LowValue),
    ] {
        let victims = plan(&entries, &[], 1, policy, NOW);
        assert_eq!(keys(&entries, &victims), [key], "{policy:?}");
        assert_eq!(reasons(&victims), [reason], "{policy:?}");
    }
}

#[test]
fn look_ups_make_the_facts() {
    let at = |invocation| Moment {
        seconds: invocation * DAY,
        invocation,
    };
    let (mut group, mut old, mut new) = (Group::default(), Entry::default(), Entry::default());
    let mut look_up = |entry: &mut Entry, invocation, compiled| {
        group.used(entry, at(invocation), compiled);
        entry.used(at(invocation));
    };
    look_up(&mut old, 1, true);
    look_up(&mut old, 3, false);
    look_up(&mut new, 5, true);
    assert!(group.supersedes(&old) && !group.supersedes(&new));
    assert_eq!((old.first_seen, old.last_use), (DAY, at(3)));
    assert_eq!(
        (old.interval, new.interval, group.interval),
        (2.0, 0.0, 2.0)
    );
    // One of two days ago counts a quarter.
    assert_eq!((old.invocations, new.invocations), (1.25, 1.0));
    assert_eq!((group.changes, group.returns), (1.0, 0.0));
    group.used(&old, at(7), false);
    assert!(group.returns > 0.9);
}

prop_compose! {
    fn any_moment()(seconds in NOW.seconds - 20 * DAY..NOW.seconds + DAY, invocation in 0..=NOW.invocation) -> Moment {
        Moment { seconds, invocation }
    }
}

prop_compose! {
    fn any_entry()(
        bytes in prop_oneof![0..1u64 << 24, Just(u64::MAX)],
        cost_s in prop_oneof![0.0..50f32, Just(f32::NAN), Just(-1.0)],
        group in 0..12u32,
        last_use in any_moment(),
        interval in 0.0..40f32,
        invocations in 0.0..9f32,
        (is_executable, unreachable, pinned) in any::<(bool, bool, bool)>(),
    ) -> Entry {
        Entry {
            bytes,
            cost_s,
            group,
            last_use,
            interval,
            invocations,
            kind: if is_executable { Kind::Executable } else { Kind::Compiled },
            unreachable,
            pinned,
            ..Entry::default()
        }
    }
}

prop_compose! {
    fn any_group()(
        last_use in 0..=NOW.invocation,
        compiled in 0..=NOW.invocation,
        interval in 0.0..40f32,
        lookups in 0.0..10f32,
        changes in 0.0..10f32,
        returns in 0.0..50f32,
        exposure in 0.0..50f32,
    ) -> Group {
        Group { last_use, compiled, interval, lookups, changes, returns, exposure }
    }
}

/// Each with a key of its own.
fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    prop::collection::vec(any_entry(), 0..60).prop_map(|mut entries| {
        for (key, entry) in (0..).zip(&mut entries) {
            entry.key = key;
        }
        entries
    })
}

proptest! {
    #[test]
    fn enough_goes_and_no_more_and_nothing_pinned(
        entries in any_entries(),
        groups in prop::collection::vec(any_group(), 10),
        need in 1..1u64 << 28,
        policy in prop::sample::select(&Policy::ALL[..]),
    ) {
        let victims = plan(&entries, &groups, need, policy, NOW);
        let chosen = |victim: &Victim| entries[victim.index as usize];
        prop_assert!(victims.iter().all(|victim| !chosen(victim).pinned));
        let different: BTreeSet<u32> = victims.iter().map(|victim| victim.index).collect();
        prop_assert_eq!(different.len(), victims.len());
        let bytes = |victims: &[Victim]| {
            let sizes = victims.iter().map(|victim| chosen(victim).bytes);
            sizes.fold(0, u64::saturating_add)
        };
        let free_to_go = entries.iter().filter(|entry| !entry.pinned).count();
        prop_assert!(bytes(&victims) >= need || victims.len() == free_to_go);
        if let Some((_, before)) = victims.split_last() {
            prop_assert!(bytes(before) < need);
        }
        let mut sorted = reasons(&victims);
        sorted.sort();
        prop_assert_eq!(sorted, reasons(&victims));
    }

    #[test]
    fn the_order_of_the_entries_does_not_matter(
        (entries, shuffled) in any_entries().prop_flat_map(|entries| {
            (Just(entries.clone()), Just(entries).prop_shuffle())
        }),
        groups in prop::collection::vec(any_group(), 10),
        need in 1..1u64 << 28,
        policy in prop::sample::select(&Policy::ALL[..]),
    ) {
        let one = plan(&entries, &groups, need, policy, NOW);
        let other = plan(&shuffled, &groups, need, policy, NOW);
        prop_assert_eq!(keys(&entries, &one), keys(&shuffled, &other));
        prop_assert_eq!(reasons(&one), reasons(&other));
    }
}
