//! Command lines as they may be shown and stored: bounded, printable, without secrets.
//!
//! What is known to be harmless is kept; all else is `***`. Of the go command and its tools that is what the tables
//! of [`go`] and [`lists`] name; of other programs their names, their verbs, and names of flags and variables.

mod go;
mod lists;
mod shapes;

use std::fmt;

use self::shapes::{is_plain, without_tokens};
use super::printable::printable;

/// Arguments kept.
const ARGUMENTS: usize = 64;
/// Characters kept of one.
const ARGUMENT_CHARACTERS: usize = 256;
/// In place of what may be a secret.
const MASK: &str = "***";
/// Longest name of a flag, a variable or a verb.
const NAME_BYTES: usize = 48;

/// Arguments of an observed process as it was started with them. They say what it does, and are never shown: the only
/// text that they give is [masked](Self::masked).
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// What they say, to be understood and not to be shown.
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// Masked, cut and made printable.
    pub fn masked(&self) -> Vec<String> {
        argv(&self.0)
    }
}

impl From<Vec<String>> for Arguments {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.masked().fmt(formatter)
    }
}

/// Masks, cuts and makes printable.
pub fn argv(arguments: &[String]) -> Vec<String> {
    let words: Vec<&str> = arguments
        .iter()
        .take(ARGUMENTS)
        .map(String::as_str)
        .collect();
    let masked = match words.split_first() {
        None => Vec::new(),
        Some((program, rest)) => {
            let masked = match go::Tool::named(program) {
                Some(tool) => tool.masked(rest),
                None => of_others(rest),
            };
            [vec![named(program)], masked].concat()
        }
    };
    let mut shown: Vec<String> = masked.iter().map(|word| shorten(word)).collect();
    if arguments.len() > ARGUMENTS {
        shown.push(format!("... {} more", arguments.len() - ARGUMENTS));
    }
    shown
}

/// Any other text of an observed process that may carry a URL or a token.
pub fn text(value: &str) -> String {
    shorten(&without_tokens(&shapes::without_credentials(value)))
}

/// The value of one of go's own variables.
pub fn variable(name: &str, value: &str) -> String {
    let masked = match name {
        "GOFLAGS" => lists::go_flags(value),
        _ if name.starts_with("CGO_") => lists::c_flags(value),
        _ => return text(value),
    };
    shorten(&masked)
}

/// The value of a flag of the go command.
pub fn flag(name: &str, value: &str) -> String {
    shorten(&go::value(name, value))
}

/// The value of this flag of the go command, written without its first dash, is the word behind it.
pub fn takes_next_word(flag: &str) -> bool {
    let name = flag.strip_prefix('-').unwrap_or(flag);
    !name.contains('=') && !go::is_switch(name)
}

/// How a program was called: its path, or as much of it as is plain.
fn named(program: &str) -> String {
    if is_plain(program) {
        return program.to_owned();
    }
    let name = program.rsplit('/').next().unwrap_or_default();
    kept(name).unwrap_or_else(|| MASK.to_owned())
}

/// A text if it is plain.
fn kept(text: &str) -> Option<String> {
    is_plain(text).then(|| text.to_owned())
}

/// Arguments of a program that nothing is known of.
fn of_others(words: &[&str]) -> Vec<String> {
    let before = std::iter::once(None).chain(words.iter().map(Some));
    let one = |(before, word): (Option<&&str>, &&str)| {
        // It may be the value of the flag before it, whatever it looks like.
        let is_value = before.is_some_and(|before| before.starts_with('-'));
        match (word.strip_prefix("--"), word.strip_prefix('-')) {
            (Some(flag), _) => long_flag(flag),
            (None, Some(flag)) => short_flag(flag),
            _ if before.is_none() && is_verb(word) => (*word).to_owned(),
            _ if is_value => MASK.to_owned(),
            _ => assigned(word).unwrap_or_else(|| MASK.to_owned()),
        }
    };
    before.zip(words).map(one).collect()
}

fn is_verb(word: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    (1..=16).contains(&word.len()) && !word.starts_with('-') && word.bytes().all(is_letter)
}

/// `--name`, `--name=***`.
fn long_flag(flag: &str) -> String {
    let (name, value) = match flag.split_once('=') {
        Some((name, _)) => (name, "=***"),
        None => (flag, ""),
    };
    let is_name = name.len() <= NAME_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_name && without_tokens(name) == name {
        format!("--{name}{value}")
    } else {
        format!("--{MASK}")
    }
}

/// `-x`, `-rf`; of longer ones, which may be a flag with its value, no more than the letter.
fn short_flag(flag: &str) -> String {
    if flag.len() <= 3 && flag.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return format!("-{flag}");
    }
    let mut letters = flag.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii_alphanumeric() => format!("-{letter}"),
        (Some(letter), _) if letter.is_ascii_alphabetic() => format!("-{letter}{MASK}"),
        _ => format!("-{MASK}"),
    }
}

/// `NAME=***` of `NAME=value`.
fn assigned(word: &str) -> Option<String> {
    let (name, value) = word.split_once('=')?;
    (has_value(value) && is_variable(name)).then(|| format!("{name}={MASK}"))
}

/// Something follows the mark besides the padding of base 64.
fn has_value(value: &str) -> bool {
    !value.trim_end_matches('=').is_empty()
}

fn is_variable(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=NAME_BYTES).contains(&name.len())
        && name.bytes().all(is_part)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && without_tokens(name) == name
}

fn shorten(text: &str) -> String {
    let shown = printable(text.as_bytes());
    if shown.chars().count() <= ARGUMENT_CHARACTERS {
        return shown;
    }
    let kept = shown.chars().take(ARGUMENT_CHARACTERS);
    kept.chain("...".chars()).collect()
}

#[cfg(test)]
mod tests;
