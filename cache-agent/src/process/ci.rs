//! Facts of the CI job that a process belongs to, from the well-known variables of each system.

use std::collections::BTreeMap;

use crate::{go::variables::Variables, model::mask};

/// A system, how it is known, and the variables of each fact, the most telling first.
struct System {
    name: &'static str,
    sign: &'static str,
    facts: [(&'static str, &'static [&'static str]); 4],
}

const SYSTEMS: [System; 7] = [
    System {
        name: "github",
        sign: "GITHUB_ACTIONS",
        facts: [
            ("job", &["GITHUB_JOB"]),
            ("pipeline", &["GITHUB_RUN_ID", "GITHUB_RUN_NUMBER"]),
            ("repository", &["GITHUB_REPOSITORY"]),
            ("branch", &["GITHUB_HEAD_REF", "GITHUB_REF_NAME"]),
        ],
    },
    System {
        name: "gitlab",
        sign: "GITLAB_CI",
        facts: [
            ("job", &["CI_JOB_NAME", "CI_JOB_ID"]),
            ("pipeline", &["CI_PIPELINE_ID"]),
            ("repository", &["CI_PROJECT_PATH"]),
            ("branch", &["CI_COMMIT_REF_NAME"]),
        ],
    },
    System {
        name: "buildkite",
        sign: "BUILDKITE",
        facts: [
            ("job", &["BUILDKITE_LABEL", "BUILDKITE_STEP_KEY"]),
            (
                "pipeline",
                &["BUILDKITE_BUILD_NUMBER", "BUILDKITE_PIPELINE_SLUG"],
            ),
            ("repository", &["BUILDKITE_REPO"]),
            ("branch", &["BUILDKITE_BRANCH"]),
        ],
    },
    System {
        name: "circleci",
        sign: "CIRCLECI",
        facts: [
            ("job", &["CIRCLE_JOB"]),
            ("pipeline", &["CIRCLE_WORKFLOW_ID", "CIRCLE_BUILD_NUM"]),
            ("repository", &["CIRCLE_PROJECT_REPONAME"]),
            ("branch", &["CIRCLE_BRANCH"]),
        ],
    },
    System {
        name: "teamcity",
        sign: "TEAMCITY_VERSION",
        facts: [
            ("job", &["TEAMCITY_BUILDCONF_NAME"]),
            ("pipeline", &["BUILD_NUMBER"]),
            ("repository", &["TEAMCITY_PROJECT_NAME"]),
            ("branch", &["BRANCH_NAME"]),
        ],
    },
    System {
        name: "drone",
        sign: "DRONE",
        facts: [
            ("job", &["DRONE_STEP_NAME", "DRONE_STAGE_NAME"]),
            ("pipeline", &["DRONE_BUILD_NUMBER"]),
            ("repository", &["DRONE_REPO"]),
            ("branch", &["DRONE_BRANCH"]),
        ],
    },
    System {
        name: "jenkins",
        sign: "JENKINS_URL",
        facts: [
            ("job", &["JOB_NAME"]),
            ("pipeline", &["BUILD_NUMBER"]),
            ("repository", &["GIT_URL"]),
            ("branch", &["BRANCH_NAME", "GIT_BRANCH"]),
        ],
    },
];

/// `system`, `job`, `pipeline`, `repository`, `branch`, as far as the variables tell; nothing outside of CI.
pub fn facts(variables: &Variables) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let Some(system) = SYSTEMS
        .iter()
        .find(|system| variables.contains_key(system.sign))
    else {
        return facts;
    };
    facts.insert("system".to_owned(), system.name.to_owned());
    for (fact, names) in system.facts {
        if let Some(value) = names.iter().find_map(|name| variables.get(name)) {
            facts.insert(fact.to_owned(), mask::text(value));
        }
    }
    if system.name == "circleci"
        && let Some(owner) = variables.get("CIRCLE_PROJECT_USERNAME")
        && let Some(repository) = facts.get_mut("repository")
    {
        *repository = mask::text(&format!("{owner}/{repository}"));
    }
    facts
}

/// `TRACEPARENT` if it is valid (W3C Trace Context: version, trace id, parent id, flags), else nothing.
pub fn traceparent(variables: &Variables) -> String {
    let Some(value) = variables.get("TRACEPARENT") else {
        return String::new();
    };
    let fields: Vec<&str> = value.split('-').collect();
    let is_hex = |field: &str| {
        field
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let lengths: Vec<_> = fields.iter().map(|field| field.len()).collect();
    let is_valid = lengths == [2, 32, 16, 2]
        && fields.iter().all(|field| is_hex(field))
        && fields.first() != Some(&"ff")
        && fields
            .iter()
            .skip(1)
            .take(2)
            .all(|id| id.bytes().any(|byte| byte != b'0'));
    if is_valid {
        value.clone()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::variables::allowed;

    #[test]
    fn each_system_tells_job_pipeline_repository_and_branch() {
        for (strings, expected) in [
            (
                "GITHUB_ACTIONS=true\0GITHUB_JOB=lint\0GITHUB_RUN_ID=812\0GITHUB_REPOSITORY=a/b\0GITHUB_REF_NAME=main",
                ["github", "lint", "812", "a/b", "main"],
            ),
            (
                "GITLAB_CI=true\0CI_JOB_NAME=lint\0CI_PIPELINE_ID=812\0CI_PROJECT_PATH=a/b\0CI_COMMIT_REF_NAME=main",
                ["gitlab", "lint", "812", "a/b", "main"],
            ),
            (
                "BUILDKITE=true\0BUILDKITE_LABEL=lint\0BUILDKITE_BUILD_NUMBER=812\0BUILDKITE_REPO=https://t@h/a\0BUILDKITE_BRANCH=main",
                ["buildkite", "lint", "812", "https://***@h/a", "main"],
            ),
            (
                "CIRCLECI=true\0CIRCLE_JOB=lint\0CIRCLE_WORKFLOW_ID=812\0CIRCLE_PROJECT_REPONAME=b\0CIRCLE_PROJECT_USERNAME=a\0CIRCLE_BRANCH=main",
                ["circleci", "lint", "812", "a/b", "main"],
            ),
            (
                "TEAMCITY_VERSION=1\0TEAMCITY_BUILDCONF_NAME=lint\0BUILD_NUMBER=812\0TEAMCITY_PROJECT_NAME=a\0BRANCH_NAME=main",
                ["teamcity", "lint", "812", "a", "main"],
            ),
            (
                "DRONE=true\0DRONE_STEP_NAME=lint\0DRONE_BUILD_NUMBER=812\0DRONE_REPO=a/b\0DRONE_BRANCH=main",
                ["drone", "lint", "812", "a/b", "main"],
            ),
            (
                "JENKINS_URL=http://u:p@j/\0JOB_NAME=lint\0BUILD_NUMBER=812\0GIT_URL=https://u:p@h/a/b\0GIT_BRANCH=main",
                ["jenkins", "lint", "812", "https://***@h/a/b", "main"],
            ),
        ] {
            let facts = facts(&allowed(strings.as_bytes()));
            let found = ["system", "job", "pipeline", "repository", "branch"]
                .map(|fact| facts.get(fact).map_or("", String::as_str));
            assert_eq!(found, expected);
            assert_eq!(facts.len(), 5, "{facts:?}");
        }
        assert!(facts(&allowed(b"JOB_NAME=x")).is_empty());
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
}
