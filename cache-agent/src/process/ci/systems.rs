//! CI systems, how each is known, and the variables of each fact.

/// A system, and the variables of each fact, the most telling first; `A/B` is two of them with a slash between.
pub(super) struct System {
    /// As it is shown.
    pub name: &'static str,
    /// Variables of which each alone tells it, and the value where not any will do.
    pub signs: &'static [(&'static str, &'static str)],
    /// What is done.
    pub job: &'static [&'static str],
    /// The run that the job is part of.
    pub pipeline: &'static [&'static str],
    /// What is built.
    pub repository: &'static [&'static str],
    /// Branch, or tag.
    pub branch: &'static [&'static str],
    /// Which of the jobs of this name it is, and the variable that says how many there are.
    pub leg: &'static [(&'static str, &'static str)],
}

/// Those that set the variables of others too come before these.
pub(super) const SYSTEMS: [System; 20] = [
    System {
        name: "forgejo",
        signs: &[("FORGEJO_ACTIONS", "")],
        ..ACTIONS
    },
    System {
        name: "gitea",
        signs: &[("GITEA_ACTIONS", "")],
        ..ACTIONS
    },
    ACTIONS,
    System {
        name: "woodpecker",
        signs: &[("CI_SYSTEM_NAME", "woodpecker"), ("CI", "woodpecker")],
        job: &["CI_STEP_NAME", "CI_WORKFLOW_NAME"],
        pipeline: &["CI_PIPELINE_NUMBER"],
        repository: &["CI_REPO"],
        branch: &["CI_COMMIT_SOURCE_BRANCH", "CI_COMMIT_BRANCH"],
        leg: &[("CI_WORKFLOW_NUMBER", "")],
    },
    System {
        name: "gitlab",
        signs: &[("GITLAB_CI", "")],
        job: &["CI_JOB_NAME", "CI_JOB_ID"],
        pipeline: &["CI_PIPELINE_ID"],
        repository: &["CI_PROJECT_PATH"],
        branch: &["CI_COMMIT_REF_NAME"],
        leg: &[("CI_NODE_INDEX", "CI_NODE_TOTAL")],
    },
    System {
        name: "buildkite",
        signs: &[("BUILDKITE", "")],
        job: &["BUILDKITE_LABEL", "BUILDKITE_STEP_KEY"],
        pipeline: &["BUILDKITE_BUILD_NUMBER", "BUILDKITE_PIPELINE_SLUG"],
        repository: &["BUILDKITE_REPO"],
        branch: &["BUILDKITE_BRANCH"],
        leg: &[("BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT")],
    },
    System {
        name: "circleci",
        signs: &[("CIRCLECI", "")],
        job: &["CIRCLE_JOB"],
        pipeline: &["CIRCLE_WORKFLOW_ID", "CIRCLE_BUILD_NUM"],
        repository: &[
            "CIRCLE_PROJECT_USERNAME/CIRCLE_PROJECT_REPONAME",
            "CIRCLE_PROJECT_REPONAME",
        ],
        branch: &["CIRCLE_BRANCH", "CIRCLE_TAG"],
        leg: &[("CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL")],
    },
    System {
        name: "azure",
        signs: &[("TF_BUILD", "")],
        job: &[
            "SYSTEM_JOBDISPLAYNAME",
            "AGENT_JOBNAME",
            "SYSTEM_JOBNAME",
            "BUILD_DEFINITIONNAME",
        ],
        pipeline: &["BUILD_BUILDID", "BUILD_BUILDNUMBER"],
        repository: &["BUILD_REPOSITORY_NAME", "SYSTEM_TEAMPROJECT"],
        branch: &["SYSTEM_PULLREQUEST_SOURCEBRANCH", "BUILD_SOURCEBRANCHNAME"],
        leg: &[("SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE")],
    },
    System {
        name: "bitbucket",
        signs: &[
            ("BITBUCKET_PIPELINE_UUID", ""),
            ("BITBUCKET_BUILD_NUMBER", ""),
        ],
        job: &["BITBUCKET_STEP_UUID"],
        pipeline: &["BITBUCKET_BUILD_NUMBER", "BITBUCKET_PIPELINE_UUID"],
        repository: &["BITBUCKET_REPO_FULL_NAME", "BITBUCKET_REPO_SLUG"],
        branch: &["BITBUCKET_BRANCH", "BITBUCKET_TAG"],
        leg: &[("BITBUCKET_PARALLEL_STEP", "BITBUCKET_PARALLEL_STEP_COUNT")],
    },
    System {
        name: "travis",
        signs: &[("TRAVIS", "")],
        job: &[
            "TRAVIS_JOB_NAME",
            "TRAVIS_BUILD_STAGE_NAME",
            "TRAVIS_JOB_NUMBER",
        ],
        pipeline: &["TRAVIS_BUILD_NUMBER", "TRAVIS_BUILD_ID"],
        repository: &["TRAVIS_REPO_SLUG"],
        branch: &["TRAVIS_PULL_REQUEST_BRANCH", "TRAVIS_BRANCH"],
        leg: &[("TRAVIS_JOB_NUMBER", "")],
    },
    System {
        name: "semaphore",
        signs: &[("SEMAPHORE", "")],
        job: &["SEMAPHORE_JOB_NAME", "SEMAPHORE_JOB_ID"],
        pipeline: &["SEMAPHORE_WORKFLOW_ID", "SEMAPHORE_PIPELINE_ID"],
        repository: &["SEMAPHORE_GIT_REPO_SLUG", "SEMAPHORE_PROJECT_NAME"],
        branch: &["SEMAPHORE_GIT_PR_BRANCH", "SEMAPHORE_GIT_BRANCH"],
        leg: &[("SEMAPHORE_JOB_INDEX", "SEMAPHORE_JOB_COUNT")],
    },
    System {
        name: "codebuild",
        signs: &[("CODEBUILD_BUILD_ID", ""), ("CODEBUILD_BUILD_ARN", "")],
        // The project, a colon, and the id of the build.
        job: &["CODEBUILD_BUILD_ID"],
        pipeline: &["CODEBUILD_BUILD_NUMBER"],
        repository: &["CODEBUILD_SOURCE_REPO_URL"],
        branch: &["CODEBUILD_WEBHOOK_HEAD_REF", "CODEBUILD_SOURCE_VERSION"],
        leg: &[("CODEBUILD_BATCH_BUILD_IDENTIFIER", "")],
    },
    System {
        name: "prow",
        signs: &[("PROW_JOB_ID", "")],
        job: &["JOB_NAME"],
        pipeline: &["BUILD_ID", "PROW_JOB_ID"],
        repository: &["REPO_OWNER/REPO_NAME"],
        branch: &["PULL_HEAD_REF", "PULL_BASE_REF"],
        leg: &[],
    },
    System {
        name: "argo",
        signs: &[
            ("ARGO_NODE_ID", ""),
            ("ARGO_POD_NAME", ""),
            ("ARGO_WORKFLOW_NAME", ""),
        ],
        job: &["ARGO_POD_NAME", "ARGO_NODE_ID"],
        pipeline: &["ARGO_WORKFLOW_NAME"],
        repository: &[],
        branch: &[],
        leg: &[],
    },
    // Sets no variable of its own: these are what pipelines usually pass on. Its pods are named for their task runs.
    System {
        name: "tekton",
        signs: &[
            ("TEKTON_PIPELINE_RUN", ""),
            ("TEKTON_TASKRUN_NAME", ""),
            ("TEKTON_TASK_RUN", ""),
            ("TEKTON_TASK_NAME", ""),
            ("HOME", "/tekton/home"),
        ],
        job: &[
            "TEKTON_TASK_NAME",
            "TEKTON_TASKRUN_NAME",
            "TEKTON_TASK_RUN",
            "HOSTNAME",
        ],
        pipeline: &["TEKTON_PIPELINE_RUN"],
        repository: &[],
        branch: &[],
        leg: &[],
    },
    System {
        name: "teamcity",
        signs: &[("TEAMCITY_VERSION", "")],
        job: &["TEAMCITY_BUILDCONF_NAME"],
        pipeline: &["BUILD_NUMBER"],
        repository: &["TEAMCITY_PROJECT_NAME"],
        branch: &["BRANCH_NAME"],
        leg: &[],
    },
    System {
        name: "drone",
        signs: &[("DRONE", "")],
        job: &["DRONE_STEP_NAME", "DRONE_STAGE_NAME"],
        pipeline: &["DRONE_BUILD_NUMBER"],
        repository: &["DRONE_REPO"],
        branch: &["DRONE_SOURCE_BRANCH", "DRONE_BRANCH"],
        leg: &[("DRONE_STAGE_NUMBER", "")],
    },
    System {
        name: "cirrus",
        signs: &[("CIRRUS_CI", "")],
        job: &["CIRRUS_TASK_NAME", "CIRRUS_TASK_ID"],
        pipeline: &["CIRRUS_BUILD_ID"],
        repository: &["CIRRUS_REPO_FULL_NAME"],
        branch: &["CIRRUS_BRANCH", "CIRRUS_TAG"],
        leg: &[],
    },
    System {
        name: "appveyor",
        signs: &[("APPVEYOR", "")],
        job: &["APPVEYOR_JOB_NAME", "APPVEYOR_PROJECT_SLUG"],
        pipeline: &["APPVEYOR_BUILD_NUMBER", "APPVEYOR_BUILD_ID"],
        repository: &["APPVEYOR_REPO_NAME"],
        branch: &[
            "APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH",
            "APPVEYOR_REPO_BRANCH",
        ],
        leg: &[("APPVEYOR_JOB_NUMBER", "")],
    },
    System {
        name: "jenkins",
        signs: &[("JENKINS_URL", "")],
        job: &["JOB_NAME"],
        pipeline: &["BUILD_NUMBER"],
        repository: &["GIT_URL"],
        branch: &["BRANCH_NAME", "GIT_BRANCH"],
        leg: &[],
    },
];

/// GitHub's; none of its variables tells the legs of a matrix apart.
const ACTIONS: System = System {
    name: "github",
    signs: &[("GITHUB_ACTIONS", "")],
    job: &["GITHUB_JOB"],
    pipeline: &["GITHUB_RUN_ID", "GITHUB_RUN_NUMBER"],
    repository: &["GITHUB_REPOSITORY"],
    branch: &["GITHUB_HEAD_REF", "GITHUB_REF_NAME"],
    leg: &[],
};
