//! Entries that were there before they were written: they, or what they named, could not be read.

use std::collections::BTreeSet;

use super::{Packages, Read, Waiting};
use crate::{go::action_id::Prefix, invocation::lookups::Entries, model::invocation::Class};

/// Actions of one invocation whose entries are looked for.
const SOUGHT_MAX: usize = 1_024;

impl Packages {
    /// Finds the entries of packages that were compiled although theirs were there: nothing told of these, as they
    /// have the size they had.
    pub(in crate::invocation) fn find_rewritten(&mut self, cache: &dyn Entries, read: Read<'_>) {
        let roots: BTreeSet<u32> = self.objects.keys().map(|(root, _)| *root).collect();
        if roots.is_empty() {
            return;
        }
        let silent = self.actions.iter().filter(|(prefix, built)| {
            built.class == Class::Compile && !self.outputs.contains_key(*prefix)
        });
        let silent: Vec<Prefix> = silent.map(|(prefix, _)| *prefix).take(SOUGHT_MAX).collect();
        for prefix in silent {
            for root in &roots {
                let Some((action, output)) = cache.find(*root, &prefix) else {
                    continue;
                };
                if self.objects.contains_key(&(*root, output)) {
                    let at = (*root, action);
                    let entry = Waiting {
                        output: Some(output),
                        ..Waiting::default()
                    };
                    self.entries.insert(at, entry);
                    self.named.push((at, prefix));
                    self.claim(at, prefix, None);
                    self.read_imports(prefix, read);
                }
            }
        }
    }
}
