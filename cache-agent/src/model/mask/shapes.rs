//! What text looks like: plain words, URLs with credentials, tokens of known services, and what nobody types.

use super::MASK;

/// How tokens of well-known services begin; what follows is theirs.
const PREFIXES: [&str; 56] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glrt-",
    "glcbt-",
    "glptt-",
    "gloas-",
    "glsoat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxs-",
    "xoxr-",
    "xapp-",
    "sk-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "pk_live_",
    "whsec_",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "eyJ",
    "npm_",
    "pypi-",
    "dckr_pat_",
    "dckr_oat_",
    "hvs.",
    "hvb.",
    "hvr.",
    "SG.",
    "shpat_",
    "shpss_",
    "ATATT",
    "ATCTT",
    "glsa_",
    "glc_",
    "dop_v1_",
    "doo_v1_",
    "dor_v1_",
    "lin_api_",
    "tskey-",
    "AGE-SECRET-KEY-",
    "rubygems_",
    "cio",
    "nfp_",
    "hf_",
    "r8_",
];
/// Shorter ones are words.
const TOKEN_BYTES: usize = 12;
/// A run of letters of both cases and digits that is as long as this was made by no man.
const MIXED_BYTES: usize = 20;
/// The same of hexadecimal digits: what else is so long is a hash, of which nobody needs to know.
const HEX_BYTES: usize = 32;
/// Longest plain word.
const PLAIN_BYTES: usize = 256;

/// A name, a path, a list or a pattern of such: nothing that would assign, quote or address anything.
pub(super) fn is_plain(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/,+@^$|*~".contains(&byte);
    text.len() <= PLAIN_BYTES && text.bytes().all(is_part) && without_tokens(text) == text
}

/// Masks whatever looks like a token.
pub(super) fn without_tokens(text: &str) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_-.+".contains(character);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|character| !is_part(character));
        let (run, tail) = rest.split_at(length.unwrap_or(rest.len()));
        out.push_str(if is_token(run) { MASK } else { run });
        let next = tail.find(is_part).unwrap_or(tail.len());
        let (between, tail) = tail.split_at(next);
        out.push_str(between);
        rest = tail;
    }
    out
}

fn is_token(run: &str) -> bool {
    let is_known = PREFIXES.iter().any(|prefix| run.starts_with(prefix));
    (is_known && run.len() >= TOKEN_BYTES) || run.split(['-', '.', '_', '+']).any(is_random)
}

fn is_random(part: &str) -> bool {
    let has = |class: fn(&u8) -> bool| part.as_bytes().iter().any(class);
    let is_hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_mixed =
        has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    (part.len() >= MIXED_BYTES && is_mixed) || (part.len() >= HEX_BYTES && is_hex)
}

/// `scheme://user:password@host/path?query#fragment` without what is before the `@`, and behind `?` or `#`.
pub(super) fn without_credentials(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (scheme, tail) = rest.split_at(at + 3);
        out.push_str(scheme);
        let (url, tail) = tail.split_at(length_of_url(tail));
        out.push_str(&masked_url(url));
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Until a blank or a quotation mark, or a comma before another URL.
fn length_of_url(text: &str) -> usize {
    let is_end = |character: char| character.is_whitespace() || "\"'<>`".contains(character);
    let length = text.find(is_end).unwrap_or(text.len());
    let url = text.get(..length).unwrap_or_default();
    let another = url.find("://").and_then(|at| url.get(..at)?.rfind(','));
    another.unwrap_or(length)
}

fn masked_url(url: &str) -> String {
    let authority = url.split('/').next().unwrap_or_default();
    let is_user = |user: &str| authority.contains('@') || user.contains(':');
    // A password may have a slash or a question mark in it.
    let (user, place) = match url.rsplit_once('@') {
        Some((user, place)) if is_user(user) => ("***@", place),
        _ => ("", url),
    };
    match place.find(['?', '#']) {
        Some(at) => {
            let (path, mark) = (place.get(..at), place.get(at..=at));
            let (path, mark) = (path.unwrap_or_default(), mark.unwrap_or_default());
            let hidden = if place.len() > at + 1 { MASK } else { "" };
            format!("{user}{path}{mark}{hidden}")
        }
        None => format!("{user}{place}"),
    }
}
