//! Errors that say nothing of what was asked for: the host lacks something at the moment, and may have it later.

use std::io;

use rustix::io::Errno;

/// Descriptors, memory, room in a map or on a disk, or a moment's time.
const SHORTAGES: [Errno; 8] = [
    Errno::AGAIN,
    Errno::INTR,
    Errno::BUSY,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::NOSPC,
    // A hash map of the kernel that is full.
    Errno::TOOBIG,
];

/// True for what is worth another try.
pub(crate) fn is_shortage(error: Errno) -> bool {
    SHORTAGES.contains(&error)
}

/// The same for whatever caused an error.
pub(crate) fn is_caused_by_shortage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_io = cause.downcast_ref::<io::Error>();
        let errno = of_io
            .and_then(Errno::from_io_error)
            .or_else(|| cause.downcast_ref::<Errno>().copied());
        errno.is_some_and(is_shortage)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn shortages_are_found_behind_what_was_attempted() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::TOOBIG, true),
            (Errno::BADF, false),
            (Errno::NOENT, false),
        ] {
            let plain = Err::<(), _>(errno).context("cannot open root /x");
            assert_eq!(is_caused_by_shortage(&plain.unwrap_err()), expected);
            let of_io = Err::<(), _>(io::Error::from(errno)).context("cannot open root /x");
            assert_eq!(is_caused_by_shortage(&of_io.unwrap_err()), expected);
        }
        assert!(!is_caused_by_shortage(&anyhow::anyhow!("no reason")));
    }
}
