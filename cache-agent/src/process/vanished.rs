//! What can still be said of a process that was gone before anybody looked: by its own words, seen through the root
//! directory of its parent.

use std::{
    fs::File,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use super::{inspector::Question, working_directory};
use crate::sys::{
    fs_rights::Rights,
    openat::{Links, place, regular_file},
    procfs::Process,
};

/// What is found where the process was.
#[derive(Debug)]
pub(super) struct Traces {
    /// Root directory of its parent.
    pub(super) root: OwnedFd,
    /// Where it worked.
    pub(super) directory: Option<OwnedFd>,
    /// The program that it ran.
    pub(super) program: Option<File>,
}

/// `None` where its parent is gone too, or a younger process has its number.
pub(super) fn traces(question: &Question) -> Option<Traces> {
    let parent = Process::numbered(question.ppid)?;
    if parent.stat()?.start_ns > question.process.start_ns {
        return None;
    }
    let root = parent.directory("root")?;
    let told = question.environment.get("PWD");
    let told = told.filter(|told| Path::new(told).is_absolute());
    let place_told = told.map(|told| working_directory::presumed(told, question.chdir.as_deref()));
    let _rights = Rights::of(question.uid, question.gid)?;
    let directory = place_told.and_then(|path| place(&root, path, Links::InRoot));
    let program = program(question, root.as_fd(), told.map(String::as_str));
    Some(Traces {
        root,
        directory,
        program,
    })
}

/// The file that a shell would have found by the word that the process was called with.
fn program(question: &Question, root: BorrowedFd<'_>, told: Option<&str>) -> Option<File> {
    let open = |path: &Path| regular_file(root, path, Links::InRoot);
    let word = Path::new(&question.program);
    if question.program.contains('/') {
        return open(&Path::new(told.unwrap_or("/")).join(word));
    }
    let places = std::env::split_paths(question.environment.get("PATH")?);
    let mut absolute = places.filter(|directory| directory.is_absolute());
    absolute.find_map(|directory| open(&directory.join(word)))
}
