//! What a program keeps in go's stead (GOCACHEPROG), by the ids in its names and by what is in its files: each
//! such program has a layout of its own.

use std::collections::{HashMap, HashSet};

use super::{ASIDE, About, Output, Packages, Read, Share, WAITING_MAX, content};
use crate::{
    go::action_id::{self, Id, Prefix},
    model::{changes::Changes, invocation::Class},
};

/// A longer file says nothing about others.
const NOTE_BYTES: usize = 4 * 1024;
/// Hexadecimal digits of an id.
const DIGITS: usize = 64;
/// Ids looked for in one text.
const IDS_MAX: usize = 16;
/// Before the build id: in what the compiler puts out, and in a program.
const BUILD_IDS: [&[u8]; 2] = [b"build id \"", b"Go build ID: \""];
/// How far into a file build ids are.
const BUILD_ID_WITHIN: usize = 64 * 1024;

/// A file of such a program.
#[derive(Debug, Default)]
pub(super) struct Kept {
    path: Vec<u8>,
    bytes: i64,
    files: u64,
}

/// Files by root and inode: most are written under another name first.
pub(super) type KeptFiles = HashMap<(u32, u64), Kept>;

/// Whose a file is: an action, and what of it.
type Whose = (Prefix, Option<Class>);

impl Packages {
    /// A file of such a program changed.
    pub fn keep(&mut self, root: u32, ino: u64, path: &[u8], changes: &Changes) {
        if changes.files_deleted > 0 || self.kept.len() >= WAITING_MAX {
            let known = self.kept.remove(&(root, ino)).unwrap_or_default();
            let share = Share::unmapped(Class::Other);
            self.shares.add(&share, known.bytes, known.files);
        }
        if changes.files_deleted > 0 {
            return;
        }
        let kept = self.kept.entry((root, ino)).or_default();
        path.clone_into(&mut kept.path);
        kept.bytes += changes.growth_bytes.max(0);
        kept.files += changes.files_created;
    }

    /// Everything kept has a class now.
    pub(super) fn settle_kept(&mut self, read: Read<'_>, about: &About<'_>) {
        let kept = std::mem::take(&mut self.kept);
        let entries = self.entries_among(&kept);
        let outputs = outputs_of(&entries, &kept, read);
        let built: HashSet<String> = self
            .actions
            .values()
            .map(|built| built.path.clone())
            .collect();
        let built: HashSet<&str> = built.iter().map(String::as_str).collect();
        for ((root, _), file) in kept {
            let known = |id: Id| entries.get(&id).or_else(|| outputs.get(&id)).copied();
            let mut whose = ids(&file.path).find_map(known);
            let mut share = Share::unmapped(Class::Other);
            if whose.is_none() {
                let head = read(root, &file.path).unwrap_or_default();
                let prefix = build_id(&head).filter(|prefix| self.actions.contains_key(prefix));
                whose = prefix.map(|prefix| (prefix, None));
                share = content(&head, about, &built);
            }
            let share = whose
                .and_then(|whose| self.share_of(whose, root))
                .unwrap_or(share);
            self.shares.add(&share, file.bytes, file.files);
        }
    }

    /// Ids under which actions of this invocation, and what is kept beside them, may be found.
    fn entries_among(&self, kept: &KeptFiles) -> HashMap<Id, Whose> {
        let mut entries = HashMap::new();
        for id in kept.values().flat_map(|file| ids(&file.path)) {
            let prefix = action_id::prefix_of(&id);
            let Some(built) = self.actions.get(&prefix) else {
                continue;
            };
            entries.insert(id, (prefix, None));
            let aside = ASIDE.iter().map(|name| ((*name).to_owned(), None));
            let generated = self.shares.generated(Some(&built.path)).into_iter();
            for (name, class) in aside.chain(generated.map(|(name, class)| (name, Some(class)))) {
                entries.insert(action_id::subkey(&id, &name), (prefix, class));
            }
        }
        entries
    }

    fn share_of(&mut self, (prefix, class): Whose, root: u32) -> Option<Share> {
        let built = self.actions.get(&prefix)?;
        self.outputs.entry(prefix).or_insert(Output {
            root,
            id: None,
            is_rewritten: false,
        });
        Some(Share {
            class: class.unwrap_or(built.class),
            path: built.path.clone(),
            variant: built.variant.clone(),
        })
    }
}

/// What those entries are about.
fn outputs_of(
    entries: &HashMap<Id, Whose>,
    kept: &KeptFiles,
    read: Read<'_>,
) -> HashMap<Id, Whose> {
    let mut outputs = HashMap::new();
    for ((root, _), file) in kept {
        let Some(whose) = ids(&file.path).find_map(|id| entries.get(&id)) else {
            continue;
        };
        for id in noted(&read(*root, &file.path).unwrap_or_default()) {
            outputs.entry(id).or_insert(*whose);
        }
    }
    outputs
}

/// Ids that a path spells, in one component or over several; a letter before one may look like a digit of it.
fn ids(path: &[u8]) -> impl Iterator<Item = Id> {
    let joined: Vec<u8> = path.iter().copied().filter(|byte| *byte != b'/').collect();
    spelled(&joined).into_iter()
}

/// Ids that a note is about: in digits, or as they are.
fn noted(note: &[u8]) -> Vec<Id> {
    match <Id>::try_from(note) {
        Ok(id) => vec![id],
        Err(_) if note.len() > NOTE_BYTES => Vec::new(),
        Err(_) => spelled(note),
    }
}

fn spelled(text: &[u8]) -> Vec<Id> {
    let windows = text.windows(DIGITS);
    windows.filter_map(action_id::id).take(IDS_MAX).collect()
}

/// First bytes of the action that a file says it was put out by.
fn build_id(head: &[u8]) -> Option<Prefix> {
    let head = head.get(..BUILD_ID_WITHIN).unwrap_or(head);
    BUILD_IDS.iter().find_map(|mark| {
        let at = head
            .windows(mark.len())
            .position(|window| window == *mark)?;
        let rest = head.get(at + mark.len()..)?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        action_id::prefix(std::str::from_utf8(rest.get(..end)?).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{go::compile_flags::CompilerCall, invocation::package::Built};
    use cache_ebpf::ProcessKey;

    const ACTION: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OUTPUT: &str = "00000000000000000000000000000000000000000000000000000000000000ff";
    /// The first 15 bytes of the action, as a build id has them.
    const BUILD_ID: &str = "ASNFZ4mrze8BI0VniavN";

    fn settled(files: &[(&str, &[u8])]) -> Vec<(String, &'static str, i64)> {
        let mut packages = Packages::default();
        let nobody = ProcessKey {
            start_ns: 0,
            tgid: 0,
            pad: 0,
        };
        let built = Built {
            call: CompilerCall::default(),
            action: action_id::prefix(BUILD_ID),
            path: "example.com/p".to_owned(),
            class: Class::Compile,
            variant: String::new(),
            generated: Vec::new(),
        };
        packages.built(nobody, built);
        for (ino, (path, content)) in (1..).zip(files) {
            for (path, bytes, files_created) in [("draft", content.len(), 1), (path, 0, 0)] {
                let changes = Changes {
                    growth_bytes: i64::try_from(bytes).unwrap(),
                    files_created,
                    ..Changes::default()
                };
                packages.keep(0, ino, path.as_bytes(), &changes);
            }
        }
        let read = |_: u32, path: &[u8]| {
            let mut files = files.iter();
            let file = files.find(|(name, _)| name.as_bytes() == path);
            file.map(|(_, content)| content.to_vec())
        };
        packages.settle(&read, &About::default());
        let shares = packages.shares().iter();
        shares
            .map(|(share, bytes, _)| (share.path.clone(), share.class.as_str(), bytes))
            .collect()
    }

    #[test]
    fn files_are_told_by_their_names_whatever_the_layout() {
        let json = format!("{{\"o\":\"{OUTPUT}\",\"n\":3}}");
        let output = action_id::id(OUTPUT.as_bytes()).unwrap();
        for (entry, note) in [
            (format!("a{ACTION}"), output.as_slice()),
            (format!("01/a-{ACTION}.json"), json.as_bytes()),
        ] {
            for object in [format!("o{OUTPUT}"), format!("00/{}", &OUTPUT[2..])] {
                let files = [(entry.as_str(), note), (object.as_str(), b"abc".as_slice())];
                let bytes = i64::try_from(note.len()).unwrap() + 3;
                let expected = [("example.com/p".to_owned(), "compile", bytes)];
                assert_eq!(settled(&files), expected, "{entry} {object}");
            }
        }
    }

    #[test]
    fn files_without_a_telling_name_are_told_by_their_build_id() {
        let archive = format!("!<arch>\ngo object linux amd64\nbuild id \"{BUILD_ID}/x\"\n");
        let stranger = archive.replace("ASNF", "BSNF");
        let files = [
            ("blob-1", archive.as_bytes()),
            ("blob-2", stranger.as_bytes()),
            ("blob-3", b"go index v2"),
        ];
        let bytes = i64::try_from(archive.len()).unwrap();
        let expected = [
            (String::new(), "index", 11),
            (String::new(), "other", bytes),
            ("example.com/p".to_owned(), "compile", bytes),
        ];
        let mut found = settled(&files);
        found.sort();
        assert_eq!(found, expected);
    }
}
