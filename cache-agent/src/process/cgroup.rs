//! Container, pod, unit and slice, as far as the cgroup path names them.

/// What a cgroup path says; empty where it says nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Surroundings {
    /// Container id.
    pub container: String,
    /// Container runtime.
    pub runtime: String,
    /// Kubernetes pod UID.
    pub pod: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// systemd unit.
    pub unit: String,
    /// systemd user slice.
    pub slice: String,
}

/// Hexadecimal digits of a container id.
const ID_DIGITS: usize = 64;
/// Runtimes by the prefix that they give their scopes.
const SCOPES: [(&str, &str); 6] = [
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("nerdctl-", "containerd"),
    ("containerd-", "containerd"),
];

/// The path out of `/proc/PID/cgroup`: of version 2 if there is one that says anything, else the first
/// hierarchy that does.
pub fn path(text: &str) -> String {
    let paths = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        Some((fields.next()?, fields.nth(1)?))
    });
    let mut paths: Vec<(&str, &str)> = paths.filter(|(_, path)| path.len() > 1).collect();
    // The unified hierarchy is number 0; of the others, the one that says most.
    paths.sort_by_key(|(number, path)| (*number != "0", std::cmp::Reverse(path.len())));
    paths
        .first()
        .map_or("/", |(_, path)| path)
        .chars()
        .filter(|character| !character.is_control())
        .take(512)
        .collect()
}

/// What a path says. Any user can name his own groups: nothing here is more than a name.
pub fn surroundings(path: &str) -> Surroundings {
    let mut found = Surroundings::default();
    let mut parent = "";
    for component in path.split('/').filter(|component| !component.is_empty()) {
        one(&mut found, parent, component);
        parent = component;
    }
    found
}

fn one(found: &mut Surroundings, parent: &str, component: &str) {
    if let Some(pod) = pod(component) {
        found.pod = pod;
        return;
    }
    if let Some((container, runtime)) = container(parent, component) {
        found.container = container;
        if !runtime.is_empty() {
            runtime.clone_into(&mut found.runtime);
        } else if found.runtime.is_empty() && !found.pod.is_empty() {
            "kubernetes".clone_into(&mut found.runtime);
        }
        return;
    }
    let is_user_slice = component
        .strip_suffix(".slice")
        .is_some_and(|name| name.starts_with("user-"));
    if is_user_slice {
        component.clone_into(&mut found.slice);
    }
    let is_unit = [".service", ".scope", ".socket", ".mount"]
        .iter()
        .any(|suffix| component.ends_with(suffix));
    if is_unit {
        component.clone_into(&mut found.unit);
    }
    // Some runtimes put the namespace above the pod: /k8s.io/<namespace>/<pod>.
    if parent == "k8s.io" && !is_id(component) {
        component.clone_into(&mut found.namespace);
    }
}

/// `kubepods-burstable-pod<uid>.slice`, with underscores, or `pod<uid>`.
fn pod(component: &str) -> Option<String> {
    let name = component.strip_suffix(".slice").unwrap_or(component);
    let uid = match name.rsplit_once("-pod") {
        Some((group, uid)) if group.starts_with("kubepods") => uid,
        _ => name.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    let is_uid = uid.len() >= 32
        && uid
            .chars()
            .all(|character| character.is_ascii_hexdigit() || character == '-');
    is_uid.then_some(uid)
}

/// The id, and the runtime as far as the path tells it.
fn container(parent: &str, component: &str) -> Option<(String, &'static str)> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    for (prefix, runtime) in SCOPES {
        if let Some(id) = name.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some((id.to_owned(), runtime));
        }
    }
    // containerd's form of systemd groups: <parent>:cri-containerd:<id>.
    if let Some((before, id)) = name.rsplit_once(':').filter(|(_, id)| is_id(id)) {
        let runtime = if before.ends_with("cri-containerd") || before.ends_with("nerdctl") {
            "containerd"
        } else {
            ""
        };
        return Some((id.to_owned(), runtime));
    }
    if !is_id(name) {
        return None;
    }
    let runtime = match parent {
        "docker" => "docker",
        "libpod_parent" | "machine.slice" => "podman",
        "lxc" => "lxc",
        "buildkit" => "buildkit",
        _ => "",
    };
    Some((name.to_owned(), runtime))
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    #[test]
    fn the_unified_hierarchy_comes_first_and_the_telling_one_otherwise() {
        for (text, expected) in [
            ("0::/user.slice/a.scope\n", "/user.slice/a.scope"),
            ("12:cpu:/\n4:memory:/docker/x\n0::/\n", "/docker/x"),
            ("1:name=systemd:/a\n0::/b:c\n", "/b:c"),
            ("", "/"),
            ("nonsense", "/"),
        ] {
            assert_eq!(path(text), expected, "{text}");
        }
    }

    #[test]
    fn containers_pods_and_units_are_found() {
        let id = "ab".repeat(32);
        let uid = "0f2a7c1e-1111-2222-3333-444455556666";
        let low = uid.replace('-', "_");
        let docker = format!("/system.slice/docker-{id}.scope");
        let plain = format!("/docker/{id}");
        let systemd = format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{low}.slice/cri-containerd-{id}.scope"
        );
        let fs = format!("/kubepods/besteffort/pod{uid}/{id}");
        let podman = format!("/user.slice/user-1000.slice/user@1000.service/libpod-{id}.scope");
        let colons = format!("/system.slice:cri-containerd:{id}");
        for (path, container, runtime, pod, unit, slice) in [
            (docker.as_str(), id.as_str(), "docker", "", "", ""),
            (&plain, &id, "docker", "", "", ""),
            (&systemd, &id, "containerd", uid, "", ""),
            (&fs, &id, "kubernetes", uid, "", ""),
            (
                &podman,
                &id,
                "podman",
                "",
                "user@1000.service",
                "user-1000.slice",
            ),
            (&colons, &id, "containerd", "", "", ""),
            ("/system.slice/cron.service", "", "", "", "cron.service", ""),
            (
                "/user.slice/user-0.slice/session-3.scope",
                "",
                "",
                "",
                "session-3.scope",
                "user-0.slice",
            ),
            ("/podium/x", "", "", "", "", ""),
            ("", "", "", "", "", ""),
        ] {
            let found = surroundings(path);
            let found = [
                found.container,
                found.runtime,
                found.pod,
                found.unit,
                found.slice,
            ];
            assert_eq!(found, [container, runtime, pod, unit, slice], "{path}");
        }
    }

    #[test]
    fn a_namespace_is_told_where_the_path_has_it() {
        let path = format!("/k8s.io/default/{}", "cd".repeat(32));
        assert_eq!(surroundings(&path).namespace, "default");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn any_text_gives_a_path_that_is_bounded_and_printable(text in "(?s).{0,600}") {
            for text in [text.clone(), format!("0::/{text}"), text.replace('a', ":")] {
                let path = path(&text);
                prop_assert!(path.chars().count() <= 512 && !path.chars().any(char::is_control));
                surroundings(&path);
                surroundings(&text);
            }
        }

        #[test]
        fn what_a_path_is_made_of_is_what_it_says(
            id in "[0-9a-f]{64}",
            uid in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            user in 0..70_000u32,
            unit in "[a-z]{1,12}\\.(service|scope)",
            (prefix, runtime) in select(&SCOPES[..]),
        ) {
            let low = uid.replace('-', "_");
            let text = format!(
                "7:cpu:/x\n0::/user.slice/user-{user}.slice/{unit}/kubepods-pod{low}.slice/{prefix}{id}.scope\n"
            );
            let expected = Surroundings {
                container: id,
                runtime: runtime.to_owned(),
                pod: uid,
                namespace: String::new(),
                unit,
                slice: format!("user-{user}.slice"),
            };
            prop_assert_eq!(surroundings(&path(&text)), expected);
        }
    }
}
