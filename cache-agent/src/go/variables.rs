//! The only variables of an observed process that anybody gets to see.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Variables by name, of the allow-list only.
pub type Variables = BTreeMap<&'static str, String>;

/// Longest value kept, in bytes.
pub const VALUE_BYTES: usize = 512;

/// Variables that enter action ids; known for certain once a tool of go has told them.
pub const IN_ACTION_IDS: [&str; 25] = [
    "AR",
    "CC",
    "CGO_CFLAGS",
    "CGO_CPPFLAGS",
    "CGO_CXXFLAGS",
    "CGO_ENABLED",
    "CGO_FFLAGS",
    "CGO_LDFLAGS",
    "CXX",
    "FC",
    "GO386",
    "GOAMD64",
    "GOARCH",
    "GOARM",
    "GOARM64",
    "GOEXPERIMENT",
    "GOFIPS140",
    "GOFLAGS",
    "GOMIPS",
    "GOMIPS64",
    "GOOS",
    "GOPPC64",
    "GORISCV64",
    "GOWASM",
    "PKG_CONFIG",
];

/// Variables that say where caches are.
pub const CACHES: [&str; 3] = ["GOCACHE", "GOMODCACHE", "GOPATH"];

/// Version of go that another version executes in its own place (cmd/go/internal/toolchain, `targetEnv`).
pub const SWITCHED_TO: &str = "GOTOOLCHAIN_INTERNAL_SWITCH_VERSION";

/// What else the go command tells its tools of itself and of where it runs.
const GO: [&str; 11] = [
    "GOCACHEPROG",
    "GOENV",
    "GOROOT",
    "GOTOOLCHAIN",
    SWITCHED_TO,
    "GOVERSION",
    "HOME",
    "PWD",
    "TOOLEXEC_IMPORTPATH",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

/// Facts of CI systems, and the one of distributed tracing.
const CI: [&str; 44] = [
    "BRANCH_NAME",
    "BUILDKITE",
    "BUILDKITE_BRANCH",
    "BUILDKITE_BUILD_NUMBER",
    "BUILDKITE_LABEL",
    "BUILDKITE_PIPELINE_SLUG",
    "BUILDKITE_REPO",
    "BUILDKITE_STEP_KEY",
    "BUILD_NUMBER",
    "CI_COMMIT_REF_NAME",
    "CI_JOB_ID",
    "CI_JOB_NAME",
    "CI_PIPELINE_ID",
    "CI_PROJECT_PATH",
    "CIRCLECI",
    "CIRCLE_BRANCH",
    "CIRCLE_BUILD_NUM",
    "CIRCLE_JOB",
    "CIRCLE_PROJECT_REPONAME",
    "CIRCLE_PROJECT_USERNAME",
    "CIRCLE_WORKFLOW_ID",
    "DRONE",
    "DRONE_BRANCH",
    "DRONE_BUILD_NUMBER",
    "DRONE_REPO",
    "DRONE_STAGE_NAME",
    "DRONE_STEP_NAME",
    "GITHUB_ACTIONS",
    "GITHUB_HEAD_REF",
    "GITHUB_JOB",
    "GITHUB_REF_NAME",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_NUMBER",
    "GITHUB_WORKFLOW",
    "GITLAB_CI",
    "GIT_BRANCH",
    "GIT_URL",
    "JENKINS_URL",
    "JOB_NAME",
    "TEAMCITY_BUILDCONF_NAME",
    "TEAMCITY_PROJECT_NAME",
    "TEAMCITY_VERSION",
    "TRACEPARENT",
];

/// Picks the allowed ones out of strings `NAME=value`, each ended by NUL; the rest is never copied.
///
/// Of a name given twice the first counts, as for getenv(3).
pub fn allowed(strings: &[u8]) -> Variables {
    let mut variables = Variables::new();
    for (name, value) in settings(strings, 0) {
        let Some(name) = allowed_name(name) else {
            continue;
        };
        if let Some(value) = bounded(name, value).filter(|value| !value.is_empty()) {
            variables.entry(name).or_insert(value);
        }
    }
    variables
}

/// Those of a file of the go command's settings that say where caches are or enter action ids.
///
/// Of a name given twice the last counts, and an empty value is none.
pub fn saved(text: &[u8]) -> Variables {
    let mut found = Variables::new();
    for (name, value) in settings(text, b'\n') {
        let name = find(IN_ACTION_IDS.iter().chain(&CACHES), name);
        if let Some(name) = name
            && let Some(value) = bounded(name, value)
        {
            found.insert(name, value);
        }
    }
    found.retain(|_, value| !value.is_empty());
    found
}

/// A value that fits; of a longer one that enters action ids, enough to tell it from others.
fn bounded(name: &str, value: &[u8]) -> Option<String> {
    if value.len() <= VALUE_BYTES {
        return Some(String::from_utf8_lossy(value).into_owned());
    }
    let [a, b, c, d, ..] = Sha256::digest(value)[..] else {
        return None;
    };
    let told = format!("#{a:02x}{b:02x}{c:02x}{d:02x} ({} bytes)", value.len());
    IN_ACTION_IDS.contains(&name).then_some(told)
}

/// Names and values of strings `NAME=value` with this byte between them; neither is trimmed, unquoted or expanded.
pub(crate) fn settings(text: &[u8], between: u8) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(move |byte| *byte == between)
        .filter_map(|string| {
            let at = string.iter().position(|byte| *byte == b'=')?;
            Some((string.get(..at)?, string.get(at + 1..)?))
        })
}

fn allowed_name(name: &[u8]) -> Option<&'static str> {
    let names = IN_ACTION_IDS.iter().chain(&CACHES);
    find(names.chain(&GO).chain(&CI), name)
}

fn find<'a>(
    mut names: impl Iterator<Item = &'a &'static str>,
    name: &[u8],
) -> Option<&'static str> {
    names.find(|known| known.as_bytes() == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allow_list_is_kept() {
        let strings = b"AWS_SECRET_ACCESS_KEY=x\0GOFLAGS=-race\0GOFLAGS=-v\0noequals\0GOCACHE=\0=\0GITHUB_TOKEN=t\0CI_JOB_NAME=lint";
        let found = allowed(strings);
        let expected = Variables::from([
            ("CI_JOB_NAME", "lint".to_owned()),
            ("GOFLAGS", "-race".to_owned()),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_value_too_long_is_none_or_told_from_others() {
        let long = |name: &str, byte| [name.as_bytes(), &[byte; VALUE_BYTES + 1]].concat();
        assert!(allowed(&long("HOME=", b'x')).is_empty());
        let [one, other] =
            [b'x', b'y'].map(|byte| allowed(&long("GOFLAGS=", byte))["GOFLAGS"].clone());
        assert_ne!(one, other);
        assert!(
            one.starts_with('#') && one.ends_with(" (513 bytes)"),
            "{one}"
        );
    }
}
