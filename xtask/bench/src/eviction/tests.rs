use anyhow::Result;

use super::*;

#[test]
fn value_keeps_its_floor_on_a_real_history() -> Result<()> {
    let trace = Trace::parse("lookups-1.csv.gz", LOOKUPS_1)?;
    for order in [Order::Linear, Order::Branches] {
        let (value, lru) = mean_losses(&trace.in_order(order));
        assert!(lru > trace.cold_cpu_s() * WORTH_COMPARING, "{lru} s");
        assert!(value <= MAX_OF_LRU * lru, "{order:?}: {value} of {lru} s");
    }
    Ok(())
}

#[test]
fn value_finds_what_an_lru_never_has() {
    let trace = generate::rotating();
    let verdict = judge_rotation(&trace, "rotating");
    assert!(verdict.is_some_and(|verdict| verdict.met));
}

#[test]
fn branches_take_turns_and_lose_no_run() -> Result<()> {
    let trace = Trace::parse("lookups-1.csv.gz", LOOKUPS_1)?;
    let branches = trace.in_order(Order::Branches);
    assert_eq!(branches.runs.len(), trace.runs.len());
    assert_eq!(branches.runs[..8], trace.runs[..8]);
    assert_eq!(branches.runs[8..16], trace.runs[31..39]);
    let sorted = |trace: &Trace| {
        let mut runs = trace.runs.clone();
        runs.sort_unstable();
        runs
    };
    assert_eq!(sorted(&branches), sorted(&trace));
    Ok(())
}

#[test]
fn a_cap_above_everything_costs_nothing() -> Result<()> {
    let text = "run,key,bytes,cpu_s,package,variant\n1,a,10,0.5,p,0\n2,a,10,0.5,p,0\n2,b,7,1,q,0\n";
    let trace = Trace::parse("short", text.as_bytes())?;
    assert_eq!(trace.all_bytes(), 17);
    assert_eq!(trace.largest_run(), 17);
    for chooser in Chooser::ALL {
        let Outcome {
            lost_cpu_s,
            hit_ratio,
        } = replay(&trace, 17, chooser);
        assert!(lost_cpu_s.abs() < f64::EPSILON, "{chooser:?}");
        assert!((hit_ratio - 1.0 / 3.0).abs() < 1e-9, "{chooser:?}");
    }
    Ok(())
}

#[test]
fn what_is_no_trace_is_told() {
    for text in [
        "",
        "run,key\n1,a\n",
        "run,key,bytes,cpu_s,package,variant\n1,a,10,-1,p,0\n",
    ] {
        assert!(Trace::parse("bad", text.as_bytes()).is_err(), "{text}");
    }
}
