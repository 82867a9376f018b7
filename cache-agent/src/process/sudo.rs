//! Who called sudo, as sudo tells its command.

use crate::{
    go::variables::Variables,
    model::{mask, printable::printable},
};

/// Longest name shown, in bytes; no system has longer ones.
const NAME_BYTES: usize = 256;

/// `SUDO_USER`, else the number in `SUDO_UID`, of a process with this user; empty where sudo did not start it.
///
/// Anybody can set them for himself to blame another one: only root's are believed.
pub fn caller(uid: u32, variables: &Variables) -> String {
    let told = ["SUDO_USER", "SUDO_UID"]
        .iter()
        .find_map(|name| variables.get(name))
        .filter(|told| uid == 0 && told.len() <= NAME_BYTES);
    told.map_or_else(String::new, |told| mask::text(&printable(told.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::variables::allowed;

    #[test]
    fn only_what_root_was_told_counts() {
        let long = format!("SUDO_USER={}", "a".repeat(NAME_BYTES + 1));
        for (uid, strings, expected) in [
            (0, "SUDO_USER=alice\0SUDO_UID=1000", "alice"),
            (0, "SUDO_UID=1000", "1000"),
            (0, "SUDO_USER=\0SUDO_UID=1000", "1000"),
            (0, "SUDO_USER=a\x1b[31m\nb", "a\\u{1b}[31m\\nb"),
            (0, long.as_str(), ""),
            (0, "HOME=/root", ""),
            (1000, "SUDO_USER=alice\0SUDO_UID=1000", ""),
        ] {
            let found = caller(uid, &allowed(strings.as_bytes()));
            assert_eq!(found, expected, "{strings}");
        }
    }
}
