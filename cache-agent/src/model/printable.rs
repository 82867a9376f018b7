//! Text of observed users on its way to people: the one place where outside bytes become text.

use std::{fmt, os::unix::ffi::OsStrExt as _, path::Path};

/// Characters that show nothing themselves but change what is shown beside them, or where a line ends: marks and
/// overrides of direction, joiners, line separators, tags.
const UNSEEN: [(char, char); 9] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{e0000}', '\u{e007f}'),
];

/// A path, name or text from outside, as it may be shown: on a terminal, in a line of a log, in an error.
#[derive(Clone, Copy)]
pub struct Shown<'a>(&'a [u8]);

impl<'a> Shown<'a> {
    /// A path that somebody else chose, or may have chosen.
    pub fn path(path: &'a Path) -> Self {
        Self(path.as_os_str().as_bytes())
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&printable(self.0))
    }
}

/// Names come from observed users: what would move the cursor, end the line or turn the text round is escaped.
pub fn printable(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for character in String::from_utf8_lossy(name).chars() {
        if is_shown(character) {
            out.push(character);
        } else {
            out.extend(character.escape_default());
        }
    }
    out
}

fn is_shown(character: char) -> bool {
    let is_unseen = |(first, last): &(char, char)| (*first..=*last).contains(&character);
    !character.is_control() && !UNSEEN.iter().any(is_unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_ends_the_line_or_turns_the_text_round() {
        for (given, expected) in [
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[31m\x7f", "\\u{1b}[31m\\u{7f}"),
            (
                "\u{85}\u{9b}2J\u{9d}0;x\u{9c}",
                "\\u{85}\\u{9b}2J\\u{9d}0;x\\u{9c}",
            ),
            (
                "a\u{202e}b\u{2066}c\u{200f}\u{61c}",
                "a\\u{202e}b\\u{2066}c\\u{200f}\\u{61c}",
            ),
            (
                "\u{2028}\u{2029}\u{feff}\u{200b}",
                "\\u{2028}\\u{2029}\\u{feff}\\u{200b}",
            ),
            ("\u{e0041}", "\\u{e0041}"),
            ("größe 日本 \u{1f600}", "größe 日本 \u{1f600}"),
        ] {
            assert_eq!(printable(given.as_bytes()), expected);
            assert_eq!(Shown::path(Path::new(given)).to_string(), expected);
        }
        assert_eq!(printable(b"\x9b31m"), "\u{fffd}31m");
    }
}
