//! Container, pod, unit and slice, as far as the cgroup path names them.

mod container;

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

/// Longest path kept, in characters.
const PATH_CHARACTERS: usize = 512;
/// Longest name of a Kubernetes namespace.
const NAMESPACE_BYTES: usize = 63;

/// The path out of `/proc/PID/cgroup`: the one that names a container, else that of version 2 if it says
/// anything, else the longest.
pub fn path(text: &str) -> String {
    let paths = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        Some((fields.next()?, fields.nth(1)?))
    });
    let mut paths: Vec<_> = paths.filter(|(_, path)| path.len() > 1).collect();
    // Beside version 1, runtimes leave version 2 (number 0) with the group of who started them.
    paths.sort_by_cached_key(|(number, path)| {
        let names_none = surroundings(path).container.is_empty();
        (names_none, *number != "0", std::cmp::Reverse(path.len()))
    });
    let path = paths.first().map_or("/", |(_, path)| path);
    let shown = path.chars().filter(|character| !character.is_control());
    let mut kept: String = shown.clone().take(PATH_CHARACTERS).collect();
    if shown.count() > PATH_CHARACTERS {
        // Of a name that was cut another one would be left.
        kept.truncate(kept.rfind('/').unwrap_or_default());
    }
    kept
}

/// What a path says. Any user can name his own groups: nothing here is more than a name.
pub fn surroundings(path: &str) -> Surroundings {
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    let components = path.split('/').filter(|component| !component.is_empty());
    // What is beside the group of the reader's cgroup namespace begins with these.
    let components: Vec<&str> = components.filter(|component| *component != "..").collect();
    let mut found = Surroundings::default();
    for (at, component) in components.iter().enumerate() {
        let before = components.get(..at).unwrap_or_default();
        one(&mut found, before, component);
    }
    found
}

fn one(found: &mut Surroundings, before: &[&str], component: &str) {
    let parent = before.last().copied().unwrap_or_default();
    if let Some(pod) = pod(component) {
        found.pod = pod;
        return;
    }
    if let Some((container, runtime)) = container::named(before, component) {
        // containerd's form has the pod's slice before a colon.
        if let Some(pod) = component.split_once(':').and_then(|(slice, _)| pod(slice)) {
            found.pod = pod;
        }
        found.container = container;
        let is_in_pod = runtime.is_empty() && pod(parent).is_some();
        let runtime = if is_in_pod { "kubernetes" } else { runtime };
        runtime.clone_into(&mut found.runtime);
        return;
    }
    if container::is_supervisor(parent, component) {
        found.container.clear();
        found.runtime.clear();
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
    if parent == "k8s.io" && is_namespace(component) {
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
    // That of a static pod is a digest.
    (container::is_uuid(&uid) || container::is_hex(&uid, 32)).then_some(uid)
}

fn is_namespace(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= NAMESPACE_BYTES && name.bytes().all(is_usual)
}

#[cfg(test)]
mod tests;
