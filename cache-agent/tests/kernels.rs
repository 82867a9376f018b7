//! The resolver on the type information of every kernel of the matrix, against bpftool.
//!
//! Set-up extracts the blobs from the fetched kernels; bpftool prints them; where the printed text
//! says that a member lies is what the resolver must find. Nothing of the resolver is used to read
//! the text.
#![expect(
    clippy::expect_used,
    reason = "a test ends with what it did not expect"
)]

use std::{
    collections::HashMap,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use cache_agent::kernel::{
    btf::{Btf, BtfError},
    offsets::resolve,
};
use cache_ebpf::offsets::FIELDS;

/// As set-up names the blobs.
const KERNELS: [&str; 3] = ["6.1", "6.12", "7.2"];

fn blob_path(kernel: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    workspace.join("target/vm/btf").join(kernel)
}

fn blob(kernel: &str) -> Vec<u8> {
    let path = blob_path(kernel);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: run `cargo xtask setup`", path.display());
    })
}

/// A structure or union as printed, or what stands for another type.
#[derive(Debug)]
enum Printed {
    Compound(Vec<Member>),
    Alias(u32),
}

#[derive(Debug)]
struct Member {
    name: String,
    target: u32,
    bits: u64,
}

/// Everything that bpftool prints of a blob.
struct Text {
    types: HashMap<u32, Printed>,
    structures: HashMap<String, Vec<u32>>,
}

impl Text {
    /// Lines such as `[7] STRUCT 'file' size=232 vlen=2`, each followed by indented members such as
    /// `'f_inode' type_id=30 bits_offset=256`.
    fn of(kernel: &str) -> Self {
        let path = env::var("PATH").unwrap_or_default();
        let output = Command::new("bpftool")
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .args(["btf", "dump", "file"])
            .arg(blob_path(kernel))
            .args(["format", "raw"])
            .output()
            .expect("bpftool runs");
        assert!(output.status.success(), "bpftool: {output:?}");
        let mut text = Self {
            types: HashMap::new(),
            structures: HashMap::new(),
        };
        let mut current = 0;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some(head) = line.strip_prefix('[') {
                current = text.head(head);
            } else if let Some(Printed::Compound(members)) = text.types.get_mut(&current) {
                members.push(Member {
                    name: quoted(line),
                    target: number(line, "type_id"),
                    bits: number(line, "bits_offset").into(),
                });
            }
        }
        text
    }

    fn head(&mut self, line: &str) -> u32 {
        let (id, rest) = line.split_once("] ").expect("an id");
        let id = id.parse().expect("a number");
        let kind = rest.split(' ').next().unwrap_or_default();
        match kind {
            "STRUCT" | "UNION" => {
                if kind == "STRUCT" {
                    self.structures.entry(quoted(rest)).or_default().push(id);
                }
                self.types.insert(id, Printed::Compound(Vec::new()));
            }
            "TYPEDEF" | "CONST" | "VOLATILE" | "RESTRICT" | "TYPE_TAG" => {
                let target = number(rest, "type_id");
                self.types.insert(id, Printed::Alias(target));
            }
            _ => {}
        }
        id
    }

    /// Bit offset and type of a member, wherever in anonymous members it is.
    fn member(&self, id: u32, name: &str) -> Option<(u64, u32)> {
        match self.types.get(&id)? {
            Printed::Alias(target) => self.member(*target, name),
            Printed::Compound(members) => members.iter().find_map(|member| {
                if member.name == name {
                    return Some((member.bits, member.target));
                }
                let anonymous = member.name == "(anon)";
                let (bits, target) = self.member(member.target, name).filter(|_| anonymous)?;
                Some((member.bits + bits, target))
            }),
        }
    }

    /// Byte offsets of a dotted member in every structure of that name.
    fn offsets(&self, structure: &str, path: &str) -> Vec<u64> {
        let structures = self.structures.get(structure).into_iter().flatten();
        let offset = |id: &u32| {
            let mut at = (0, *id);
            for name in path.split('.') {
                let (bits, target) = self.member(at.1, name)?;
                at = (at.0 + bits, target);
            }
            Some(at.0 / 8)
        };
        structures.filter_map(offset).collect()
    }
}

fn quoted(line: &str) -> String {
    line.split('\'').nth(1).unwrap_or_default().to_owned()
}

fn number(line: &str, key: &str) -> u32 {
    let words = line.split_whitespace();
    let mut value = words.filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    value
        .next_back()
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| {
            panic!("no {key} in {line}");
        })
}

#[test]
fn every_offset_is_where_bpftool_says() {
    for kernel in KERNELS {
        let (blob, text) = (blob(kernel), Text::of(kernel));
        let btf = Btf::parse(&blob).expect("a blob");
        let globals: HashMap<&str, u64> = resolve(&btf).expect(kernel).into_iter().collect();
        for field in FIELDS {
            let printed = field
                .members
                .iter()
                .map(|member| text.offsets(field.structure, member))
                .find(|offsets| !offsets.is_empty());
            let printed = printed.unwrap_or_else(|| panic!("{kernel}: bpftool has no {field:?}"));
            let resolved = globals.get(field.global).copied();
            assert!(
                printed.iter().all(|offset| Some(*offset) == resolved),
                "{kernel}: {field:?} is at {printed:?}, resolved as {resolved:?}"
            );
        }
    }
}

/// Real kernels have several structures of one name; where they disagree on a member, it is refused.
#[test]
fn structures_of_one_name_are_refused_where_they_disagree() {
    let mut disagreements = 0;
    for kernel in KERNELS {
        let (blob, text) = (blob(kernel), Text::of(kernel));
        let btf = Btf::parse(&blob).expect("a blob");
        for (name, ids) in text.structures.iter().filter(|(_, ids)| ids.len() > 1) {
            if name == "(anon)" {
                continue;
            }
            let members = ids.iter().filter_map(|id| match text.types.get(id) {
                Some(Printed::Compound(members)) => Some(members),
                _ => None,
            });
            for member in members.flatten().filter(|member| member.name != "(anon)") {
                let offsets = text.offsets(name, &member.name);
                let agree = offsets.windows(2).all(|pair| pair[0] == pair[1]);
                let resolved = btf.offset(name, &member.name);
                if agree {
                    assert_eq!(resolved, Ok(offsets[0]), "{kernel}: {name}.{}", member.name);
                } else {
                    disagreements += 1;
                    assert!(
                        matches!(resolved, Err(BtfError::Ambiguous { .. })),
                        "{kernel}: {name}.{} is at {offsets:?}, resolved as {resolved:?}",
                        member.name
                    );
                }
            }
        }
    }
    assert!(disagreements > 0, "no kernel has structures that disagree");
}
