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

/// Who called sudo, by name and number.
const SUDO: [&str; 2] = ["SUDO_UID", "SUDO_USER"];

/// Version of go that another version executes in its own place (cmd/go/internal/toolchain, `targetEnv`).
pub const SWITCHED_TO: &str = "GOTOOLCHAIN_INTERNAL_SWITCH_VERSION";

/// What else the go command tells its tools of itself and of where it runs.
const GO: [&str; 12] = [
    "GOCACHEPROG",
    "GOENV",
    "GOROOT",
    "GOTOOLCHAIN",
    SWITCHED_TO,
    "GOVERSION",
    "HOME",
    "PATH",
    "PWD",
    "TOOLEXEC_IMPORTPATH",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

/// Facts of CI systems, and the one of distributed tracing.
pub(crate) const CI: [&str; 142] = [
    "AGENT_JOBNAME",
    "APPVEYOR",
    "APPVEYOR_BUILD_ID",
    "APPVEYOR_BUILD_NUMBER",
    "APPVEYOR_JOB_NAME",
    "APPVEYOR_JOB_NUMBER",
    "APPVEYOR_PROJECT_SLUG",
    "APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH",
    "APPVEYOR_REPO_BRANCH",
    "APPVEYOR_REPO_NAME",
    "ARGO_NODE_ID",
    "ARGO_POD_NAME",
    "ARGO_WORKFLOW_NAME",
    "BITBUCKET_BRANCH",
    "BITBUCKET_BUILD_NUMBER",
    "BITBUCKET_PARALLEL_STEP",
    "BITBUCKET_PARALLEL_STEP_COUNT",
    "BITBUCKET_PIPELINE_UUID",
    "BITBUCKET_REPO_FULL_NAME",
    "BITBUCKET_REPO_SLUG",
    "BITBUCKET_STEP_UUID",
    "BITBUCKET_TAG",
    "BRANCH_NAME",
    "BUILDKITE",
    "BUILDKITE_BRANCH",
    "BUILDKITE_BUILD_NUMBER",
    "BUILDKITE_LABEL",
    "BUILDKITE_PARALLEL_JOB",
    "BUILDKITE_PARALLEL_JOB_COUNT",
    "BUILDKITE_PIPELINE_SLUG",
    "BUILDKITE_REPO",
    "BUILDKITE_STEP_KEY",
    "BUILD_BUILDID",
    "BUILD_BUILDNUMBER",
    "BUILD_DEFINITIONNAME",
    "BUILD_ID",
    "BUILD_NUMBER",
    "BUILD_REPOSITORY_NAME",
    "BUILD_SOURCEBRANCHNAME",
    "CI",
    "CIRCLECI",
    "CIRCLE_BRANCH",
    "CIRCLE_BUILD_NUM",
    "CIRCLE_JOB",
    "CIRCLE_NODE_INDEX",
    "CIRCLE_NODE_TOTAL",
    "CIRCLE_PROJECT_REPONAME",
    "CIRCLE_PROJECT_USERNAME",
    "CIRCLE_TAG",
    "CIRCLE_WORKFLOW_ID",
    "CIRRUS_BRANCH",
    "CIRRUS_BUILD_ID",
    "CIRRUS_CI",
    "CIRRUS_REPO_FULL_NAME",
    "CIRRUS_TAG",
    "CIRRUS_TASK_ID",
    "CIRRUS_TASK_NAME",
    "CI_COMMIT_BRANCH",
    "CI_COMMIT_REF_NAME",
    "CI_COMMIT_SOURCE_BRANCH",
    "CI_JOB_ID",
    "CI_JOB_NAME",
    "CI_NODE_INDEX",
    "CI_NODE_TOTAL",
    "CI_PIPELINE_ID",
    "CI_PIPELINE_NUMBER",
    "CI_PROJECT_PATH",
    "CI_REPO",
    "CI_STEP_NAME",
    "CI_SYSTEM_NAME",
    "CI_WORKFLOW_NAME",
    "CI_WORKFLOW_NUMBER",
    "CODEBUILD_BATCH_BUILD_IDENTIFIER",
    "CODEBUILD_BUILD_ARN",
    "CODEBUILD_BUILD_ID",
    "CODEBUILD_BUILD_NUMBER",
    "CODEBUILD_SOURCE_REPO_URL",
    "CODEBUILD_SOURCE_VERSION",
    "CODEBUILD_WEBHOOK_HEAD_REF",
    "DRONE",
    "DRONE_BRANCH",
    "DRONE_BUILD_NUMBER",
    "DRONE_REPO",
    "DRONE_SOURCE_BRANCH",
    "DRONE_STAGE_NAME",
    "DRONE_STAGE_NUMBER",
    "DRONE_STEP_NAME",
    "FORGEJO_ACTIONS",
    "GITEA_ACTIONS",
    "GITHUB_ACTIONS",
    "GITHUB_HEAD_REF",
    "GITHUB_JOB",
    "GITHUB_REF_NAME",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_NUMBER",
    "GITLAB_CI",
    "GIT_BRANCH",
    "GIT_URL",
    "HOSTNAME",
    "JENKINS_URL",
    "JOB_NAME",
    "PROW_JOB_ID",
    "PULL_BASE_REF",
    "PULL_HEAD_REF",
    "REPO_NAME",
    "REPO_OWNER",
    "SEMAPHORE",
    "SEMAPHORE_GIT_BRANCH",
    "SEMAPHORE_GIT_PR_BRANCH",
    "SEMAPHORE_GIT_REPO_SLUG",
    "SEMAPHORE_JOB_COUNT",
    "SEMAPHORE_JOB_ID",
    "SEMAPHORE_JOB_INDEX",
    "SEMAPHORE_JOB_NAME",
    "SEMAPHORE_PIPELINE_ID",
    "SEMAPHORE_PROJECT_NAME",
    "SEMAPHORE_WORKFLOW_ID",
    "SYSTEM_JOBDISPLAYNAME",
    "SYSTEM_JOBNAME",
    "SYSTEM_JOBPOSITIONINPHASE",
    "SYSTEM_PULLREQUEST_SOURCEBRANCH",
    "SYSTEM_TEAMPROJECT",
    "SYSTEM_TOTALJOBSINPHASE",
    "TEAMCITY_BUILDCONF_NAME",
    "TEAMCITY_PROJECT_NAME",
    "TEAMCITY_VERSION",
    "TEKTON_PIPELINE_RUN",
    "TEKTON_TASKRUN_NAME",
    "TEKTON_TASK_NAME",
    "TEKTON_TASK_RUN",
    "TF_BUILD",
    "TRACEPARENT",
    "TRAVIS",
    "TRAVIS_BRANCH",
    "TRAVIS_BUILD_ID",
    "TRAVIS_BUILD_NUMBER",
    "TRAVIS_BUILD_STAGE_NAME",
    "TRAVIS_JOB_NAME",
    "TRAVIS_JOB_NUMBER",
    "TRAVIS_PULL_REQUEST_BRANCH",
    "TRAVIS_REPO_SLUG",
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
        if let Some(name) = find(&[&IN_ACTION_IDS, &CACHES], name)
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
    find(&[&IN_ACTION_IDS, &CACHES, &GO, &SUDO, &CI], name)
}

/// Each list is sorted: every variable of every tool that runs is looked for.
fn find(lists: &[&[&'static str]], name: &[u8]) -> Option<&'static str> {
    lists.iter().find_map(|list| {
        let at = list.binary_search_by(|known| known.as_bytes().cmp(name));
        list.get(at.ok()?).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found() {
        for list in [&IN_ACTION_IDS[..], &CACHES, &GO, &SUDO, &CI] {
            assert!(list.is_sorted());
            for name in list {
                assert_eq!(allowed_name(name.as_bytes()), Some(*name));
            }
        }
    }

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
