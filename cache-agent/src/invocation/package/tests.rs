use std::collections::BTreeMap;

use bytemuck::Zeroable as _;

use super::*;
use crate::go::compile_flags::CompilerCall;

const ACTION: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OUTPUT: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

const BUILD: About<'_> = About {
    verb: "build",
    module: "",
};

fn growth(path: &str, bytes: i64) -> Growth<'_> {
    Growth {
        root: 0,
        kind: RootKind::Other,
        path: path.as_bytes(),
        name: action_id::name(path.as_bytes()),
        bytes,
        files: u64::from(bytes > 0),
    }
}

fn built(class: Class) -> Built {
    Built {
        call: CompilerCall::default(),
        action: Some(action_id::prefix_of(
            &action_id::id(ACTION.as_bytes()).unwrap(),
        )),
        path: "example.com/p".to_owned(),
        class,
        variant: String::new(),
        generated: Vec::new(),
    }
}

fn entry(_: u32, path: &[u8]) -> Option<Vec<u8>> {
    let is_entry = path.ends_with(b"-a");
    is_entry.then(|| format!("v1 {ACTION} {OUTPUT} {:20} {:20}\n", 1, 2).into_bytes())
}

fn sums(packages: &Packages) -> BTreeMap<(String, &'static str), i64> {
    let rows = packages.shares().iter();
    rows.map(|(share, bytes, _)| ((share.path.clone(), share.class.as_str()), bytes))
        .collect()
}

#[test]
fn an_entry_brings_its_object_to_the_package() {
    let mut packages = Packages::default();
    packages.built(ProcessKey::zeroed(), built(Class::Compile));
    packages.grew(&growth(&format!("00/{OUTPUT}-d"), 5000), &entry);
    packages.grew(&growth(&format!("01/{ACTION}-a"), 175), &entry);
    let expected = BTreeMap::from([(("example.com/p".to_owned(), "compile"), 5175)]);
    assert_eq!(sums(&packages), expected);
}

#[test]
fn a_linked_program_in_the_cache_is_an_executable() {
    let mut packages = Packages::default();
    packages.built(ProcessKey::zeroed(), built(Class::Link));
    packages.grew(&growth(&format!("00/{OUTPUT}-d/prog"), 5000), &entry);
    packages.grew(&growth(&format!("01/{ACTION}-a"), 175), &entry);
    let expected = BTreeMap::from([(("example.com/p".to_owned(), "executable"), 5175)]);
    assert_eq!(sums(&packages), expected);
}

#[test]
fn what_is_kept_beside_an_action_is_the_packages() {
    let mut packages = Packages::default();
    packages.built(ProcessKey::zeroed(), built(Class::Compile));
    let action = action_id::id(ACTION.as_bytes()).unwrap();
    let aside: String = action_id::subkey(&action, "stdout")
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    packages.grew(&growth(&format!("{}/{aside}-a", &aside[..2]), 175), &entry);
    packages.grew(&growth(&format!("01/{ACTION}-a"), 175), &entry);
    packages.settle(&|_, _| None, &BUILD);
    let expected = BTreeMap::from([(("example.com/p".to_owned(), "compile"), 350)]);
    assert_eq!(sums(&packages), expected);
}

#[test]
fn what_nobody_names_goes_by_its_look() {
    let mut packages = Packages::default();
    packages.grew(&growth(&format!("00/{OUTPUT}-d"), 100), &entry);
    packages.grew(&growth("fuzz/example.com/p/FuzzX/0a1b", 7), &entry);
    packages.grew(&growth("example.com/!m@v1.0.0/x.go", 9), &entry);
    packages.grew(&growth("trim.txt", 10), &entry);
    packages.settle(&|_, _| Some(b"go index v2\n".to_vec()), &BUILD);
    let expected = BTreeMap::from([
        ((String::new(), "index"), 100),
        (("example.com/p".to_owned(), "fuzz"), 7),
        (("example.com/M@v1.0.0".to_owned(), "module"), 9),
        ((String::new(), "other"), 10),
    ]);
    assert_eq!(sums(&packages), expected);
}

#[test]
fn a_long_queue_is_folded_and_nothing_is_lost() {
    let mut packages = Packages::default();
    let total = i64::try_from(WAITING_MAX).unwrap() * 2;
    for number in 0..total {
        packages.grew(&growth(&format!("00/00{number:062x}-d"), 1), &entry);
        assert!(packages.objects.len() <= WAITING_MAX + 1);
    }
    packages.settle(&|_, _| None, &BUILD);
    assert_eq!(packages.shares().total().0, total);
}
