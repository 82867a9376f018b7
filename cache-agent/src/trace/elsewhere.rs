//! Caches of the command that are not watched: told, with what to do about it.

use std::path::PathBuf;

use crate::{
    invocation::observer::CacheUser,
    model::{invocation::Finished, printable::Shown, root::RootKind},
};

/// Caches that are told.
const ELSEWHERE_MAX: usize = 100;

/// Why a cache is not watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The user said what to watch.
    Given,
    /// It is shown by a mount namespace of its own.
    OutOfView,
    /// Whoever named it had ended before anybody could look.
    Ended,
    /// It is not its user's own and does not look like a cache.
    Unlikely,
    /// Enough others had been found.
    TooMany,
}

/// A cache that the command used and that is not watched.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// What.
    pub kind: RootKind,
    /// Where, as the go command saw it.
    pub path: PathBuf,
    /// Who named it first.
    pub user: CacheUser,
    /// Why it is not watched.
    pub reason: Reason,
}

impl Reason {
    /// The sentence of the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Given => "not among the roots given",
            Self::OutOfView => "only its own mount namespace shows it",
            Self::Ended => "the command that used it had ended too soon",
            Self::Unlikely => "it is not its user's own and does not look like a cache",
            Self::TooMany => "too many caches were found",
        }
    }
}

impl Elsewhere {
    /// Notes a cache, once.
    pub(super) fn note(all: &mut Vec<Self>, one: Self) {
        let is_new = !all.iter().any(|known| known.path == one.path);
        if is_new && all.len() < ELSEWHERE_MAX {
            all.push(one);
        }
    }

    /// Its user did not keep builds there, but had a program of its own keep them.
    pub(super) fn is_replaced(&self, finished: &[Finished]) -> bool {
        let is_user = |one: &&Finished| one.record.id == self.user.invocation;
        let user = finished.iter().find(is_user);
        self.kind == RootKind::GoBuild && user.is_some_and(|user| user.helper.is_some())
    }

    /// Something may have been put there: it is a directory with something in it, or nobody here can tell.
    pub(super) fn has_content(&self) -> bool {
        let entries = || std::fs::read_dir(&self.path);
        self.reason == Reason::OutOfView || entries().is_ok_and(|mut all| all.next().is_some())
    }

    /// The line of the report.
    pub fn sentence(&self) -> String {
        let path = Shown::path(&self.path);
        let user = &self.user;
        let advice = match self.reason {
            Reason::Given => format!("add --root {path}"),
            Reason::OutOfView => {
                "only its own mount namespace shows it; `cache-agent run` follows it there"
                    .to_owned()
            }
            reason => format!("{}; add --root {path}", reason.as_str()),
        };
        format!("cache {path} was used by {user} and is not watched: {advice}")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn elsewhere(path: &str, reason: Reason) -> Elsewhere {
        let user = CacheUser {
            invocation: "id".to_owned(),
            command: "go build ./...".to_owned(),
            parent: Some("make".to_owned()),
        };
        Elsewhere {
            kind: RootKind::GoBuild,
            path: Path::new(path).to_owned(),
            user,
            reason,
        }
    }

    #[test]
    fn a_line_says_who_used_it_and_what_to_do() {
        assert_eq!(
            elsewhere("/x", Reason::Given).sentence(),
            "cache /x was used by `go build ./...` (make) and is not watched: add --root /x"
        );
        let contained = elsewhere("/x", Reason::OutOfView).sentence();
        assert!(contained.ends_with("`cache-agent run` follows it there"));
        assert!(!contained.contains("--root"));
    }

    #[test]
    fn each_is_told_once_if_anything_can_be_there() {
        let mut all = Vec::new();
        for path in ["/", "/nowhere/at/all", "/"] {
            Elsewhere::note(&mut all, elsewhere(path, Reason::Given));
        }
        assert_eq!(all.len(), 2);
        all.retain(Elsewhere::has_content);
        assert_eq!(all.len(), 1);
        assert!(elsewhere("/nowhere/at/all", Reason::OutOfView).has_content());
    }
}
