//! Command lines as they may be shown and stored: bounded, printable, without secrets.

use super::printable::printable;

/// Arguments kept.
const ARGUMENTS: usize = 64;
/// Characters kept of one.
const ARGUMENT_CHARACTERS: usize = 256;
/// In place of a secret.
const MASK: &str = "***";
/// Parts of a flag's or variable's name that make its value a secret.
const SECRET_NAMES: [&str; 9] = [
    "token",
    "password",
    "passwd",
    "secret",
    "apikey",
    "api-key",
    "api_key",
    "credential",
    "auth",
];

/// Masks, cuts and makes printable.
pub fn argv(arguments: &[String]) -> Vec<String> {
    let mut shown = Vec::with_capacity(arguments.len().min(ARGUMENTS + 1));
    let mut previous = "";
    for argument in arguments.iter().take(ARGUMENTS) {
        shown.push(shorten(&one(previous, argument)));
        previous = argument;
    }
    if arguments.len() > ARGUMENTS {
        shown.push(format!("... {} more", arguments.len() - ARGUMENTS));
    }
    shown
}

/// Any other text of an observed process that may carry a URL.
pub fn text(value: &str) -> String {
    shorten(&without_credentials(value))
}

/// One argument, the one before it known.
fn one(previous: &str, argument: &str) -> String {
    if is_linker_flags(previous) {
        return linker_flags(argument);
    }
    let is_value = previous.starts_with('-') && !argument.starts_with('-');
    if is_value && !previous.contains('=') && is_secret(previous) {
        return MASK.to_owned();
    }
    match argument.split_once('=') {
        Some((name, value)) if is_linker_flags(name) => {
            format!("{name}={}", linker_flags(value))
        }
        Some((name, _)) if is_secret(name) && is_name(name) => format!("{name}={MASK}"),
        _ => without_credentials(argument),
    }
}

fn is_linker_flags(flag: &str) -> bool {
    flag.trim_start_matches('-') == "ldflags" && flag.starts_with('-')
}

fn is_name(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    name.chars().all(plain)
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// `-X name=value`, `-X=name=value`: what is linked in may be anything.
fn linker_flags(flags: &str) -> String {
    let mut out = Vec::new();
    let mut is_value = false;
    let mut quote = None;
    for word in flags.split(' ') {
        if let Some(end) = quote {
            // The rest of a masked value that has spaces in it.
            if word.ends_with(end) {
                quote = None;
            }
            continue;
        }
        let setting = word.trim_start_matches(['\'', '"']);
        let assigned = if is_value {
            Some(setting)
        } else {
            setting
                .strip_prefix("-X=")
                .or_else(|| setting.strip_prefix("--X="))
        };
        is_value = matches!(setting, "-X" | "--X");
        match assigned.and_then(|assigned| assigned.split_once('=')) {
            Some((name, value)) => {
                let flag = if is_value_word(setting) { "" } else { "-X=" };
                out.push(format!("{flag}{name}={MASK}"));
                quote = open_quote(word, value);
            }
            None => out.push(without_credentials(word)),
        }
    }
    out.join(" ")
}

fn is_value_word(setting: &str) -> bool {
    !setting.starts_with("-X=") && !setting.starts_with("--X=")
}

/// The quotation mark that a word opens and does not close.
fn open_quote(word: &str, value: &str) -> Option<char> {
    let mark = |text: &str| text.chars().next().filter(|first| "'\"".contains(*first));
    let opened = mark(word).or_else(|| mark(value))?;
    let inner = if mark(word).is_some() {
        word.get(1..)
    } else {
        value.get(1..)
    };
    (!inner.unwrap_or_default().ends_with(opened)).then_some(opened)
}

/// `scheme://user:password@host` without what is before the `@`.
fn without_credentials(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (scheme, tail) = rest.split_at(at + 3);
        out.push_str(scheme);
        let end = tail
            .find(|character: char| {
                character == '/' || character.is_whitespace() || character == ','
            })
            .unwrap_or(tail.len());
        let (authority, tail) = tail.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str(MASK);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
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
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    #[track_caller]
    fn check(arguments: &[&str], expected: &[&str]) {
        let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(argv(&arguments), expected);
    }

    #[test]
    fn secrets_are_masked() {
        check(&["go", "build", "-tags=a"], &["go", "build", "-tags=a"]);
        check(
            &["x", "--token=abc", "--verbose=1"],
            &["x", "--token=***", "--verbose=1"],
        );
        check(
            &["x", "--password", "abc", "y"],
            &["x", "--password", "***", "y"],
        );
        check(&["x", "--token", "-v"], &["x", "--token", "-v"]);
        check(&["env", "API_KEY=1", "go"], &["env", "API_KEY=***", "go"]);
        check(
            &["git", "clone", "https://u:p@h.org/x,https://q@h/"],
            &["git", "clone", "https://***@h.org/x,https://***@h/"],
        );
        check(&["x", "https://h.org/a@b"], &["x", "https://h.org/a@b"]);
    }

    #[test]
    fn what_is_linked_in_is_masked() {
        check(
            &["go", "build", "-ldflags", "-s -X main.v=1 -X=main.t=s3 -w"],
            &[
                "go",
                "build",
                "-ldflags",
                "-s -X main.v=*** -X=main.t=*** -w",
            ],
        );
        check(
            &["go", "build", "-ldflags=-X 'main.a=b c d' -s"],
            &["go", "build", "-ldflags=-X main.a=*** -s"],
        );
        check(
            &["go", "build", "--ldflags=-X main.a='b c' -s"],
            &["go", "build", "--ldflags=-X main.a=*** -s"],
        );
    }

    #[test]
    fn command_lines_are_bounded_and_printable() {
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let shown = argv(&many);
        assert_eq!(shown.len(), ARGUMENTS + 1);
        assert_eq!(shown.last().map(String::as_str), Some("... 36 more"));
        let long = argv(&["x".repeat(10_000)]);
        assert_eq!(long[0].len(), ARGUMENT_CHARACTERS + 3);
        check(&["\x1b[31m"], &["\\u{1b}[31m"]);
    }

    /// A command line around a secret, as it is told and as it may be spelled.
    fn with_secret(secret: &str, name: &str, form: usize) -> Vec<String> {
        let words = match form {
            0 => vec![format!("--{name}={secret}")],
            1 => vec![format!("-{name}"), secret.to_owned()],
            2 => vec![format!("MY_{}={secret}", name.to_uppercase())],
            3 => vec![format!("https://user:{secret}@host.org/{name}")],
            4 => vec![format!("a,git+ssh://{secret}@host,https://host/x")],
            5 => vec!["-ldflags".to_owned(), format!("-s -X main.v={secret} -w")],
            6 => vec![format!("-ldflags=-X=main.v={secret}")],
            7 => vec![format!("--ldflags=-X 'main.v=a {secret} b' -s")],
            _ => vec![format!("-ldflags=-s -X main.v=\"{secret} {secret}\"")],
        };
        words.into_iter().collect()
    }

    fn word() -> impl Strategy<Value = String> {
        const PARTS: [&str; 19] = [
            "-", "--", "=", " ", "'", "\"", "-X", "ldflags", "token", "auth", "a", "main.v", "://",
            "@", "/", ",", "\x1b", "\u{fc}", "***",
        ];
        vec(select(&PARTS[..]), 0..9).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn no_secret_survives(
            secret in "[A-Z0-9]{8,20}",
            name in select(&SECRET_NAMES[..]),
            form in 0..9usize,
            before in vec(select(&["go", "build", "-v", "-tags=a,b", "x y", "./..."][..]), 0..70),
        ) {
            let before = before.into_iter().map(str::to_owned);
            let line: Vec<_> = before.chain(with_secret(&secret, name, form)).collect();
            for shown in argv(&line) {
                prop_assert!(!shown.contains(&secret), "{}", shown);
            }
        }

        #[test]
        fn what_is_masked_stays_as_it_is(line in vec(word(), 0..8)) {
            let shown = argv(&line);
            prop_assert_eq!(argv(&shown), shown);
        }
    }
}
