//! The module of an invocation that was told a package at a version.

use super::Live;
use crate::{go::pinned::Pinned, model::invocation::Class};

impl Live {
    /// What a go command is to install or run in another module than that of its directory.
    pub(super) fn pinned(&self) -> Option<Pinned> {
        let is_go = self.record.tool == "go";
        is_go.then(|| Pinned::asked(self.argv.words()))?
    }

    /// The directory's module is none of its business: what was compiled, was in the module cache, or came into it
    /// tells the package's, or else the package has to do.
    pub(super) fn settle_module(&mut self) {
        let Some(pinned) = self.pinned() else {
            return;
        };
        let mut compiled = self.packages.directories();
        let compiled = compiled.find_map(|(path, directory)| pinned.module_of(path, directory));
        let known = Some(self.record.module.clone()).filter(|module| !module.is_empty());
        let shares = self.packages.shares().iter();
        let downloaded = shares.filter(|(share, ..)| share.class == Class::Module);
        let module = compiled
            .or(known)
            .or_else(|| pinned.module_among(downloaded.map(|(share, ..)| share.path.as_str())))
            .unwrap_or_else(|| pinned.as_given());
        self.record.module = module;
    }
}
