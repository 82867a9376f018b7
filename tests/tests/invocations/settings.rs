//! Settings from a file of the user's, and settings that come and go.

use anyhow::{Result, ensure};
use cache_tests::workshop::{Workshop, the_one, whole};

/// Users whose settings differ, by number.
const USERS: [u32; 2] = [20_001, 20_002];
/// What each of them builds with.
const FLAGS: [&str; 2] = ["-gcflags=-l", "-gcflags=-N"];
/// Builds by turns.
const TURNS: usize = 4;

/// What `go env -w` saves between two builds is named as the cause of the second one.
#[test]
fn what_go_env_saves_is_named() -> Result<()> {
    let shop = Workshop::new("saved")?;
    let module = shop.module("saved", 40)?;
    let script =
        "unset GOENV GOFLAGS; go build ./... && go env -w GOFLAGS=-gcflags=-l && go build -v ./...";
    let traced = shop.trace()?.directory(&module).run("sh", ["-c", script])?;
    let report = traced.exact()?;
    whole(report)?;
    let build = the_one(report, &["build", "-v", "./..."])?;
    let told: Vec<_> = build
        .cause
        .iter()
        .filter(|cause| cause.kind != "index")
        .map(|cause| (cause.kind.as_str(), cause.detail.as_str()))
        .collect();
    ensure!(
        told == [("settings:GOFLAGS", "\"\" -> \"-gcflags=-l\"")],
        "{build:#?}"
    );
    Ok(())
}

/// Two users who build the same module by turns, each with settings of his own.
#[test]
fn settings_that_come_and_go_are_named_with_their_users() -> Result<()> {
    let shop = Workshop::new("flapping")?;
    let module = shop.module("flapping", 40)?;
    let mut lines = vec!["umask 0".to_owned()];
    for turn in 1..=TURNS {
        // What is built anew at each turn is what the other one changed.
        let who = turn % USERS.len();
        let (user, flags) = (USERS[who], FLAGS[who]);
        lines.push(format!(
            "for file in p*/p.go; do echo 'var V{turn} = {turn}' >>$file; done"
        ));
        lines.push(format!(
            "GOFLAGS={flags} setpriv --reuid={user} --regid={user} --clear-groups go build -p={turn} ./..."
        ));
    }
    let script = lines.join(" && ");
    let traced = shop
        .trace()?
        .directory(&module)
        .run("sh", ["-c", &script])?;
    let report = traced.exact()?;
    whole(report)?;
    for turn in 1..=TURNS {
        let build = the_one(report, &["build", &format!("-p={turn}"), "./..."])?;
        let flapping: Vec<_> = build
            .cause
            .iter()
            .filter(|cause| cause.kind == "flapping")
            .map(|cause| cause.detail.as_str())
            .collect();
        let expected: &[&str] = if turn < TURNS {
            &[]
        } else {
            &["GOFLAGS \"-gcflags=-N\" (uid 20002) <-> \"-gcflags=-l\" (uid 20001)"]
        };
        ensure!(flapping == expected, "turn {turn}: {:?}", build.cause);
    }
    Ok(())
}
