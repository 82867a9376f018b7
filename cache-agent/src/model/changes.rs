//! Changes of a root or of a process: bytes and files.

use cache_ebpf::Credit;

/// Size changes, summed since the root was taken up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Net change in bytes; may be negative.
    pub growth_bytes: i64,
    /// The part released by unlink, truncation or replacement, as a positive number of bytes.
    pub freed_bytes: u64,
    /// Files that appeared in the root.
    pub files_created: u64,
    /// Files that left the root.
    pub files_deleted: u64,
    /// Files renamed inside the root.
    pub files_renamed: u64,
}

impl Changes {
    /// Bytes that entered the root: net growth plus what was released again.
    pub fn grown_bytes(&self) -> u64 {
        u64::try_from(self.growth_bytes.saturating_add_unsigned(self.freed_bytes)).unwrap_or(0)
    }

    /// Adds another account to this one.
    pub fn add(&mut self, other: &Self) {
        let Self {
            growth_bytes,
            freed_bytes,
            files_created,
            files_deleted,
            files_renamed,
        } = other;
        self.growth_bytes = self.growth_bytes.wrapping_add(*growth_bytes);
        self.freed_bytes = self.freed_bytes.wrapping_add(*freed_bytes);
        self.files_created = self.files_created.wrapping_add(*files_created);
        self.files_deleted = self.files_deleted.wrapping_add(*files_deleted);
        self.files_renamed = self.files_renamed.wrapping_add(*files_renamed);
    }
}

/// A kernel account as signed figures.
pub fn changes(credit: &Credit) -> Changes {
    Changes {
        growth_bytes: credit.growth.cast_signed(),
        freed_bytes: credit.freed,
        files_created: credit.created,
        files_deleted: credit.deleted,
        files_renamed: credit.renamed,
    }
}

/// `later - earlier`, field by field.
pub fn difference(later: &Changes, earlier: &Changes) -> Changes {
    Changes {
        growth_bytes: later.growth_bytes.wrapping_sub(earlier.growth_bytes),
        freed_bytes: later.freed_bytes.wrapping_sub(earlier.freed_bytes),
        files_created: later.files_created.wrapping_sub(earlier.files_created),
        files_deleted: later.files_deleted.wrapping_sub(earlier.files_deleted),
        files_renamed: later.files_renamed.wrapping_sub(earlier.files_renamed),
    }
}
