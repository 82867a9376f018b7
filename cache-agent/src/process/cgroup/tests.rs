use proptest::{prelude::*, sample::select};

use super::*;

#[test]
fn the_unified_hierarchy_comes_first_and_the_telling_one_otherwise() {
    let docker = format!("/docker/{ID}");
    let beside =
        format!("4:memory:{docker}\n1:name=systemd:/a\n0::/system.slice/containerd.service\n");
    for (text, expected) in [
        (beside.as_str(), docker.as_str()),
        ("0::/user.slice/a.scope\n", "/user.slice/a.scope"),
        ("12:cpu:/\n4:memory:/docker/x\n0::/\n", "/docker/x"),
        ("1:name=systemd:/a\n0::/b:c\n", "/b:c"),
        ("", "/"),
        ("nonsense", "/"),
    ] {
        assert_eq!(path(text), expected, "{text}");
    }
}

/// Ids as they are: Docker's and its like, a second one, a UUID, a task of ECS, one of `BuildKit`.
const ID: &str = "8f3a52c07d1be94460a8c9b5e2f71d3344556677a0b1c2d3e4f5061728394a5b";
const INNER: &str = "1c9d4e7f2a3b5c6d8e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f";
const GUID: &str = "0f2a7c1e-91b3-4d5f-8a7b-4c6d5e6f7081";
const TASK: &str = "34dc0b5e626f2c5c4c5170e34b10e765";
const BUILD: &str = "osh60k53lspy0g0cjo94ur00h";

/// Fills in the ids; `{low}` is the UUID as systemd's slices have it.
fn filled(text: &str) -> String {
    let low = GUID.replace('-', "_");
    let ids = [
        ("{id}", ID),
        ("{inner}", INNER),
        ("{guid}", GUID),
        ("{low}", &low),
        ("{task}", TASK),
        ("{build}", BUILD),
    ];
    ids.iter()
        .fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
}

/// Lines of a path, and the container, runtime, pod, unit and user slice that it names; `-` for none.
fn check(table: &str) {
    for line in table.lines().filter(|line| !line.trim().is_empty()) {
        let line = filled(line);
        let mut fields = line.split_whitespace();
        let path = fields.next().unwrap();
        let expected: Vec<&str> = fields.chain(["-"; 5]).take(5).collect();
        let found = surroundings(path);
        let found = [
            found.container,
            found.runtime,
            found.pod,
            found.unit,
            found.slice,
        ];
        let found = found.map(|field| {
            if field.is_empty() {
                "-".to_owned()
            } else {
                field
            }
        });
        assert_eq!(found.as_slice(), expected, "{path}");
    }
}

#[test]
fn containers_of_docker_and_kubernetes() {
    check(
        r"
        /docker/{id} {id} docker
        /docker/buildx/{id} {id} docker
        /actions_job/{id} {id} docker
        /system.slice/docker-{id}.scope {id} docker
        /system.slice/docker-{id}.scope/init.scope {id} docker - init.scope
        /../docker-{id}.scope {id} docker
        /../{id} {id}
        /user.slice/user-1000.slice/user@1000.service/user.slice/docker-{id}.scope {id} docker - user@1000.service user-1000.slice
        /docker/{id}/docker/{inner} {inner} docker
        /docker/{id}/system.slice/ssh.service {id} docker - ssh.service
        /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{low}.slice/cri-containerd-{id}.scope {id} containerd {guid}
        /kubepods.slice/kubepods-pod{low}.slice/crio-{id}.scope/container {id} cri-o {guid}
        /../../../kubepods-burstable-pod{low}.slice/cri-containerd-{id}.scope {id} containerd {guid}
        /kubepods/besteffort/pod{guid}/{id} {id} kubernetes {guid}
        /kubepods/burstable/pod{task}/{id} {id} kubernetes {task}
        /kubepods/pod{guid}/crio-{id} {id} cri-o {guid}
        /kubepods/pod{guid}/{id}/docker/{inner} {inner} docker {guid}
        /docker/{id}/kubelet/kubepods/besteffort/pod{guid}/{inner} {inner} kubernetes {guid}
        /system.slice/containerd.service/kubepods-burstable-pod{low}.slice:cri-containerd:{id} {id} containerd {guid} containerd.service
        /system.slice:nerdctl:{id} {id} containerd
        /system.slice/nerdctl-{id}.scope {id} containerd
        ",
    );
}

#[test]
fn containers_of_podman_and_buildkit() {
    check(
        r"
        /machine.slice/libpod-{id}.scope {id} podman
        /machine.slice/libpod-{id}.scope/container {id} podman
        /machine.slice/machine-libpod_pod_{inner}.slice/libpod-{id}.scope {id} podman
        /user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container {id} podman - user@1000.service user-1000.slice
        /user.slice/user-1000.slice/user@1000.service/libpod-{id}.scope {id} podman - user@1000.service user-1000.slice
        /system.slice/web.service/libpod-payload-{id} {id} podman - web.service
        /libpod_parent/libpod-{id} {id} podman
        /machine.slice/libpod-conmon-{id}.scope - - - libpod-conmon-{id}.scope
        /system.slice/web.service/supervisor - - - web.service
        /libpod_parent/conmon
        /docker/buildkit/{build} {build} buildkit
        /buildkit/{build} {build} buildkit
        /../../buildkit/{build} {build} buildkit
        /docker/{id}/buildkit/{build} {build} buildkit
        /docker/{id}/docker/buildkit/{build} {build} buildkit
        /kubepods/burstable/pod{guid}/{id}/buildkit/{build} {build} buildkit {guid}
        /kubepods.slice/kubepods-pod{low}.slice/cri-containerd-{id}.scope/buildkit/{build} {build} buildkit {guid}
        /system.slice/system.slice:docker:{build} {build} buildkit
        /system.slice/docker.service/system.slice:docker:{build} {build} buildkit - docker.service
        /system.slice/buildkit.service/system.slice:buildkit:{build} {build} buildkit - buildkit.service
        /system.slice/docker-{build}.scope {build} buildkit
        /user.slice/buildkit-{build}.scope {build} buildkit
        ",
    );
}

#[test]
fn containers_of_lxc_and_machines_of_systemd() {
    check(
        r"
        /lxc.payload.web web lxc
        /lxc.payload.web/.lxc web lxc
        /lxc.payload.ci_runner-1/system.slice/cron.service ci_runner-1 lxc - cron.service
        /lxc.payload/web/init.scope web lxc - init.scope
        /lxc/101/ns/user.slice 101 lxc
        /../lxc.payload.web web lxc
        /lxc.payload.web/docker/{id} {id} docker
        /lxc.payload.web/x/{id} {id}
        /lxc.monitor.web
        /lxc.monitor/web
        /lxc.pivot
        /machine.slice/systemd-nspawn@web.service/payload web systemd-nspawn
        /machine.slice/systemd-nspawn@go\x2dbuild.service/payload/system.slice/ssh.service go-build systemd-nspawn - ssh.service
        /machine.slice/machine-go\x2dbuild.scope go-build systemd-nspawn
        /machine.slice/systemd-nspawn@web.service/supervisor
        /machine.slice/machine-lxc\x2d3142\x2dweb.scope/libvirt lxc-3142-web lxc
        /machine.slice/machine-qemu\x2d3\x2dweb.scope/libvirt/emulator - - - machine-qemu\x2d3\x2dweb.scope
        /machine.slice/machine-a\x2.scope - - - machine-a\x2.scope
        /machine.slice/machine-a\x2fb.scope - - - machine-a\x2fb.scope
        /machine.slice/machine-a\xffb.scope - - - machine-a\xffb.scope
        /system.slice/systemd-nspawn@web.service - - - systemd-nspawn@web.service
        ",
    );
}

#[test]
fn containers_of_schedulers() {
    check(
        r"
        /ecs/{task}/{id} {id} ecs
        /ecs/{guid}/{id} {id} ecs
        /ecs/default/{task}/{id} {id} ecs
        /ecs/{task}-3142653589 {task}-3142653589 ecs
        /ecs/{task}/{task}-3142653589 {task}-3142653589 ecs
        /ecstasks.slice/ecstasks-{task}.slice/docker-{id}.scope {id} docker
        /nomad/{guid}.web {guid}.web nomad
        /nomad/{guid} {guid} nomad
        /nomad/reserved/{guid}.web {guid}.web nomad
        /nomad.slice/{guid}.web.scope {guid}.web nomad
        /nomad.slice/share.slice/{guid}.go-build.scope {guid}.go-build nomad
        /nomad.slice/reserve.slice/{guid}.web.scope {guid}.web nomad
        /nomad.slice/share.slice/docker-{id}.scope {id} docker
        /garden/{guid} {guid} garden
        /system.slice/garden.service/garden/good/e1b8a8c1-a0ab-4f39-6e7e-a8b0 e1b8a8c1-a0ab-4f39-6e7e-a8b0 garden - garden.service
        /mesos/{guid} {guid} mesos
        /mesos/{guid}/mesos/{guid} {guid} mesos
        ",
    );
}

#[test]
fn what_is_no_container() {
    let paths = [
        "",
        "/",
        "/../..",
        "/podium/x",
        "/docker",
        "/docker/web",
        "/buildkit",
        "/buildkit/OSH60K53LSPY0G0CJO94UR00H",
        "/buildkit/{build}x",
        "/buildkit/osh60k53lspy0g0cjo94ur0-h",
        "/{build}",
        "/x/{build}",
        "/docker-{build}",
        "/docker/{id}0",
        "/docker-{task}",
        "/ecs/{task}",
        "/ecs/{task}-",
        "/ecs/{task}-1x",
        "/ecs/{task}-123456789012345678901",
        "/x/{task}-3142653589",
        "/nomad/{task}.web",
        "/nomad/{guid}.",
        "/nomad/{guid}.we b",
        "/x/{guid}.web",
        "/x/{guid}",
        "/garden/web",
        "/garden/{guid}-0f2a",
        "/mesos/web",
        "/lxc",
        "/lxc.payload",
        "/lxc.payload.",
        "/lxc.payload.-web",
        "/lxc.payload.we b",
        "/lxc.payload.w\u{e9}b",
        "/kubepods/pod0f2a7c1e",
        "/kubepods/pod{guid}00",
    ];
    for path in paths.map(filled) {
        assert_eq!(surroundings(&path), Surroundings::default(), "{path}");
    }
    let long = "a".repeat(129);
    assert_eq!(
        surroundings(&format!("/lxc.payload.{long}")),
        Surroundings::default()
    );
    check(
        r"
        /system.slice/cron.service - - - cron.service
        /user.slice/user-0.slice/session-3.scope - - - session-3.scope user-0.slice
        /system.slice/docker-{build}.service - - - docker-{build}.service
        ",
    );
}

#[test]
fn a_group_that_is_gone_says_what_it_was() {
    let found = surroundings(&filled("/docker/{id} (deleted)"));
    assert_eq!([found.container, found.runtime], [ID, "docker"]);
}

#[test]
fn a_path_too_long_ends_with_a_whole_name() {
    let deep = "/x".repeat(250);
    let text = format!("0::{deep}/lxc.payload.web-server\n");
    assert_eq!(path(&text), deep);
    assert_eq!(
        path(&format!("0::{deep}/lxc.payload\n")),
        format!("{deep}/lxc.payload")
    );
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
        (prefix, runtime) in select(&container::SCOPES[..]),
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
