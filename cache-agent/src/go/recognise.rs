//! What a directory is, by its content.

use std::path::Path;

use crate::{model::root::RootKind, sys::files::Files};

/// First line of the README that every go command writes into a build cache; caches that other
/// tools make by the same code (golangci-lint) say something else.
const GO_BUILD_README: &[u8] =
    b"This directory holds cached build artifacts from the Go build system.";

/// The kind of the cache in a directory; [`RootKind::Other`] when nothing tells.
///
/// `go clean` leaves the README and the lock, so that an emptied cache is still recognised.
pub fn recognise(path: &Path) -> RootKind {
    recognise_in(&Files::default(), path)
}

/// The same on a stand-in for the host.
pub(crate) fn recognise_in(files: &Files, path: &Path) -> RootKind {
    let readme = files
        .read_beneath(path, Path::new("README"))
        .unwrap_or_default();
    if readme.split(|byte| *byte == b'\n').next() == Some(GO_BUILD_README) {
        RootKind::GoBuild
    } else if files
        .directory_owner(&path.join("cache/download"))
        .is_some()
        || files.exists(&path.join("cache/lock"))
    {
        RootKind::GoMod
    } else {
        RootKind::Other
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn kinds_by_content() {
        let host = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = host.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "build/README",
            "This directory holds cached build artifacts from the Go build system.\nRun …\n",
        );
        write(
            "lint/README",
            "This directory holds cached build artifacts from golangci-lint.\n",
        );
        write("mod/cache/lock", "");
        write("mod2/cache/download/x", "");
        write("fake/cache/download", "a file");
        write("empty/x", "");
        for (path, kind) in [
            ("/build", RootKind::GoBuild),
            ("/lint", RootKind::Other),
            ("/mod", RootKind::GoMod),
            ("/mod2", RootKind::GoMod),
            ("/fake", RootKind::Other),
            ("/empty", RootKind::Other),
            ("/missing", RootKind::Other),
        ] {
            assert_eq!(
                recognise_in(&Files::below(host.path()), Path::new(path)),
                kind,
                "{path}"
            );
        }
    }
}
