use std::collections::BTreeSet;

use super::*;
use crate::go::variables::{CI, allowed};

/// An environment of each system, as it sets it; then the system, job, leg, pipeline, repository and branch.
const CASES: [(&str, [&str; 6]); 26] = [
    (
        "CI=true GITHUB_ACTIONS=true GITHUB_JOB=lint GITHUB_RUN_ID=812 GITHUB_RUN_ATTEMPT=1 GITHUB_REPOSITORY=a/b GITHUB_REF_NAME=main",
        ["github", "lint", "", "812", "a/b", "main"],
    ),
    (
        "CI=true GITEA_ACTIONS=true GITHUB_ACTIONS=true GITHUB_JOB=lint GITHUB_RUN_ID=812 GITHUB_REPOSITORY=a/b GITHUB_REF_NAME=7/merge GITHUB_HEAD_REF=fix",
        ["gitea", "lint", "", "812", "a/b", "fix"],
    ),
    (
        "CI=true FORGEJO_ACTIONS=true GITEA_ACTIONS=true GITHUB_ACTIONS=true GITHUB_JOB=lint GITHUB_RUN_NUMBER=812 GITHUB_REPOSITORY=a/b GITHUB_REF_NAME=main",
        ["forgejo", "lint", "", "812", "a/b", "main"],
    ),
    (
        "CI=woodpecker CI_SYSTEM_NAME=woodpecker CI_REPO=a/b CI_PIPELINE_NUMBER=812 CI_WORKFLOW_NAME=check CI_WORKFLOW_NUMBER=2 CI_STEP_NAME=lint CI_COMMIT_BRANCH=main",
        ["woodpecker", "lint", "2", "812", "a/b", "main"],
    ),
    (
        "CI=woodpecker CI_REPO=a/b CI_PIPELINE_NUMBER=812 CI_WORKFLOW_NAME=check CI_COMMIT_SOURCE_BRANCH=fix CI_COMMIT_BRANCH=main",
        ["woodpecker", "check", "", "812", "a/b", "fix"],
    ),
    (
        "CI=true GITLAB_CI=true CI_JOB_NAME=lint CI_NODE_TOTAL=1 CI_NODE_INDEX=1 CI_PIPELINE_ID=812 CI_PROJECT_PATH=a/b CI_COMMIT_REF_NAME=main",
        ["gitlab", "lint", "", "812", "a/b", "main"],
    ),
    (
        "GITLAB_CI=true CI_JOB_ID=99 CI_NODE_TOTAL=3 CI_NODE_INDEX=2 CI_PIPELINE_ID=812 CI_PROJECT_PATH=a/b CI_COMMIT_REF_NAME=main",
        ["gitlab", "99", "2", "812", "a/b", "main"],
    ),
    (
        "BUILDKITE=true BUILDKITE_LABEL=lint BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=4 BUILDKITE_BUILD_NUMBER=812 BUILDKITE_REPO=https://t@h/a BUILDKITE_BRANCH=main",
        ["buildkite", "lint", "0", "812", "https://***@h/a", "main"],
    ),
    (
        "CIRCLECI=true CIRCLE_JOB=lint CIRCLE_NODE_INDEX=3 CIRCLE_NODE_TOTAL=4 CIRCLE_WORKFLOW_ID=812 CIRCLE_PROJECT_REPONAME=b CIRCLE_PROJECT_USERNAME=a CIRCLE_BRANCH=main",
        ["circleci", "lint", "3", "812", "a/b", "main"],
    ),
    (
        "CIRCLECI=true CIRCLE_JOB=lint CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=1 CIRCLE_BUILD_NUM=812 CIRCLE_PROJECT_REPONAME=b CIRCLE_TAG=v1",
        ["circleci", "lint", "", "812", "b", "v1"],
    ),
    (
        "TF_BUILD=True SYSTEM_TEAMPROJECT=a BUILD_DEFINITIONNAME=b.check SYSTEM_JOBDISPLAYNAME=lint AGENT_JOBNAME=lint SYSTEM_JOBPOSITIONINPHASE=2 SYSTEM_TOTALJOBSINPHASE=3 BUILD_BUILDID=812 BUILD_BUILDNUMBER=20260102.1 BUILD_REPOSITORY_NAME=a/b BUILD_SOURCEBRANCHNAME=main",
        ["azure", "lint", "2", "812", "a/b", "main"],
    ),
    (
        "TF_BUILD=True SYSTEM_TEAMPROJECT=a BUILD_DEFINITIONNAME=check SYSTEM_JOBPOSITIONINPHASE=1 SYSTEM_TOTALJOBSINPHASE=1 BUILD_BUILDNUMBER=20260102.1 SYSTEM_PULLREQUEST_SOURCEBRANCH=refs/heads/fix BUILD_SOURCEBRANCHNAME=merge",
        ["azure", "check", "", "20260102.1", "a", "refs/heads/fix"],
    ),
    (
        "CI=true BITBUCKET_PIPELINE_UUID={2f} BITBUCKET_BUILD_NUMBER=812 BITBUCKET_STEP_UUID={7c} BITBUCKET_PARALLEL_STEP=0 BITBUCKET_PARALLEL_STEP_COUNT=2 BITBUCKET_REPO_FULL_NAME=a/b BITBUCKET_BRANCH=main",
        ["bitbucket", "{7c}", "0", "812", "a/b", "main"],
    ),
    (
        "CI=true TRAVIS=true TRAVIS_JOB_NAME=lint TRAVIS_JOB_NUMBER=812.3 TRAVIS_BUILD_NUMBER=812 TRAVIS_REPO_SLUG=a/b TRAVIS_BRANCH=main",
        ["travis", "lint", "812.3", "812", "a/b", "main"],
    ),
    (
        "CI=true SEMAPHORE=true SEMAPHORE_JOB_NAME=lint SEMAPHORE_JOB_INDEX=2 SEMAPHORE_JOB_COUNT=4 SEMAPHORE_WORKFLOW_ID=812 SEMAPHORE_GIT_REPO_SLUG=a/b SEMAPHORE_GIT_BRANCH=main",
        ["semaphore", "lint", "2", "812", "a/b", "main"],
    ),
    (
        "CODEBUILD_BUILD_ID=lint:b1e6661e CODEBUILD_BUILD_NUMBER=812 CODEBUILD_BATCH_BUILD_IDENTIFIER=go_1_24 CODEBUILD_SOURCE_REPO_URL=https://t@h/a CODEBUILD_WEBHOOK_HEAD_REF=refs/heads/main",
        [
            "codebuild",
            "lint",
            "go_1_24",
            "812",
            "https://***@h/a",
            "refs/heads/main",
        ],
    ),
    (
        "CI=true PROW_JOB_ID=0f2a JOB_NAME=lint JOB_TYPE=presubmit BUILD_ID=812 REPO_OWNER=a REPO_NAME=b PULL_BASE_REF=main",
        ["prow", "lint", "", "812", "a/b", "main"],
    ),
    (
        "ARGO_NODE_ID=check-x2f5-1142 ARGO_POD_NAME=check-x2f5-lint-1142 ARGO_WORKFLOW_NAME=check-x2f5 ARGO_TEMPLATE={}",
        ["argo", "check-x2f5-lint-1142", "", "check-x2f5", "", ""],
    ),
    (
        "ARGO_NODE_ID=check-x2f5-1142 ARGO_CONTAINER_NAME=main ARGO_TEMPLATE={}",
        ["argo", "check-x2f5-1142", "", "", "", ""],
    ),
    (
        "HOME=/tekton/home HOSTNAME=check-x2f5-lint-pod",
        ["tekton", "check-x2f5-lint", "", "", "", ""],
    ),
    (
        "HOME=/root HOSTNAME=check-x2f5-lint-pod TEKTON_TASK_NAME=lint TEKTON_PIPELINE_RUN=check-x2f5",
        ["tekton", "lint", "", "check-x2f5", "", ""],
    ),
    (
        "TEAMCITY_VERSION=1 TEAMCITY_BUILDCONF_NAME=lint BUILD_NUMBER=812 TEAMCITY_PROJECT_NAME=a BRANCH_NAME=main",
        ["teamcity", "lint", "", "812", "a", "main"],
    ),
    (
        "CI=true DRONE=true DRONE_STEP_NAME=lint DRONE_STAGE_NAME=check DRONE_STAGE_NUMBER=2 DRONE_BUILD_NUMBER=812 DRONE_REPO=a/b DRONE_BRANCH=main",
        ["drone", "lint", "2", "812", "a/b", "main"],
    ),
    (
        "CI=true CIRRUS_CI=true CIRRUS_TASK_NAME=lint CIRRUS_TASK_ID=5 CIRRUS_BUILD_ID=812 CIRRUS_REPO_FULL_NAME=a/b CIRRUS_BRANCH=main",
        ["cirrus", "lint", "", "812", "a/b", "main"],
    ),
    (
        "CI=true APPVEYOR=true APPVEYOR_JOB_NAME=lint APPVEYOR_JOB_NUMBER=2 APPVEYOR_BUILD_NUMBER=812 APPVEYOR_REPO_NAME=a/b APPVEYOR_REPO_BRANCH=main",
        ["appveyor", "lint", "2", "812", "a/b", "main"],
    ),
    (
        "JENKINS_URL=http://u:p@j/ JOB_NAME=lint BUILD_ID=812 BUILD_NUMBER=812 GIT_URL=https://u:p@h/a/b GIT_BRANCH=main",
        ["jenkins", "lint", "", "812", "https://***@h/a/b", "main"],
    ),
];

#[test]
fn each_system_tells_job_leg_pipeline_repository_and_branch() {
    for (strings, expected) in CASES {
        let facts = facts(&allowed(strings.replace(' ', "\0").as_bytes()));
        let found = ["system", "job", "leg", "pipeline", "repository", "branch"]
            .map(|fact| facts.get(fact).map_or("", String::as_str));
        assert_eq!(found, expected, "{strings}");
        let told = expected.iter().filter(|value| !value.is_empty());
        assert_eq!(facts.len(), told.count(), "{facts:?}");
    }
}

#[test]
fn each_system_has_a_case_and_a_name_in_the_documentation() {
    let page = include_str!("../../../docs/trace.md");
    for System { name, .. } in SYSTEMS {
        assert!(
            CASES
                .iter()
                .any(|(_, expected)| expected.first() == Some(&name)),
            "{name}"
        );
        assert!(page.contains(&format!("`{name}`")), "trace.md lacks {name}");
    }
}

#[test]
fn outside_of_ci_nothing_is_told() {
    for strings in [
        "JOB_NAME=x",
        "CI=true",
        "HOME=/root\0HOSTNAME=x-pod",
        "CI_SYSTEM_NAME=x",
    ] {
        assert_eq!(
            facts(&allowed(strings.as_bytes())),
            BTreeMap::new(),
            "{strings}"
        );
    }
}

#[test]
fn what_is_captured_is_what_the_facts_need() {
    let mut needed = BTreeSet::from(["TRACEPARENT"]);
    for system in &SYSTEMS {
        for names in [
            system.job,
            system.pipeline,
            system.repository,
            system.branch,
        ] {
            needed.extend(names.iter().flat_map(|names| names.split('/')));
        }
        needed.extend(system.signs.iter().map(|(name, _)| *name));
        needed.extend(
            system
                .leg
                .iter()
                .flat_map(|(index, total)| [*index, *total]),
        );
    }
    needed.retain(|name| !name.is_empty() && *name != "HOME");
    assert_eq!(needed, BTreeSet::from(CI));
}

#[test]
fn only_a_valid_trace_parent_is_told() {
    let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (value, is_valid) in [
        (valid, true),
        (
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            false,
        ),
        (
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            false,
        ),
        (
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            false,
        ),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            false,
        ),
        ("x", false),
    ] {
        let found = traceparent(&allowed(format!("TRACEPARENT={value}").as_bytes()));
        assert_eq!(found, if is_valid { value } else { "" });
    }
}
