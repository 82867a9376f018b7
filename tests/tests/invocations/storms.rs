//! Many at once.

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    cases::crowd_bytes,
    env,
    go::open_directory,
    report::signed,
    workshop::{Workshop, bytes_of, the_one, whole},
};

use super::SUITE;

/// Processes of a storm.
const STORM: usize = 5_000;
/// Users who build at the same time, by number.
const USERS: [u32; 3] = [20_001, 20_002, 20_003];
/// Rounds in which a process number is to be used again.
const ROUNDS: usize = 5;

/// Four builds at once by three users in one cache: each byte is its own builder's.
#[test]
fn four_builds_by_three_users() -> Result<()> {
    let shop = Workshop::new("users")?;
    let names = ["one", "two", "three", "four"];
    let mut lines = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let directory = shop.module(name, 6)?;
        let user = USERS[number % USERS.len()];
        lines.push(format!(
            "(cd {} && exec setpriv --reuid={user} --regid={user} --clear-groups go build -tags={name} ./...) &",
            directory.display()
        ));
    }
    // One after the other would be no test; the directories of the cache must be everybody's.
    let script = format!("umask 0; {} wait", lines.join(" "));
    let traced = shop.trace()?.run("sh", ["-c", &script])?;
    let report = traced.exact()?;
    whole(report)?;
    for (number, name) in names.iter().enumerate() {
        let build = the_one(report, &["build", &format!("-tags={name}"), "./..."])?;
        ensure!(build.uid == USERS[number % USERS.len()], "{build:#?}");
        ensure!(build.exit_code == Some(0), "{build:#?}");
        for module in names {
            let bytes = bytes_of(report, build, module);
            ensure!(
                (bytes > 10_000) == (module == *name),
                "{name} has {bytes} B of {module}"
            );
        }
    }
    Ok(())
}

/// A storm of processes beside a build: not one of its bytes goes astray, and none of the build's.
#[test]
fn a_storm_of_processes_beside_a_build() -> Result<()> {
    let shop = Workshop::new("storm")?;
    let module = shop.module("calm", 8)?;
    let crowd = shop.bench.root().join("crowd");
    open_directory(&crowd)?;
    let actor = env!("CARGO_BIN_EXE_actor");
    let script = format!(
        "{actor} crowd {STORM} {} & cd {} && go build ./... && wait",
        crowd.display(),
        module.display()
    );
    let traced = shop.trace()?.run("sh", ["-c", &script])?;
    let report = traced.exact()?;
    whole(report)?;
    let storm: i64 = (0..STORM)
        .map(|index| signed(crowd_bytes(index) as u64))
        .sum();
    let shell = report
        .invocations
        .iter()
        .find(|invocation| invocation.tool == "sh")
        .context("the command itself is no invocation")?;
    ensure!(
        (shell.growth_bytes, shell.files_created) == (storm, STORM as u64),
        "{storm} B in {STORM} files: {shell:#?}"
    );
    let build = the_one(report, &["build", "./..."])?;
    ensure!(build.parent.as_ref() == Some(&shell.id), "{build:#?}");
    ensure!(bytes_of(report, build, "calm") > 10_000, "{build:#?}");
    let counted: u64 = shell
        .processes
        .values()
        .map(|processes| processes.count)
        .sum();
    ensure!(
        counted >= STORM as u64,
        "{counted} processes: {:?}",
        shell.processes
    );
    env::say(&format!(
        "storm: agent {:.2} s CPU, {} MiB",
        report.agent.cpu_s,
        report.agent.max_rss_bytes >> 20
    ))
}

/// One process number for several builds: each is its own.
#[test]
fn a_number_used_again_confuses_nothing() -> Result<()> {
    let shop = Workshop::new("numbers")?;
    for round in 0..ROUNDS {
        shop.module(&format!("round{round}"), 2)?;
    }
    // The number of the first build is given out again to each of the following.
    let script = format!(
        "cd {}; last=0; for round in $(seq 0 {}); do cd round$round; \
         [ $last = 0 ] || echo $((last - 1)) >/proc/sys/kernel/ns_last_pid; \
         go build -tags=r$round ./... & last=${{last#0}}; last=${{last:-$!}}; wait; cd ..; done",
        shop.place("src").display(),
        ROUNDS - 1
    );
    let traced = shop.trace()?.run("sh", ["-c", &script])?;
    let report = traced.exact()?;
    whole(report)?;
    let mut numbers = Vec::new();
    for round in 0..ROUNDS {
        let build = the_one(report, &["build", &format!("-tags=r{round}"), "./..."])?;
        numbers.push(build.id.rsplit('-').nth(1).context("an odd id")?.to_owned());
        for other in 0..ROUNDS {
            let bytes = bytes_of(report, build, &format!("round{other}"));
            ensure!(
                (bytes > 2_000) == (other == round),
                "round {round}: {bytes} B of {other}"
            );
        }
    }
    let used = numbers.len();
    numbers.sort();
    numbers.dedup();
    if numbers.len() == used {
        return env::skip(
            SUITE,
            "a_number_used_again_confuses_nothing",
            "no number was given out again",
        );
    }
    env::say(&format!(
        "{used} builds had {} process numbers",
        numbers.len()
    ))
}
