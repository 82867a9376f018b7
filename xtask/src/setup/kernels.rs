//! The kernels of the VM matrix: Debian's cloud images, fetched without touching the system's apt.
//!
//! Takes the mirror that the system's own apt uses for Debian; gives, per kernel, an image and the
//! modules the tests need, unpacked and in loading order, below `target/vm/kernels`. Never installs
//! a kernel, never reads or writes the system's package lists.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _};

use super::{apt, btf, by_hand, found, installing};
use crate::{
    command::{ask, program, run},
    paths,
};

/// The matrix: a kernel line and the Debian suite that carries it.
pub const VERSIONS: [(&str, &str); 3] = [
    ("6.1", "bookworm"),
    ("6.12", "bookworm-backports"),
    ("7.2", "forky"),
];
/// Where to fetch from when the system's apt knows no Debian mirror.
const MIRROR_VARIABLE: &str = "CACHE_DEBIAN_MIRROR";
/// Signs every suite; part of each Debian, and a package of its own elsewhere.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What the guest needs loaded. What a kernel lacks as a module is built in, or the guest says so
/// when it cannot use it. The ciphers are what btrfs and ext4 would ask a module loader for.
const MODULES: [&str; 14] = [
    "virtio_pci",
    "virtio_blk",
    "loop",
    "crc32c_generic",
    "crc32c_intel",
    "xxhash_generic",
    "blake2b_generic",
    "sha256_generic",
    "quota_v2",
    "ext4",
    "xfs",
    "btrfs",
    "overlay",
    "fuse",
];

/// A kernel of the matrix, ready to boot.
#[derive(Debug)]
pub struct Kernel {
    /// As in [`VERSIONS`].
    pub version: &'static str,
    pub image: PathBuf,
    /// In loading order.
    pub modules: Vec<PathBuf>,
}

/// The kernels whose version is in `versions`.
pub(super) fn ensure_kernels(versions: &[&str]) -> Result<Vec<Kernel>> {
    ensure!(
        env::consts::ARCH == "x86_64",
        "the VM matrix has x86-64 kernels only"
    );
    let chosen = VERSIONS
        .into_iter()
        .filter(|(version, _)| versions.contains(version));
    chosen
        .map(|(version, suite)| {
            let folder = paths::target().join("vm/kernels").join(version);
            if !folder.is_dir() {
                fetch(version, suite, &folder).with_context(|| {
                    by_hand(
                        &format!("kernel {version}"),
                        &format!(
                            "name a Debian mirror in {MIRROR_VARIABLE}, install {KEYRING} \
                             (debian-archive-keyring)"
                        ),
                    )
                })?;
            }
            let blob = paths::target().join("vm/btf").join(version);
            if !blob.exists() {
                fs::create_dir_all(paths::target().join("vm/btf"))?;
                btf::extract(&folder.join("vmlinuz"), &blob)
                    .with_context(|| format!("cannot get the types of kernel {version}"))?;
            }
            found(
                &format!("kernel {version}"),
                fs::read_to_string(folder.join("package"))?.trim(),
            );
            kernel(version, &folder)
        })
        .collect()
}

fn kernel(version: &'static str, folder: &Path) -> Result<Kernel> {
    let mut modules: Vec<PathBuf> = fs::read_dir(folder.join("modules"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    modules.sort();
    Ok(Kernel {
        version,
        image: folder.join("vmlinuz"),
        modules,
    })
}

/// Downloads and unpacks; the folder appears when all of it is there.
fn fetch(version: &str, suite: &str, folder: &Path) -> Result<()> {
    installing(
        &format!("kernel {version}"),
        &format!("fetching Debian's cloud kernel of {suite}"),
    );
    let lists = Lists::update(suite)?;
    let release = lists.release(version)?;
    let partial = paths::target()
        .join("vm/kernels")
        .join(format!("partial-{version}"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let unpacked = partial.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    // Older kernels are one package; newer ones keep image and modules apart.
    let parts = ["image", "binary", "modules"].map(|part| format!("linux-{part}-{release}"));
    for package in parts.iter().filter(|package| lists.has(package)) {
        lists.download(package, &unpacked)?;
    }
    let files = files_below(&unpacked)?;
    let image = files.iter().find(|file| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    });
    fs::copy(
        image.context("the packages hold no vmlinuz")?,
        partial.join("vmlinuz"),
    )?;
    keep_modules(&files, &partial.join("modules"))?;
    fs::write(partial.join("package"), &release)?;
    fs::remove_dir_all(&unpacked)?;
    fs::rename(&partial, folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Package lists of one suite, apart from the system's.
struct Lists {
    options: Vec<String>,
}

impl Lists {
    fn update(suite: &str) -> Result<Self> {
        let folder = paths::target().join("vm/apt").join(suite);
        let (lists, cache) = (folder.join("lists"), folder.join("cache"));
        fs::create_dir_all(lists.join("partial"))?;
        fs::create_dir_all(cache.join("archives/partial"))?;
        let sources = folder.join("debian.sources");
        let mirror = mirror()?;
        fs::write(
            &sources,
            format!(
                "Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n\
                 Architectures: amd64\nSigned-By: {KEYRING}\n"
            ),
        )?;
        let options = [
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=-".to_owned(),
            format!("Dir::State::lists={}", lists.display()),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={}", cache.display()),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        let lists = Self {
            options: options.to_vec(),
        };
        run(lists.command("apt-get").args(["update", "--quiet=2"]))?;
        Ok(lists)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = program(name);
        for option in &self.options {
            command.args(["--option", option]);
        }
        command
    }

    /// `6.1.0-50-cloud-amd64`, for example: what the suite's meta-package stands for.
    fn release(&self, version: &str) -> Result<String> {
        let text = ask(self.command("apt-cache").args([
            "show",
            "--no-all-versions",
            "linux-image-cloud-amd64",
        ]))?;
        let release = text
            .lines()
            .find_map(|line| line.strip_prefix("Depends: "))
            .and_then(|depends| release_in(depends, version));
        release.with_context(|| format!("the suite carries no {version} kernel: {text}"))
    }

    fn has(&self, package: &str) -> bool {
        ask(self.command("apt-cache").args(["show", package])).is_ok()
    }

    fn download(&self, package: &str, into: &Path) -> Result<()> {
        run(self
            .command("apt-get")
            .current_dir(into)
            .args(["download", "--quiet=2", package]))?;
        let archive = files_below(into)?
            .into_iter()
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get left no package in {}", into.display()))?;
        run(program("dpkg-deb").arg("--extract").arg(&archive).arg(into))?;
        fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
    }
}

fn release_in(depends: &str, version: &str) -> Option<String> {
    depends
        .split([',', '|'])
        .filter_map(|dependency| dependency.split_whitespace().next())
        .filter_map(|package| package.strip_prefix("linux-image-"))
        .find(|release| {
            release
                .strip_prefix(version)
                .is_some_and(|rest| rest.starts_with('.'))
        })
        .map(str::to_owned)
}

/// The mirror of the system's own apt.
fn mirror() -> Result<String> {
    if let Some(mirror) = env::var(MIRROR_VARIABLE).ok().filter(|it| !it.is_empty()) {
        return Ok(mirror);
    }
    // On a bare machine there are no lists, and no target has an origin.
    apt::update()?;
    let targets = ask(program("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    targets
        .lines()
        .find_map(|line| line.strip_prefix("Debian Debian "))
        .map(str::to_owned)
        .context("the system's apt knows no Debian mirror")
}

/// Copies the modules of [`MODULES`] and what they depend on, unpacked; the names sort in loading order.
fn keep_modules(files: &[PathBuf], into: &Path) -> Result<()> {
    fs::create_dir(into)?;
    let available: BTreeMap<String, &PathBuf> = files
        .iter()
        .filter_map(|file| Some((module_name(file)?, file)))
        .collect();
    let mut kept = Vec::new();
    for name in MODULES {
        keep_module(name, &available, into, &mut kept)?;
    }
    Ok(())
}

fn keep_module(
    name: &str,
    available: &BTreeMap<String, &PathBuf>,
    into: &Path,
    kept: &mut Vec<String>,
) -> Result<()> {
    let Some(file) = available
        .get(name)
        .filter(|_| !kept.iter().any(|it| it == name))
    else {
        return Ok(());
    };
    // Before its dependencies are followed, so that a circle ends.
    kept.push(name.to_owned());
    let content = if file.extension().is_some_and(|extension| extension == "xz") {
        unpacked(file)?
    } else {
        fs::read(file)?
    };
    for dependency in dependencies(&content).with_context(|| format!("module {name}"))? {
        keep_module(&dependency, available, into, kept)?;
    }
    let number = fs::read_dir(into)?.count();
    fs::write(into.join(format!("{number:02}-{name}.ko")), content)?;
    Ok(())
}

/// The name as the kernel has it; nothing if the file is no module.
fn module_name(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let stem = name
        .strip_suffix(".xz")
        .unwrap_or(name)
        .strip_suffix(".ko")?;
    Some(stem.replace('-', "_"))
}

fn unpacked(file: &Path) -> Result<Vec<u8>> {
    let mut command = program("xz");
    command.args(["--decompress", "--stdout"]).arg(file);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start xz (package xz-utils)")?;
    ensure!(
        output.status.success(),
        "xz cannot unpack {}",
        file.display()
    );
    Ok(output.stdout)
}

/// What the module says it depends on: zero-terminated `key=value` strings in a section.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module)?;
    let information = file
        .section_by_name(".modinfo")
        .context("has no .modinfo")?;
    let lists = information
        .data()?
        .split(|byte| *byte == 0)
        .filter_map(|entry| entry.strip_prefix(b"depends="));
    let names = lists.flat_map(|list| list.split(|byte| *byte == b','));
    Ok(names
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).replace('-', "_"))
        .collect())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meta_package_names_the_release() {
        let newer = "linux-base-cloud-amd64 (= 7.2.12-1), linux-image-7.2.12+deb14-cloud-amd64 (= 7.2.12-1)";
        for (depends, version, expected) in [
            (
                "linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)",
                "6.1",
                Some("6.1.0-50-cloud-amd64"),
            ),
            ("linux-image-6.12.95+deb12-cloud-amd64", "6.1", None),
            (newer, "7.2", Some("7.2.12+deb14-cloud-amd64")),
        ] {
            assert_eq!(
                release_in(depends, version).as_deref(),
                expected,
                "{depends}"
            );
        }
    }

    #[test]
    fn modules_have_the_kernels_names() {
        for (file, name) in [
            ("a/crc32c-intel.ko.xz", Some("crc32c_intel")),
            ("a/ext4.ko", Some("ext4")),
            ("a/vmlinuz", None),
        ] {
            assert_eq!(module_name(Path::new(file)).as_deref(), name);
        }
    }
}
