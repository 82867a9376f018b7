//! What the agent may read is nothing to its users.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{env, wait};
use serde_json::Value;

use crate::{ATTACKER, Attacker, Host, RECOVERS, roots::go};

/// `CAP_SETGID` and `CAP_SETUID`, as bits of `/proc/PID/status`.
const BECOMING: u64 = 1 << 6 | 1 << 7;

#[test]
fn what_a_user_may_not_read_is_in_no_record_of_his() -> Result<()> {
    let mut host = Host::new("private", "")?;
    go(&host, "X=1")?;
    let outside = host.bench.outside();
    for (name, owner, mode) in [("own", ATTACKER, 0o600), ("roots", 0, 0o600)] {
        let module = outside.join(name);
        fs::create_dir(&module)?;
        let file = module.join("go.mod");
        fs::write(&file, format!("module example.com/{name}\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        chown(&file, Some(owner), Some(owner))?;
    }
    let script = "for d in roots own; do (cd $d; ../tools/go build;); done; sleep 60";
    let attacker = Attacker::start(script, &outside)?;
    let mut told = Vec::new();
    wait::until("the invocations", 4 * RECOVERS, || {
        told = invocations(&host)?;
        Ok((told.len() == 2).then_some(()))
    })
    .with_context(|| format!("{told:#?}"))?;
    drop(attacker);
    let mut modules: Vec<&str> = told
        .iter()
        .filter_map(|record| record["module"].as_str())
        .collect();
    modules.sort_unstable();
    ensure!(modules == ["", "example.com/own"], "{told:#?}");
    host.is_unharmed()
}

/// The newest records of the history.
fn invocations(host: &Host) -> Result<Vec<Value>> {
    let output = Command::new(env::agent()?)
        .args(["invocations", "--json", "--state-dir"])
        .arg(host.bench.aside("agent.state"))
        .output()?;
    let mut document: Value = serde_json::from_slice(&output.stdout)?;
    let records = document["invocations"].as_array_mut();
    Ok(records.map(std::mem::take).unwrap_or_default())
}

#[test]
fn one_thread_alone_can_take_on_the_rights_of_others() -> Result<()> {
    let host = Host::new("threads", "")?;
    let mut able = Vec::new();
    for thread in fs::read_dir(format!("/proc/{}/task", host.daemon.pid()))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let field = |name: &str| {
            let mut values = status.lines().filter_map(|line| line.strip_prefix(name));
            let value = values.next().map(str::trim).map(str::to_owned);
            value.with_context(|| format!("no {name} in {status}"))
        };
        let has = |set: &str| {
            Ok::<_, anyhow::Error>(u64::from_str_radix(&field(set)?, 16)? & BECOMING != 0)
        };
        if has("CapEff:")? || has("CapPrm:")? {
            able.push(field("Name:")?);
        }
    }
    ensure!(able == ["inspector"], "{able:?}");
    Ok(())
}
