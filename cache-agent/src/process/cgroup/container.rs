//! Containers by the cgroup names that runtimes give them.

use std::borrow::Cow;

/// Hexadecimal digits of most runtimes' ids.
const ID_DIGITS: usize = 64;
/// Base-36 digits of `BuildKit`'s ids.
const BUILDKIT_DIGITS: usize = 25;
/// Longest name that people give to a container.
const NAME_BYTES: usize = 128;
/// Runtimes by the prefix that they give their groups.
pub(super) const SCOPES: [(&str, &str); 7] = [
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("docker-", "docker"),
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
    ("nerdctl-", "containerd"),
    ("containerd-", "containerd"),
];

/// The id of what `component` names below the components `before` it, and the runtime as far as they tell.
pub(super) fn named(before: &[&str], component: &str) -> Option<(String, &'static str)> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let parent = before.last().copied().unwrap_or_default();
    let ids = scope(name)
        .or_else(|| buildkit(parent, component))
        .or_else(|| colons(name))
        .or_else(|| task(before, name))
        .or_else(|| plain(parent, name))
        .or_else(|| guid(before, name));
    let found = ids.or_else(|| lxc(parent, component));
    let found = found.map(|(id, runtime)| (id.to_owned(), runtime));
    found.or_else(|| machine(parent, component))
}

/// `docker-<id>.scope` and its like.
fn scope(name: &str) -> Option<(&str, &'static str)> {
    SCOPES.iter().find_map(|(prefix, runtime)| {
        let id = name.strip_prefix(prefix).filter(|id| is_id(id))?;
        Some((id, *runtime))
    })
}

/// `buildkit/<id>`, `system.slice:docker:<id>` where runc takes the name as it stands, and the scopes that
/// systemd makes of it.
fn buildkit<'a>(parent: &str, component: &'a str) -> Option<(&'a str, &'static str)> {
    let below = Some(component).filter(|_| parent == "buildkit");
    let after = |mark: &str| component.rsplit_once(mark).map(|(_, id)| id);
    let scope = component.strip_suffix(".scope").unwrap_or_default();
    let id = below
        .or_else(|| scope.strip_prefix("buildkit-"))
        .or_else(|| scope.strip_prefix("docker-"))
        .or_else(|| after(":docker:"))
        .or_else(|| after(":buildkit:"))?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    (id.len() == BUILDKIT_DIGITS && id.bytes().all(is_digit)).then_some((id, "buildkit"))
}

/// containerd's form of systemd groups: `<parent>:cri-containerd:<id>`.
fn colons(name: &str) -> Option<(&str, &'static str)> {
    let (before, id) = name.rsplit_once(':').filter(|(_, id)| is_id(id))?;
    let is_containerd = before.ends_with("cri-containerd") || before.ends_with("nerdctl");
    Some((id, if is_containerd { "containerd" } else { "" }))
}

/// ECS: `ecs/<task>/<id>`, the cluster between them with old agents; `<task>-<number>` on Fargate.
fn task<'a>(before: &[&str], name: &'a str) -> Option<(&'a str, &'static str)> {
    let is_task = |name: &str| is_hex(name, 32) || is_uuid(name);
    let is_below_task = match before {
        [.., "ecs", task] | [.., "ecs", _, task] => is_task(task),
        _ => false,
    };
    let is_below_ecs = is_below_task || before.last() == Some(&"ecs");
    let is_numbered = name.split_once('-').is_some_and(|(task, number)| {
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        is_hex(task, 32) && (1..=20).contains(&number.len()) && is_number
    });
    let is_found = is_below_task && is_id(name) || is_below_ecs && is_numbered;
    is_found.then_some((name, "ecs"))
}

/// An id that is the whole name.
fn plain<'a>(parent: &str, name: &'a str) -> Option<(&'a str, &'static str)> {
    let runtime = match parent {
        // GitHub's hosted runners have Docker put its containers below a group of the job.
        "docker" | "buildx" | "actions_job" => "docker",
        "libpod_parent" | "machine.slice" => "podman",
        "lxc" | "lxc.payload" => "lxc",
        _ => "",
    };
    is_id(name).then_some((name, runtime))
}

/// Runtimes that number by UUID, which only count below the group that is theirs.
fn guid<'a>(before: &[&str], name: &'a str) -> Option<(&'a str, &'static str)> {
    match before {
        [
            ..,
            "nomad" | "nomad.slice",
            "share" | "share.slice" | "reserve" | "reserved" | "reserve.slice",
        ]
        | [.., "nomad" | "nomad.slice"] => {
            let is_task = |(allocation, task)| is_uuid(allocation) && is_name(task);
            let is_found = is_uuid(name) || name.split_once('.').is_some_and(is_task);
            is_found.then_some((name, "nomad"))
        }
        // Diego cuts its handles to 28 characters.
        [.., "garden"] | [.., "garden", "good" | "bad"] => {
            let is_handle = is_uuid(name) || is_groups(name, [8, 4, 4, 4, 4]);
            is_handle.then_some((name, "garden"))
        }
        [.., "mesos"] => is_uuid(name).then_some((name, "mesos")),
        _ => None,
    }
}

/// `lxc.payload.NAME`, and `lxc/NAME` of old versions; its monitor is outside.
fn lxc<'a>(parent: &str, component: &'a str) -> Option<(&'a str, &'static str)> {
    let below = Some(component).filter(|_| matches!(parent, "lxc" | "lxc.payload"));
    let name = component.strip_prefix("lxc.payload.").or(below)?;
    is_name(name).then_some((name, "lxc"))
}

/// Machines of systemd, their names escaped as in units; a virtual machine of libvirt is no container.
fn machine(parent: &str, component: &str) -> Option<(String, &'static str)> {
    if parent != "machine.slice" {
        return None;
    }
    let service = component
        .strip_prefix("systemd-nspawn@")
        .and_then(|name| name.strip_suffix(".service"));
    let scope = component
        .strip_prefix("machine-")
        .and_then(|name| name.strip_suffix(".scope"));
    let name = unescaped(service.or(scope)?)?;
    let by_libvirt = |driver| {
        let number = name.strip_prefix(driver)?.split_once('-')?.0;
        Some(!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if !is_name(&name) || by_libvirt("qemu-") == Some(true) {
        return None;
    }
    let is_lxc = by_libvirt("lxc-") == Some(true);
    let runtime = if is_lxc { "lxc" } else { "systemd-nspawn" };
    Some((name.into_owned(), runtime))
}

/// A group of systemd-nspawn in which it runs itself, and not what is in the container.
pub(super) fn is_supervisor(parent: &str, component: &str) -> bool {
    let is_nspawn = parent.starts_with("systemd-nspawn@") || parent.starts_with("machine-");
    component == "supervisor" && is_nspawn
}

/// `\xNN` is how systemd writes what may not be in a unit's name; nothing if that is not text.
fn unescaped(name: &str) -> Option<Cow<'_, str>> {
    if !name.contains('\\') {
        return Some(Cow::Borrowed(name));
    }
    let mut pieces = name.split("\\x");
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok();
        text.push(byte.filter(u8::is_ascii)?.into());
        text.push_str(rest);
    }
    Some(Cow::Owned(text))
}

/// The id of most runtimes.
fn is_id(text: &str) -> bool {
    is_hex(text, ID_DIGITS)
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
pub(super) fn is_uuid(text: &str) -> bool {
    is_groups(text, [8, 4, 4, 4, 12])
}

/// So many hexadecimal digits, small ones as every runtime writes them.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(is_digit)
}

fn is_groups(text: &str, lengths: [usize; 5]) -> bool {
    let mut groups = text.split('-');
    let all = lengths
        .iter()
        .all(|length| groups.next().is_some_and(|group| is_hex(group, *length)));
    all && groups.next().is_none()
}

/// What runtimes allow in the names of containers and tasks.
fn is_name(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    begins && text.len() <= NAME_BYTES && text.bytes().all(is_usual)
}
